"""What one client writes the others read: data sets with shapes, types and metadata, and lists."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import smartredis

from parslflow.store.client import StoreClient
from parslflow.store.server import StoreServer
from parslflow.store.wire import Dataset
from tests.conformance.conftest import Place
from tests.conformance.fortran import OURS
from tests.conformance.fortran import PROGRAMS
from tests.conformance.fortran import Library

FIELD = np.arange(1.0, 13.0).reshape((3, 4), order="F")
TENSORS = {
    "field": FIELD,
    "inner": FIELD[1:2, 1:3],
    "layers": FIELD.ravel(order="F").reshape((3, 2, 2), order="F").astype(np.float32),
    "marks": np.array([7, 8], np.int32),
    "i8": np.array([-8], np.int8),
    "i16": np.array([-16], np.int16),
    "i64": np.array([-(2**40)]),
}
METADATA = {
    "isc": np.array([3], np.int32),
    "day": np.array([0.1]),
    "levels": np.array([1, 2], np.int32),
    "run": ["high-1"],
    "single": np.array([0.5], np.float32),
    "large": np.array([2**40]),
}
# Fortran has no such types: Python's alone.
UNSIGNED_TENSORS = {"u8": np.array([200], np.uint8), "u16": np.array([60000], np.uint16)}
UNSIGNED_METADATA = {"u32": np.array([2**31], np.uint32), "u64": np.array([2**63], np.uint64)}
# The stock Fortran client's numbers of types.
KINDS = {1: np.float64, 2: np.float32, 3: np.int8, 4: np.int16, 5: np.int32, 6: np.int64}

# The wire's names of types, as our client tells them.
DTYPES = {
    "DOUBLE": np.float64, "FLOAT": np.float32, "INT8": np.int8, "INT16": np.int16,
    "INT32": np.int32, "INT64": np.int64,
}  # fmt: skip

Found = tuple[dict[str, Any], dict[str, Any]]
Fortran = dict[str, Library]


@pytest.fixture
def fortran(stock_fortran: Library, our_fortran: Library) -> Fortran:
    return {"stock": stock_fortran, "ours": our_fortran}


def run(program: Path) -> list[list[str]]:
    """Run a program to its end; the words of the lines that it printed."""
    done = subprocess.run([str(program)], env=os.environ, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.split() for line in done.stdout.splitlines()]


# Writers of the data set 'first', which alone is on the list 'tiles'


def written_by_our_fortran(fortran: Fortran, store: StoreClient) -> None:
    run(fortran["ours"].program(OURS / "datasets.f90"))
    store.connection.rpop(store.source.key("tiles"))  # the program has one more


def written_by_stock_fortran(fortran: Fortran, store: StoreClient) -> None:
    run(fortran["stock"].program(PROGRAMS / "stock_writer.f90"))


def written_by_our_python(fortran: Fortran, store: StoreClient) -> None:
    tensors, metadata = TENSORS | UNSIGNED_TENSORS, METADATA | UNSIGNED_METADATA
    store.put_dataset(Dataset("first", tensors, metadata), "tiles")


def written_by_stock_python(fortran: Fortran, store: StoreClient) -> None:
    made = smartredis.Dataset("first")
    for name, array in (TENSORS | UNSIGNED_TENSORS).items():
        made.add_tensor(name, np.ascontiguousarray(array))  # it sends memory as it lies
    for name, value in (METADATA | UNSIGNED_METADATA).items():
        for one in value:
            if isinstance(one, str):
                made.add_meta_string(name, one)
            else:
                made.add_meta_scalar(name, one)
    client = smartredis.Client(logger_name="writer")
    client.put_dataset(made)
    client.append_to_list("tiles", made)


# Readers: its tensors, and what metadata they can read


def read_by_our_fortran(fortran: Fortran, store: StoreClient) -> Found:
    lines = run(fortran["ours"].program(PROGRAMS / "our_reader.f90"))
    return from_lines(lines, lambda name: DTYPES[name])


def read_by_stock_fortran(fortran: Fortran, store: StoreClient) -> Found:
    lines = run(fortran["stock"].program(PROGRAMS / "stock_reader.f90"))
    return from_lines(lines, lambda kind: KINDS[int(kind)])


def from_lines(lines: list[list[str]], dtype: Callable[[str], Any]) -> Found:
    """What a Fortran program printed: its tensors, and its metadata."""
    tensors, metadata = {}, {}
    for name, *words in lines:
        if name in METADATA:
            kind = getattr(METADATA[name], "dtype", None)
            metadata[name] = words if kind is None else np.array(words, kind)
        elif name not in UNSIGNED_TENSORS:
            shape = [int(one) for one in words[2 : 2 + int(words[1])]]
            array = np.array(words[2 + len(shape) :], dtype(words[0]))
            tensors[name] = array.reshape(shape, order="F")
    return tensors, metadata


def read_by_our_python(fortran: Fortran, store: StoreClient) -> Found:
    assert store.drain_list("tiles") == ["first"]
    found = store.get_dataset("first")
    return found.tensors, dict(found.metadata)


def read_by_stock_python(fortran: Fortran, store: StoreClient) -> Found:
    client = smartredis.Client(logger_name="reader")
    [raw] = client.get_datasets_from_list("tiles")
    found = smartredis.Dataset.from_pybind(raw)
    assert found.get_name() == "first"
    tensors = {name: found.get_tensor(name) for name in found.get_tensor_names()}
    metadata = {}
    for name in found.get_metadata_field_names():
        if found.get_metadata_field_type(name) is str:
            metadata[name] = found.get_meta_strings(name)
        else:
            metadata[name] = found.get_meta_scalars(name).copy()  # its memory is the data set's
    return tensors, metadata


WRITERS = [
    written_by_our_fortran, written_by_stock_fortran, written_by_our_python,
    written_by_stock_python,
]  # fmt: skip
READERS = [read_by_our_fortran, read_by_stock_fortran, read_by_our_python, read_by_stock_python]


@pytest.mark.parametrize("place", ["standalone"], indirect=True)
@pytest.mark.parametrize("keyspace", ["", "member-1"])
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
def test_what_one_writes_the_other_reads(
    place: Place,
    store_server: StoreServer,
    monkeypatch: pytest.MonkeyPatch,
    fortran: Fortran,
    writer: Callable[[Fortran, StoreClient], None],
    reader: Callable[[Fortran, StoreClient], Found],
    keyspace: str,
) -> None:
    for name in ("SSKEYIN", "SSKEYOUT"):
        monkeypatch.setenv(name, keyspace)
    with StoreClient.at(store_server.published, keyspace=keyspace) as store:
        writer(fortran, store)
        tensors, metadata = reader(fortran, store)
    left = place.keys()
    assert all(key.startswith(keyspace.encode()) for key in left if b".append" not in key)
    expected_tensors, expected_metadata = dict(TENSORS), dict(METADATA)
    if reader is read_by_stock_fortran:
        del expected_metadata["run"]  # it cannot read text
    elif "python" in reader.__name__ and "python" in writer.__name__:
        expected_tensors |= UNSIGNED_TENSORS
        expected_metadata |= UNSIGNED_METADATA
    assert tensors.keys() == expected_tensors.keys()
    for name, expected in expected_tensors.items():
        assert tensors[name].dtype == expected.dtype
        np.testing.assert_array_equal(tensors[name], expected)
    assert metadata.keys() == expected_metadata.keys()
    for name, value in expected_metadata.items():
        assert getattr(metadata[name], "dtype", str) == getattr(value, "dtype", str)
        assert list(metadata[name]) == list(value)
