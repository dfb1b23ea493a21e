"""The interface of the library for metadata in C and Fortran, and the values it logs."""

from __future__ import annotations

import hashlib
import json
import math
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from parslflow.provenance import events
from parslflow.provenance.schema import ArtifactEvent
from parslflow.provenance.schema import Ended
from parslflow.provenance.schema import Event
from parslflow.provenance.schema import Properties
from parslflow.provenance.schema import Result
from parslflow.provenance.schema import Started

from .journals import Build
from .journals import call
from .journals import only_execution
from .journals import rows
from .running import LIMIT_S
from .running import PROGRAMS

many = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LOSSES = [{"epoch": 10, "loss": 1e-5, "rates": "[10, 2.5]"}]


@pytest.mark.parametrize("source", ["cmf_original.c", "cmf_original.f90"])
def test_a_program_for_cmfs_own_interface(tmp_path: Path, cmf_program: Build, source: str) -> None:
    call(cmf_program(source), tmp_path)
    found = only_execution(tmp_path)
    assert_losses(found)
    begun, end = found[0], found[-1]
    assert isinstance(begun, Started)
    assert begun.command == [str(cmf_program(source)), str(tmp_path / "mlmd")]
    assert begun.name == ("in-c" if source.endswith("c") else "in-fortran")
    assert isinstance(end, Ended)
    assert (end.status, end.error) == ("completed", "")
    assert 0 < end.peak_memory_bytes < 1 << 26
    assert [event.sequence for event in found] == list(range(len(found)))
    assert {event.rank for event in found} == {None}


def assert_losses(found: list[Event]) -> None:
    begun = found[0]
    assert isinstance(begun, Started)
    assert (begun.pipeline, begun.context) == ("original", "training")
    assert rows(found, "losses") == LOSSES
    assert type(rows(found, "losses")[0]["epoch"]) is int


def test_a_fortran_program_built_for_cmfs_module_is_only_relinked(
    tmp_path: Path, cmf_library: Path
) -> None:
    """What is compiled against CMF's interface finds the same symbols and arguments in ours."""
    for name in ("cmf_stand_in", "cmf_original"):
        subprocess.run(
            ["gfortran", "-c", "-J", tmp_path, PROGRAMS / f"{name}.f90", "-o", f"{name}.o"],
            cwd=tmp_path,
            check=True,
            timeout=LIMIT_S,
        )
    libraries = ["-L", cmf_library / "lib", "-lparslflow_cmf", "-pthread"]
    program = tmp_path / "relinked"
    linked = ["gfortran", tmp_path / "cmf_original.o", "-o", program, *libraries]
    subprocess.run(linked, check=True, timeout=LIMIT_S)
    call(program, tmp_path)
    assert_losses(only_execution(tmp_path))


def test_the_library_defines_no_names_that_a_program_may_have(cmf_library: Path) -> None:
    command = ["nm", "-g", "--defined-only", str(cmf_library / "lib" / "libparslflow_cmf.a")]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    names = {line.split()[2] for line in listed.splitlines() if len(line.split()) == 3}
    own = ("cmf_", "__cmf_rows_MOD_", "__cmflib_MOD_")
    assert {name for name in names if not name.startswith(own)} == {
        "is_cmf_initialized",
        "log_metric",
        "commit_metrics",
    }


def test_values_of_each_type(tmp_path: Path, cmf_program: Build) -> None:
    inside, outside = tmp_path / "run" / "data" / "in.nc", tmp_path / "model.pt"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(b"data" * 1000)
    outside.write_bytes(b"weights")
    call(cmf_program("cmf_typed.f90"), tmp_path / "run", inside, outside)
    found = only_execution(tmp_path / "run")
    largest = 2**63 - 1
    single = struct.unpack("f", struct.pack("f", 0.1))[0]
    assert rows(found, "int32") == [{"u": 1, "energy": -2}]
    assert rows(found, "int64") == [{"u": largest, "energy": -largest}]
    assert rows(found, "real32")[0]["u"] == 0.5
    assert rows(found, "real64") == [{"u": 0.1, "energy": 2.2250738585072014e-308}]
    row = {
        "int32": 7,
        "int64": largest,
        "real32": single,
        "real64": 0.1,
        "text": 'a "word"',
        "int32s": [1, 3],
        "int64s": [1, largest],
        "real32s": [0.5, 0.25],
        "real64s": [],
        "texts": ["one", "three"],
    }
    assert rows(found, "copy") == [row]
    assert rows(found, "row") == [row | {"int32": "now text"}]
    assert [event.values for event in found if isinstance(event, Result)] == [row]
    assert [event.values for event in found if isinstance(event, Properties)] == [{"ranks": 4}]
    used, produced = [event for event in found if isinstance(event, ArtifactEvent)]
    assert (used.event, used.kind, used.path) == ("used", "dataset", "data/in.nc")
    assert (used.size, used.sha256) == (4000, events.sha256(inside))
    assert (produced.event, produced.kind, produced.path) == ("produced", "model", str(outside))
    assert (produced.sha256, produced.properties) == (events.sha256(outside), {"ranks": 4})


@many
@given(st.lists(st.floats(width=64), min_size=50, max_size=200))
def test_reals_are_written_as_python_writes_them(
    tmp_path_factory: pytest.TempPathFactory, cmf_program: Build, values: list[float]
) -> None:
    root = tmp_path_factory.mktemp("reals")
    given = struct.pack(f"{len(values)}d", *values)
    call(cmf_program("cmf_calls.c"), root, "reals", given=given)
    [path] = (root / "journal").iterdir()
    line = path.read_text().splitlines()[1]
    expected = json.dumps(values, separators=(",", ":"))
    assert line.endswith(f'"values":{{"reals":{expected}}}}}')
    assert len(only_execution(root)) == 3


def test_a_line_can_be_longer_than_the_buffer(tmp_path: Path, cmf_program: Build) -> None:
    values = [1 / (3 + n) for n in range(200_000)]
    given = struct.pack(f"{len(values)}d", *values)
    call(cmf_program("cmf_calls.c"), tmp_path, "reals", given=given)
    assert rows(only_execution(tmp_path), "reals") == [{"reals": values}]


@many
@given(st.lists(st.text() | st.binary(), min_size=1))
def test_any_text_can_be_logged(
    tmp_path_factory: pytest.TempPathFactory, cmf_program: Build, texts: list[str | bytes]
) -> None:
    encoded = [
        (text.encode(errors="surrogatepass") if isinstance(text, str) else text).replace(b"\0", b"")
        for text in texts
    ]
    root = tmp_path_factory.mktemp("texts")
    given = b"".join(text + b"\0" for text in encoded)
    call(cmf_program("cmf_calls.c"), root, "strings", given=given)
    expected = [text.decode(errors="replace") for text in encoded]
    found = only_execution(root)
    assert rows(found, "strings") == [{text: text} for text in expected]
    assert len(rows(found, "texts")) == len(expected)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("007", 7),
        (" -12 ", -12),
        ("+3", 3),
        ("999999999999999999", 999999999999999999),
        ("9999999999999999999", "9999999999999999999"),
        ("3.140", 3.14),
        (".5", 0.5),
        ("-5.", -5.0),
        ("1.0D-3", 1e-3),
        ("2E+05", 2e5),
        ("-Infinity", -math.inf),
        ("inf", math.inf),
        ("", ""),
        ("-", "-"),
        (".", "."),
        ("1e", "1e"),
        ("1 2", "1 2"),
        ("0x10", "0x10"),
        ("infinite", "infinite"),
    ],
)
def test_text_that_is_a_number_becomes_one(
    tmp_path: Path, cmf_program: Build, text: str, value: str | float
) -> None:
    call(cmf_program("cmf_calls.c"), tmp_path, "strings", given=text.encode() + b"\0")
    [row] = rows(only_execution(tmp_path), "texts")
    assert row == {"text": value}
    assert type(row["text"]) is type(value)


@given(st.binary(max_size=300), st.sampled_from([0, 1, 55, 56, 63, 64, 119, 65535, 65536, 200000]))
@many
def test_the_digest_of_a_file_is_its_sha256(
    tmp_path_factory: pytest.TempPathFactory, cmf_program: Build, start: bytes, more: int
) -> None:
    root = tmp_path_factory.mktemp("digest")
    content = start + bytes(more)
    (root / "file").write_bytes(content)
    call(cmf_program("cmf_calls.c"), root, "inputs", root / "file")
    [event] = [one for one in only_execution(root) if isinstance(one, ArtifactEvent)]
    assert event.sha256 == hashlib.sha256(content).hexdigest()
    assert event.size == len(content)
