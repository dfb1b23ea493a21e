from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.provenance import events
from parslflow.provenance.events import Value
from parslflow.provenance.journal import read_checked
from parslflow.provenance.journal import read_file
from parslflow.provenance.schema import ArtifactEvent
from parslflow.provenance.schema import Ended
from parslflow.provenance.schema import Event
from parslflow.provenance.schema import Metric
from parslflow.provenance.schema import Started


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    (tmp_path / "journal").mkdir()
    return tmp_path / "journal"


def read(journal: Path) -> list[Event]:
    (path,) = journal.glob("*.jsonl")
    found, problems = read_checked(path)
    assert problems == []
    assert [event.sequence for event in found] == list(range(len(found)))
    assert {event.execution for event in found} == {path.stem}
    return found


def test_an_execution_is_journalled_in_order(journal: Path) -> None:
    inside, outside = journal.parent / "in.h5", journal.parent.parent / "out.h5"
    inside.write_bytes(b"inside")
    outside.write_bytes(b"outside")
    with events.execution(
        journal, pipeline="p", context="train", name="train-0", properties={"iteration": 0}
    ) as run:
        run.used(journal / ".." / "in.h5", kind="dataset")
        run.produced(outside, kind="model", properties={"id": "12e5"})
        scalars: dict[str, Any] = {"epoch": np.int32(1), "loss": np.float32(0.5)}
        run.metric("epoch", scalars)
        run.result({"loss": 0.25})
        run.decision({"best": "x"})
        path = journal / f"{run.id}.jsonl"
        assert len(path.read_bytes().splitlines()) == 6
    started, used, produced, metric, _, _, ended = read(journal)
    assert isinstance(started, Started)
    assert (started.name, started.properties) == ("train-0", {"iteration": 0})
    assert started.command[0] == sys.executable
    assert isinstance(used, ArtifactEvent)
    assert (used.path, used.size) == ("in.h5", 6)
    assert used.sha256 == hashlib.sha256(b"inside").hexdigest()
    assert isinstance(produced, ArtifactEvent)
    assert (produced.path, produced.properties) == (str(outside), {"id": "12e5"})
    assert isinstance(metric, Metric)
    assert metric.values == {"epoch": 1, "loss": 0.5}
    assert isinstance(ended, Ended)
    assert (ended.status, ended.error) == ("completed", "")
    assert ended.peak_memory_bytes > 1_000_000


@pytest.mark.parametrize(
    ("variables", "job"),
    [
        ({}, ""),
        ({"SLURM_JOB_ID": "12", "SLURM_STEP_ID": "0"}, "slurm 12.0"),
        ({"SLURM_JOB_ID": "12"}, "slurm 12"),
        ({"PBS_JOBID": "7.server"}, "pbs 7.server"),
    ],
)
def test_an_execution_knows_its_job(
    journal: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], job: str
) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_STEP_ID", "PBS_JOBID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with events.execution(journal, pipeline="p", context="c", name="n"):
        pass
    started = read(journal)[0]
    assert isinstance(started, Started)
    assert started.job == job


def test_a_program_learns_where_to_add_its_events(journal: Path) -> None:
    assert events.environment() == {}
    with events.execution(journal, pipeline="p", context="c", name="n") as run:
        assert events.environment() == {
            "PARSLFLOW_JOURNAL": str(journal),
            "PARSLFLOW_EXECUTION": run.id,
        }
    assert events.environment() == {}


def test_an_error_ends_the_execution_as_failed_and_propagates(journal: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        events.execution(journal, pipeline="p", context="c", name="n"),
    ):
        raise KeyboardInterrupt("stop")
    ended = read(journal)[-1]
    assert isinstance(ended, Ended)
    assert (ended.status, ended.error) == ("failed", "KeyboardInterrupt: stop")


def test_a_file_that_changes_is_hashed_again(journal: Path) -> None:
    path = journal.parent / "file"
    with events.execution(journal, pipeline="p", context="c", name="n") as run:
        for content in (b"one", b"two!"):
            path.write_bytes(content)
            run.used(path, kind="dataset")
    hashes = [event.sha256 for event in read(journal) if isinstance(event, ArtifactEvent)]
    assert hashes == [hashlib.sha256(content).hexdigest() for content in (b"one", b"two!")]


def test_what_cannot_be_journalled_is_said_at_once(journal: Path) -> None:
    with events.execution(journal, pipeline="p", context="c", name="n") as run:
        with pytest.raises(ParslflowError, match=r"used .*/nowhere, but there is no such file"):
            run.used(journal / "nowhere", kind="dataset")
        with pytest.raises(UsageError, match="series name 'a/b'"):
            run.metric("a/b", {})
        with pytest.raises(TypeError, match="no event can hold it"):
            run.result({"x": object()})  # type: ignore[dict-item]
    with (
        pytest.raises(UsageError, match=r"execution name '\.\./up'"),
        events.execution(journal, pipeline="p", context="c", name="../up"),
    ):
        pass
    assert len(list(journal.iterdir())) == 1


@given(
    strategies.dictionaries(
        strategies.text(),
        strategies.one_of(
            strategies.integers(), strategies.floats(allow_nan=False), strategies.text()
        ),
    )
)
def test_any_values_survive(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Value]
) -> None:
    journal = tmp_path_factory.mktemp("any") / "journal"
    journal.mkdir()
    with events.execution(journal, pipeline="p", context="c", name="n") as run:
        run.metric("series", values)
    metric = read(journal)[1]
    assert isinstance(metric, Metric)
    assert metric.values == values
    assert [type(value) for value in metric.values.values()] == [
        type(value) for value in values.values()
    ]


def test_threads_can_share_an_execution(journal: Path) -> None:
    with events.execution(journal, pipeline="p", context="c", name="n") as run:

        def write() -> None:
            for _ in range(200):
                run.metric("s", {"x": 1})

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    (path,) = journal.glob("*.jsonl")
    found = read_file(path)
    assert sorted(event["sequence"] for event in found) == list(range(802))
    assert (found[0]["event"], found[-1]["event"]) == ("started", "ended")


def test_many_processes_write_at_once(journal: Path) -> None:
    code = f"""
from pathlib import Path
from parslflow.provenance import events
for number in range(3):
    with events.execution(
        Path({str(journal)!r}), pipeline="p", context="c", name=f"same-{{number}}"
    ) as run:
        for row in range(200):
            run.metric("series", {{"row": row}})
"""
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(8)]
    assert [process.wait() for process in processes] == [0] * 8
    paths = list(journal.glob("*.jsonl"))
    assert len(paths) == 24
    for path in paths:
        found, problems = read_checked(path)
        assert problems == []
        rows = [event.values["row"] for event in found if isinstance(event, Metric)]
        assert rows == list(range(200))


def test_a_killed_process_leaves_whole_lines(journal: Path) -> None:
    code = f"""
from pathlib import Path
from parslflow.provenance import events
with events.execution(Path({str(journal)!r}), pipeline="p", context="c", name="n") as run:
    print("begun", flush=True)
    while True:
        run.metric("series", {{"text": "x" * 5000}})
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == b"begun\n"
    (path,) = journal.glob("*.jsonl")
    while path.stat().st_size < 1_000_000:
        assert process.poll() is None
    process.kill()
    process.wait()
    found = read(journal)
    assert len(found) > 100
    assert not any(isinstance(event, Ended) for event in found)


def test_a_full_disk_is_told_and_costs_only_what_did_not_fit(journal: Path) -> None:
    code = f"""
import resource, signal
from pathlib import Path
from parslflow.errors import ParslflowError
from parslflow.provenance import events
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with events.execution(Path({str(journal)!r}), pipeline="p", context="c", name="n") as run:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
    for _ in range(2):
        try:
            run.metric("series", {{"text": "x" * 5000}})
        except ParslflowError as error:
            print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    run.metric("series", {{"text": "there is room"}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    cut, refused = done.stdout.splitlines()
    assert "an event cannot be written: is the disk full? Free some space" in cut
    assert "an event cannot be written (File too large): is the disk full?" in refused
    (path,) = journal.glob("*.jsonl")
    found, problems = read_checked(path)
    assert [event.event for event in found] == ["started", "metric", "ended"]
    (problem,) = problems
    assert "line 2 is no event" in problem


def test_events_need_only_the_standard_library() -> None:
    code = """
import sys
before = set(sys.modules)
from parslflow.provenance import events
loaded = {name.split(".")[0] for name in set(sys.modules) - before}
print(sorted(loaded - sys.stdlib_module_names))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['parslflow']"
