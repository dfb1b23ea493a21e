"""The library for metadata in C and Fortran, by programs whose journal is read back."""

from __future__ import annotations

import hashlib
import json
import math
import os
import resource
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from parslflow.provenance import events
from parslflow.provenance import graph
from parslflow.provenance.journal import files
from parslflow.provenance.journal import has_ended
from parslflow.provenance.journal import read_execution
from parslflow.provenance.journal import read_file
from parslflow.provenance.schema import ArtifactEvent
from parslflow.provenance.schema import Ended
from parslflow.provenance.schema import Event
from parslflow.provenance.schema import Metric
from parslflow.provenance.schema import Properties
from parslflow.provenance.schema import Result
from parslflow.provenance.schema import Started
from parslflow.provenance.writer import Writer

from .conftest import Launcher
from .running import LIMIT_S
from .running import PROGRAMS

CMF = Path(__file__).parents[2] / "fortran" / "cmf"
OK, NOT_INITIALIZED, INITIALIZED, BAD_NAME, BAD_ARGUMENT, NO_JOURNAL, NO_FILE, LOST = range(8)
THREADS, ROWS = 4, 2000

Build = Callable[[str], Path]

many = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="session")
def cmf_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where the library is installed, built afresh."""
    folder = tmp_path_factory.mktemp("cmf")
    command = ["make", "-C", str(CMF), f"BUILD={folder}/build", f"PREFIX={folder}", "install"]
    subprocess.run(command, check=True, timeout=60)
    return folder


@pytest.fixture(scope="session")
def cmf_program(cmf_library: Path) -> Build:
    """Builds a program of the folder `programs`, once."""
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "parslflow_cmf"],
        env=os.environ | {"PKG_CONFIG_PATH": str(cmf_library / "lib" / "pkgconfig")},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()

    def build(source: str) -> Path:
        program = cmf_library / source.replace(".", "-")
        if not program.exists():
            compiler = (
                ["gfortran", "-std=f2018", "-fcheck=all"]
                if source.endswith(".f90")
                else ["gcc", "-std=c11", "-D_DEFAULT_SOURCE", "-Wextra"]
            )
            compile_it = [*compiler, "-O1", "-Wall", "-Werror", PROGRAMS / source]
            subprocess.run([*compile_it, "-o", program, *flags], check=True, timeout=LIMIT_S)
        return program

    return build


def call(
    program: Path, root: Path, *words: str | Path, given: bytes = b"", **environment: str
) -> str:
    """Run a program whose metadata is in ``root``; it must end well and say nothing on stderr."""
    done = start(program, root, *words, **environment)
    out, err = done.communicate(given, timeout=LIMIT_S)
    assert (done.returncode, err) == (0, b""), err
    return out.decode()


def start(
    program: Path, root: Path, *words: str | Path, **environment: str
) -> subprocess.Popen[bytes]:
    known = {name: value for name, value in os.environ.items() if "PARSLFLOW_" not in name}
    return subprocess.Popen(
        [program, root / "mlmd", *words],
        env=known | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def only_execution(root: Path) -> list[Event]:
    """The events of the only execution, without problems."""
    [paths] = files(root / "journal").values()
    found, problems = read_execution(paths)
    assert problems == []
    return found


def rows(found: list[Event], series: str) -> list[dict[str, Any]]:
    return [event.values for event in found if isinstance(event, Metric) and event.series == series]


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


def test_ranks_of_a_job_are_one_execution_and_another_job_is_another(
    tmp_path: Path, cmf_program: Build, mpiexec: Launcher
) -> None:
    program = cmf_program("cmf_calls.c")
    for _ in range(2):
        code, _, stderr = mpiexec(
            4, [str(program), str(tmp_path / "mlmd"), "threads"], tmp_path, {}
        )
        assert (code, stderr) == (0, "")
    executions = files(tmp_path / "journal")
    assert len(executions) == 2
    for name, paths in executions.items():
        assert [path.name for path in paths] == [f"{name}@r{rank}.jsonl" for rank in range(4)]
        assert has_ended(paths)
        found, problems = read_execution(paths)
        assert problems == []
        assert isinstance(found[-1], Ended)
        logged = [
            (event.rank, event.values["thread"], event.values["row"])
            for event in found
            if isinstance(event, Metric)
        ]
        assert len(logged) == 4 * THREADS * ROWS
        assert set(logged) == {
            (rank, thread, row)
            for rank in range(4)
            for thread in range(THREADS)
            for row in range(ROWS)
        }


def test_in_a_run_a_program_adds_to_the_execution_that_started_it(
    tmp_path: Path, cmf_program: Build
) -> None:
    journal = tmp_path / "journal"
    journal.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with events.execution(journal, pipeline="p", context="low", name="low-1") as run:
        for rank in (0, 1, 1):
            known = {**events.environment(), "PMI_RANK": str(rank)}
            call(cmf_program("cmf_calls.c"), elsewhere, "rows", given=b"3", **known)
    assert list(elsewhere.iterdir()) == []
    [(name, paths)] = files(journal).items()
    assert name == run.id
    parts = ["", "@r0", "@r1", "@r1.1"]
    assert {path.name for path in paths} == {f"{run.id}{part}.jsonl" for part in parts}
    found = only_execution(tmp_path)
    assert isinstance(found[0], Started)
    assert found[0].context == "low"
    assert [event.rank for event in found[1:-1]] == [0] * 3 + [1] * 6


def test_what_was_committed_is_there_after_a_kill(tmp_path: Path, cmf_program: Build) -> None:
    with start(cmf_program("cmf_calls.c"), tmp_path, "rows") as process:
        assert ask(process, 1000) == OK
        assert ask(process, -100000) == OK
        process.kill()
    [paths] = files(tmp_path / "journal").values()
    found, problems = read_execution(paths)
    assert problems == []
    assert not has_ended(paths)
    logged = [row["row"] for row in rows(found, "rows")]
    assert logged == list(range(len(logged)))
    assert len(logged) >= 1000


def test_what_was_logged_is_written_within_seconds(tmp_path: Path, cmf_program: Build) -> None:
    with start(cmf_program("cmf_calls.c"), tmp_path, "rows") as process:
        for count in (2, 4):
            ask(process, -2)
            [path] = (tmp_path / "journal").iterdir()
            deadline = time.monotonic() + 10
            while len(read_file(path)) < 1 + count:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        process.kill()


def ask(process: subprocess.Popen[bytes], rows: int) -> int:
    """Have it log so many rows; the code of their commit."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"%d\n" % rows)
    process.stdin.flush()
    return int(process.stdout.readline())


def test_a_slow_disk_holds_nobody_up_before_the_buffer_is_full(
    tmp_path: Path, cmf_program: Build
) -> None:
    slow_disk = tmp_path / "slow_disk.so"
    command = ["gcc", "-shared", "-fPIC", PROGRAMS / "slow_disk.c", "-o", slow_disk]
    subprocess.run(command, check=True, timeout=LIMIT_S)
    with start(cmf_program("cmf_calls.c"), tmp_path, "rows", LD_PRELOAD=str(slow_disk)) as process:
        began = time.monotonic()
        assert ask(process, -1) == OK
        first = time.monotonic() - began
        assert ask(process, -3000) == OK
        assert time.monotonic() - began < first + 0.8, "some 600 KiB, while a write takes a second"
        assert ask(process, -9000) == OK
        assert time.monotonic() - began > first + 0.8, "some 2 MiB in all"
        out, _ = process.communicate(timeout=LIMIT_S)
    assert int(out) == OK
    assert [row["row"] for row in rows(only_execution(tmp_path), "rows")] == list(range(12001))


def test_a_full_disk_loses_events_but_no_line_is_cut(tmp_path: Path, cmf_program: Build) -> None:
    """The limit's signal would end the program, if it were delivered."""
    with start(cmf_program("cmf_calls.c"), tmp_path, "rows") as process:
        assert ask(process, 10) == OK
        _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100_001, most))
        assert ask(process, 5000) == LOST
        assert ask(process, 10) == LOST
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
        assert ask(process, 10) == OK
        out, err = process.communicate(timeout=LIMIT_S)
    assert int(out) == LOST
    found = only_execution(tmp_path)
    logged = [row["row"] for row in rows(found, "rows")]
    assert logged[:10] == list(range(10))
    assert logged[-10:] == list(range(5020, 5030))
    assert 200 < len(logged) < 1000
    [path] = (tmp_path / "journal").iterdir()
    first, last = err.decode().splitlines()
    assert first == (
        f"cmf: {path} cannot be written (File too large), so events are lost until it can: "
        "make room."
    )
    lost = 5030 - len(logged)
    assert last == f"cmf: {lost} events of {path} could not be written and are lost."


def test_a_forked_child_does_not_write_what_its_parent_logged(
    tmp_path: Path, cmf_program: Build
) -> None:
    with start(cmf_program("cmf_calls.c"), tmp_path, "forks") as process:
        out, err = process.communicate(timeout=LIMIT_S)
    assert out.split() == [b"0", b"0"]
    assert err.decode().count("before cmf_init has succeeded") == 1
    found = [read_execution(paths) for paths in files(tmp_path / "journal").values()]
    assert all(problems == [] for _, problems in found)
    by_child, by_parent = sorted((rows(one, "rows") for one, _ in found), key=len)
    assert [row["row"] for row in by_parent] == list(range(11))
    assert [row["thread"] for row in by_child] == [2]


@pytest.mark.parametrize("code", [0, 3])
def test_a_program_that_exits_without_the_end(
    tmp_path: Path, cmf_program: Build, code: int
) -> None:
    with start(cmf_program("cmf_calls.c"), tmp_path, "exit", str(code)) as process:
        process.communicate(timeout=LIMIT_S)
    assert process.returncode == code
    found = only_execution(tmp_path)
    end = found[-1]
    assert len(rows(found, "rows")) == 1
    assert isinstance(end, Ended)
    assert end.status == ("failed" if code else "completed")
    assert end.error == (f"The program ended with exit code {code}." if code else "")


def test_mistakes_have_a_code_and_are_said_once(tmp_path: Path, cmf_program: Build) -> None:
    with start(cmf_program("cmf_calls.c"), tmp_path, "mistakes") as process:
        out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    codes = [BAD_NAME, NO_JOURNAL, NOT_INITIALIZED, INITIALIZED, BAD_ARGUMENT, NO_FILE]
    assert [int(word) for word in out.split()] == [*codes, BAD_ARGUMENT, BAD_NAME] * 2
    sentences = err.decode().splitlines()
    assert len(sentences) == len(codes)
    words = ["not/a name", "/proc/nowhere", "cmf_init", "calls-", "odd", "/nowhere"]
    for sentence, word in zip(sentences, words, strict=True):
        assert sentence.startswith("cmf: ")
        assert sentence.endswith(".")
        assert word in sentence
    executions = files(tmp_path / "journal")
    assert len(executions) == 2, "an execution after the end of another is one of its own"


@pytest.mark.timeout(200)
def test_the_writer_logs_to_cmf_what_ranks_said(
    tmp_path: Path, cmf_program: Build, mpiexec: Launcher
) -> None:
    (tmp_path / "in.nc").write_bytes(b"data")
    command = [str(cmf_program("cmf_typed.f90")), str(tmp_path / "mlmd"), "in.nc", "in.nc"]
    assert mpiexec(2, command, tmp_path, {})[0] == 0
    with Writer(tmp_path, "typed") as writer:
        writer.flush(timeout_s=150)
    found = graph.read(tmp_path)
    [execution] = found.executions.values()
    assert (execution.context, execution.status) == ("simulation", "completed")
    assert execution.properties["ranks"] == 4
    assert execution.metrics["real64"] == 0.1
    [artifact] = found.artifacts.values()
    assert artifact.path == "in.nc"
    assert artifact.sha256 == hashlib.sha256(b"data").hexdigest()
