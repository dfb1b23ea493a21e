"""What the library for metadata writes, whatever becomes of the program and the disk."""

from __future__ import annotations

import hashlib
import resource
import subprocess
import time
from pathlib import Path

import pytest

from parslflow.provenance import events
from parslflow.provenance import graph
from parslflow.provenance.journal import files
from parslflow.provenance.journal import has_ended
from parslflow.provenance.journal import read_execution
from parslflow.provenance.journal import read_file
from parslflow.provenance.schema import Ended
from parslflow.provenance.schema import Metric
from parslflow.provenance.schema import Started
from parslflow.provenance.writer import Writer

from .conftest import Launcher
from .journals import Build
from .journals import call
from .journals import only_execution
from .journals import rows
from .journals import start
from .running import LIMIT_S
from .running import PROGRAMS

OK, NOT_INITIALIZED, INITIALIZED, BAD_NAME, BAD_ARGUMENT, NO_JOURNAL, NO_FILE, LOST = range(8)
THREADS, ROWS = 4, 2000


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


def test_where_the_disk_is_full_from_the_start_nothing_begins(
    tmp_path: Path, cmf_program: Build
) -> None:
    command = ["prlimit", "--fsize=0", cmf_program("cmf_calls.c"), tmp_path / "mlmd", "rows"]
    done = subprocess.run(command, capture_output=True, input=b"", timeout=LIMIT_S, check=False)
    assert done.returncode == 1, "what the program does when cmf_init fails"
    assert done.stderr.count(b"\n") == 1
    assert b"make room" in done.stderr
    assert list((tmp_path / "journal").iterdir()) == []


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
    with Writer(tmp_path) as writer:
        writer.flush(timeout_s=150)
    found = graph.read(tmp_path)
    [execution] = found.executions.values()
    assert (execution.context, execution.status) == ("simulation", "completed")
    assert execution.properties["ranks"] == 4
    assert execution.metrics["real64"] == 0.1
    [artifact] = found.artifacts.values()
    assert artifact.path == "in.nc"
    assert artifact.sha256 == hashlib.sha256(b"data").hexdigest()
