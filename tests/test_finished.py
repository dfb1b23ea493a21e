from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from parslflow.finished import INPUTS
from parslflow.finished import Finished
from parslflow.provenance import events
from parslflow.records import Artifact
from parslflow.rundir import RunDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    found = RunDir(tmp_path / "run")
    found.create()
    return found


def train(run: RunDir, version: str, loss: float, inputs: str = "same") -> None:
    network, _, iteration = version.rpartition("-")
    (run.samples / "base.h5").write_text("base")
    (run.models / f"{version}.pt").write_text(version)
    with events.execution(
        run.journal,
        pipeline="p",
        context="train",
        name=f"train-{version}",
        properties={"network": network, "version": version, INPUTS: inputs},
    ) as execution:
        execution.used(run.samples / "base.h5", kind="dataset")
        execution.produced(run.models / f"{version}.pt", "model", {"iteration": int(iteration)})
        execution.result({"test_loss": loss})


def test_a_completed_stage_answers_as_it_did(run: RunDir) -> None:
    train(run, "A-0", 0.5)
    record = Finished(run).record("train-A-0", "same")
    assert record is not None
    assert record.read == (Artifact(run.samples / "base.h5", "dataset"),)
    assert record.wrote == (Artifact(run.models / "A-0.pt", "model", {"iteration": 0}),)
    assert record.metrics == {"test_loss": 0.5}


def test_what_differs_is_done_again(run: RunDir) -> None:
    train(run, "A-0", 0.5)
    assert Finished(run).record("train-A-0", "other settings") is None
    assert Finished(run).record("train-A-1", "same") is None
    (run.samples / "base.h5").write_text("other base")
    assert Finished(run).record("train-A-0", "same") is None
    (run.samples / "base.h5").write_text("base")
    assert Finished(run).record("train-A-0", "same") is not None
    (run.models / "A-0.pt").unlink()
    assert Finished(run).record("train-A-0", "same") is None


def test_a_failed_stage_is_done_again(run: RunDir) -> None:
    with (
        suppress(RuntimeError),
        events.execution(
            run.journal, pipeline="p", context="c", name="n", properties={INPUTS: "same"}
        ),
    ):
        raise RuntimeError
    assert Finished(run).record("n", "same") is None


def test_of_several_executions_the_last_counts(run: RunDir) -> None:
    train(run, "A-0", 0.5)
    train(run, "A-0", 0.4, inputs="new")
    finished = Finished(run)
    assert finished.record("train-A-0", "same") is None
    assert finished.test_losses() == {"A-0": 0.4}


def test_a_decision_stands_while_its_models_do(run: RunDir) -> None:
    train(run, "A-0", 0.5)
    script = run.models / "A-0.pt"
    with events.execution(run.journal, pipeline="p", context="evaluate", name="evaluate-0") as one:
        one.used(script, kind="model")
        one.decision({"best": "A-0"})
    assert Finished(run).decision("evaluate-0", [script]) == {"best": "A-0"}
    assert Finished(run).decision("evaluate-0", []) is None
    assert Finished(run).decision("evaluate-1", [script]) is None
    script.write_text("another")
    assert Finished(run).decision("evaluate-0", [script]) is None


def test_the_last_rollback_counts(run: RunDir) -> None:
    assert Finished(run).rolled_back() is None
    for number, version in enumerate(["A-1", "A-0"]):
        with events.execution(
            run.journal, pipeline="p", context="rollback", name=f"rollback-{number}"
        ) as execution:
            execution.decision({"best": version, "before": "", "reason": ""})
    assert Finished(run).rolled_back() == "A-0"


def test_an_execution_that_still_runs_is_seen(run: RunDir) -> None:
    code = f"""
import sys
from pathlib import Path
from parslflow.provenance import events
with events.execution(Path({str(run.journal)!r}), pipeline="p", context="c", name="alive"):
    print("begun", flush=True)
    sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == b"begun\n"
    # Nobody looked at it so far, which is when the kernel dates its folder in /proc.
    time.sleep(0.5)
    (alive,) = Finished(run).still_running()
    assert (alive.name, alive.pid, alive.host) == ("alive", process.pid, socket.gethostname())
    process.kill()
    process.wait()
    assert process.stdin is not None
    process.stdin.close()
    assert Finished(run).still_running() == []


def test_a_later_process_of_the_same_number_is_not_it(run: RunDir) -> None:
    with events.execution(run.journal, pipeline="p", context="c", name="old"):
        (path,) = run.journal.glob("*.jsonl")
    first = path.read_text().splitlines()[0]
    year = "2026-" if "2026-" in first else f"{first.split('time')[1][4:8]}-"
    path.write_text(first.replace(year, "2001-", 1) + "\n")
    assert str(os.getpid()) in first
    assert Finished(run).still_running() == []
