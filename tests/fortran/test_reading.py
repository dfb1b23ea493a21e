"""What the client for simulations reads: data sets and lists, whole, strange or damaged."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from parslflow.errors import ParslflowError
from parslflow.store import wire
from parslflow.store.client import StoreClient
from parslflow.store.wire import Dataset

from .running import CLIENT
from .running import DAMAGED
from .running import LIMIT_S
from .running import MISSING_KEY
from .running import OK
from .running import PROGRAMS
from .running import make
from .running import mistakes
from .running import run

CUT_STRING = b"\7" + (5).to_bytes(8, "little") + b"four"
TENSORS = {b"a": np.ones((2, 3)), b"b": np.ones(1, np.float32), b"ab": np.ones(7, np.int8)}
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def test_all_of_a_data_set_is_read(store: StoreClient, program: Callable[..., Path]) -> None:
    run(store.address, program("reading"))


def test_mistakes_and_damage_end_in_a_code_and_one_sentence(
    store: StoreClient, program: Callable[..., Path]
) -> None:
    put_strange_things(store)
    messages = mistakes(store.address, program("reading_errors"), PROGRAMS / "reading_errors.f90")
    place = f"(store {store.address})"
    of_tile = "of data set 'tile'"
    for expected in (
        f"Cannot get data set 'nothing' {place}: there is no key '{{nothing}}.meta'.",
        f"Cannot get data set 'gone' {place}: there is no key '{{gone}}.b'.",
        f"Cannot get data set 'cut' {place}: the metadata '.tensor_names' end inside a string of 5 "
        "bytes: they were cut.",
        f"Cannot read list 'prefixed' {place}: entry 2 is of the keyspace 'member', but the list "
        "of no keyspace: append by a client whose SSKEYOUT is the list's keyspace.",
        f"Cannot read list 'strange' {place}: entry 1 is not {{name}} or keyspace.{{name}}: append "
        "data sets only.",
        f"Cannot read tensor 'nothing' {of_tile}: it has no tensor of this name.",
        f"Cannot read tensor 'field' {of_tile}: it has the shape (3 x 4), but the array has "
        "(4 x 3).",
        f"Cannot read tensor 'u8' {of_tile}: it is of type UINT8, but the array of type INT8.",
        f"Cannot read metadata 'day' {of_tile}: it holds values of type double, but the array is "
        "for type int32.",
        f"Cannot read metadata 'empty' {of_tile}: the metadata 'empty' lack even their type.",
        f"Cannot read metadata 'unknown' {of_tile}: the metadata 'unknown' are of the unknown type "
        "9.",
    ):
        assert expected in messages


def put_strange_things(store: StoreClient) -> None:
    """What the program `reading_errors` reads."""
    metadata = {"day": 0.5, "run": "high-1", "u32": np.array([7], np.uint32)}
    tensors = {"field": np.ones((3, 4)), "u8": np.array([1, 2], np.uint8)}
    store.put_dataset(Dataset("tile", tensors, metadata))
    damaged: dict[str, bytes] = {
        "empty": b"", "unknown": b"\x09abc", "cut double": b"\1" + 7 * b"x",
        "cut length": b"\7" + 7 * b"\0", "cut string": CUT_STRING,
        "zero": b"\7" + (3).to_bytes(8, "little") + b"a\0b",
    }  # fmt: skip
    connection = store.connection
    for field, blob in damaged.items():
        connection.hset("{tile}.meta", field, blob)
    connection.hset("{tile}.meta", b"a\0zero", b"")  # no program can ask for it
    connection.set("{other}.meta", "text")
    connection.set("text", "text")
    store.put_dataset(Dataset("gone", {name: np.ones(1) for name in "abc"}))
    connection.delete("{gone}.b")
    store.put_dataset(Dataset("hash", {name: np.ones(1) for name in "ab"}))
    connection.delete("{hash}.a")
    connection.hset("{hash}.a", "field", "value")
    connection.hset("{numbers}.meta", ".tensor_names", b"\3" + bytes(4))
    connection.hset("{cut}.meta", ".tensor_names", CUT_STRING)
    connection.rpush("prefixed", "{tile}", "member.{tile}")
    connection.rpush("strange", "tile")


@pytest.fixture(scope="module")
def read_any(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program `read_any` and the client, which end at the first access beyond their memory."""
    folder = tmp_path_factory.mktemp("sanitized")
    assert make(folder, f"CFLAGS=-O1 -g -std=c11 {' '.join(SANITIZE)}") == 0
    built = folder / "read_any"
    subprocess.run(
        [
            *("gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-g", *SANITIZE, "-I", CLIENT),
            *(PROGRAMS / "read_any.c", "-o", built, "-L", folder),
            *("-lparslflow_client", "-lhiredis", "-lgfortran"),
        ],
        check=True,
        timeout=LIMIT_S,
    )
    return built


def strings_blob(strings: list[bytes]) -> bytes:
    return b"\7" + b"".join(len(one).to_bytes(8, "little") + one for one in strings)


def numbers_blob(code: int, numbers: bytes) -> bytes:
    return bytes([code]) + numbers


strings = st.lists(st.text("ab {}.é", max_size=6).map(str.encode), max_size=4).map(strings_blob)
numbers = st.builds(numbers_blob, st.integers(0, 8), st.binary(max_size=33))
whole = strings | numbers
cut = st.builds(lambda blob, bytes_off: blob[:-bytes_off], whole, st.integers(1, 9))
changed = st.builds(
    lambda blob, at, byte: blob[:at] + byte + blob[at + 1 :],
    whole, st.integers(0, 20), st.binary(min_size=1, max_size=1),
)  # fmt: skip
WHOLE = strings_blob([b"a", b"", b"ab"])
EDGES = [
    *(WHOLE[:end] for end in range(len(WHOLE))),  # the first is empty
    *(numbers_blob(code, bytes(size)) for code in (1, 2, 3, 4) for size in range(10)),
    strings_blob([b"a\0"]), b"\7" + b"\xff" * 8, b"\7" + b"\xff" * 7 + b"\x7f",
]  # fmt: skip
blobs = whole | cut | changed | st.binary(max_size=40)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(found=[(WHOLE, blob) for blob in EDGES] + [(blob, WHOLE) for blob in EDGES])
@given(found=st.lists(st.tuples(blobs, blobs), min_size=1, max_size=30))
def test_bytes_of_any_kind_are_read_or_refused(
    store: StoreClient, read_any: Path, found: list[tuple[bytes, bytes]]
) -> None:
    names = [f"any-{i}" for i in range(len(found))]
    with store.connection.pipeline() as pipeline:
        for name, (tensor_names, field) in zip(names, found, strict=True):
            pipeline.delete(f"{{{name}}}.meta")
            pipeline.hset(f"{{{name}}}.meta", mapping={".tensor_names": tensor_names, "f": field})
            for tensor, array in TENSORS.items():
                key = wire.Keyspace().tensor_key(name, tensor.decode())
                pipeline.execute_command(*wire.tensor_set(key, array))
        pipeline.execute()
    lines = run(store.address, read_any, "f", *names).splitlines()
    for (tensor_names, field), line in zip(found, lines, strict=True):
        assert line == expected_line(tensor_names, field)


def expected_line(tensor_names: bytes, field: bytes) -> str:
    """What the program prints."""
    known = decoded_strings(tensor_names)
    if known is None:
        return str(DAMAGED)
    if not {*known} <= {*TENSORS}:
        return str(MISSING_KEY)
    tensors = "".join(f" {name.decode()}" for name in known)
    values = None
    if field[:1] == b"\7":
        texts = decoded_strings(field)
        values = None if texts is None else "strings" + "".join(f":{one.hex()}" for one in texts)
    elif (array := decoded_numbers(field)) is not None:
        readable = array.dtype.kind in "if"
        values = f"numbers:{array.tobytes().hex() if readable else ''}"
    return f"{OK}{tensors} {DAMAGED} numbers:" if values is None else f"{OK}{tensors} {OK} {values}"


def decoded_numbers(blob: bytes) -> np.ndarray | None:
    """None if it is damaged."""
    try:
        found = wire.decode_field("f", blob)
    except ParslflowError:
        return None
    assert isinstance(found, np.ndarray)
    return found


def decoded_strings(blob: bytes) -> list[bytes] | None:
    """None if it is damaged, or none of strings, or one has a zero, which no string of C may."""
    if blob[:1] != b"\7":
        return None
    strings, rest = [], blob[1:]
    while rest:
        length = int.from_bytes(rest[:8], "little")
        string, rest = rest[8 : 8 + length], rest[8 + length :]
        strings.append(string)
    return strings if strings_blob(strings) == blob and b"\0" not in b"".join(strings) else None
