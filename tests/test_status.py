from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import tomlkit

from parslflow import experiment as experiments
from parslflow import status
from parslflow.errors import DivergedError
from parslflow.errors import UsageError
from parslflow.provenance import events
from parslflow.provenance.events import Content
from parslflow.rundir import RunDir

DEMO = Path(__file__).resolve().parents[1] / "configs" / "experiments" / "demo.toml"


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    made = RunDir(tmp_path / "demo-1")
    made.create()
    content = experiments.load(DEMO).model_dump(mode="json", exclude_none=True)
    made.experiment.write_text(tomlkit.dumps(content))
    return made


def execution(run: RunDir, context: str, name: str, **properties: Content):  # noqa: ANN201
    return events.execution(
        run.journal, pipeline="demo", context=context, name=name, properties=properties
    )


def done(run: RunDir, context: str, name: str, **properties: Content) -> None:
    with execution(run, context, name, **properties):
        pass


def trained(run: RunDir, network: str, iteration: int, loss: float) -> None:
    name = f"{network}-{iteration}"
    with execution(
        run, "train", f"train-{name}", network=network, iteration=iteration, version=name
    ) as training:
        training.metric("epoch", {"epoch": 40, "epochs": 40, "train_loss": 9.0})
        training.result({"train_loss": loss, "validation_loss": 2 * loss, "test_loss": 3 * loss})


# What a driver of the demo has done until the first trainings are under way.
BEGIN = """
import os, signal, sys
from pathlib import Path
from parslflow.provenance import events
from parslflow.rundir import RunDir

run = RunDir(Path(sys.argv[1]))
def execution(context, name, **properties):
    return events.execution(
        run.journal, pipeline="demo", context=context, name=name, properties=properties
    )
with run.alone():
    for context, name in (
        ("spinup", "spinup-high"), ("spinup", "spinup-low"), ("base", "base"),
        ("prepare", "prepare"), ("assemble", "assemble-0"), ("baselines", "baselines-0"),
    ):
        with execution(context, name):
            pass
    network = {"network": "EKE-ResNet", "iteration": 0}
    with execution("train", "train-EKE-ResNet-0", **network) as training:
        training.metric(
            "epoch", {"epoch": 12, "epochs": 40, "train_loss": 0.5, "validation_loss": 0.25}
        )
        print("begun", flush=True)
        sys.stdin.read()
"""


def screen(run: RunDir) -> dict[str, str]:
    """The lines of the status by their first word; of several the last."""
    lines = status.to_text(status.read(run.root)).splitlines()
    assert len(lines) < 36
    return {line.split()[0]: " ".join(line.split()) for line in lines if line}


def test_a_run_that_is_at_work_and_then_killed(run: RunDir) -> None:
    driver = subprocess.Popen(
        [sys.executable, "-c", BEGIN, str(run.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert driver.stdout is not None
    assert driver.stdin is not None
    try:
        assert driver.stdout.readline() == "begun\n"
        lines = screen(run)
        place = f"process {driver.pid} on {socket.gethostname()}"
        assert lines["Driver"] == f"Driver {place}"
        assert lines["Iteration"] == "Iteration 0 of at most 3"
        assert lines["Deployed"] == "Deployed no model so far"
        assert "Next" not in lines
        assert lines["spinup"] == "spinup 2 - - -"
        assert lines["train"] == "train - 1 - -"
        assert "running, begun 20" in lines["train-EKE-ResNet-0"]
        assert lines["train-EKE-ResNet-0"].endswith("s ago epoch 12/40 validation_loss 0.25")
        assert lines["0"] == "0 EKE-ResNet 12 0.500 0.250 -"
    finally:
        driver.kill()
        driver.wait()
        driver.stdin.close()
        driver.stdout.close()

    lines = screen(run)
    assert lines["Driver"] == "Driver none is at work"
    assert lines["Next"] == (
        "Next 'parslflow resume' begins with train-EKE-ResNet-0, train-EKE-Bottleneck-0"
    )
    assert lines["train"] == "train - - - 1"
    assert "interrupted, begun 20" in lines["train-EKE-ResNet-0"]


def test_what_outlives_its_driver_is_named(run: RunDir) -> None:
    with execution(run, "spinup", "spinup-high"):
        lines = screen(run)
    assert lines["Driver"] == "Driver none is at work"
    assert lines["Next"] == (
        f"Next spinup-high (process {os.getpid()}) still runs; wait until it has ended, or end "
        "it, then resume"
    )


def test_what_failed_says_why_until_it_is_done(run: RunDir) -> None:
    trained(run, "EKE-Bottleneck", 0, 0.125)
    name = "train-EKE-ResNet-0"
    with (
        suppress(DivergedError),
        execution(run, "train", name, network="EKE-ResNet", iteration=0),
    ):
        raise DivergedError("EKE-ResNet diverged in epoch 3.\nTrace")
    lines = screen(run)
    assert lines["train"] == "train 1 - 1 -"
    assert lines[name].endswith("s ago: DivergedError: EKE-ResNet diverged in epoch 3.")
    assert "Trace" not in lines
    assert lines["0"] == "0 EKE-ResNet - - - -"
    trained(run, "EKE-ResNet", 0, 0.25)
    lines = screen(run)
    assert name not in lines
    assert lines["train"] == "train 2 - - -"
    assert lines["0"] == "0 EKE-ResNet 40 0.250 0.500 0.750"


def finish(run: RunDir) -> None:
    """All of a run whose first decision was good."""
    for context, name in (
        ("spinup", "spinup-high"),
        ("spinup", "spinup-low"),
        ("base", "base"),
        ("prepare", "prepare"),
        ("assemble", "assemble-0"),
        ("baselines", "baselines-0"),
        ("simulate-low", "low-meke"),
        ("simulate-low", "low-EKE-ResNet-0"),
        ("report", "figures"),
    ):
        done(run, context, name)
    for network in ("EKE-ResNet", "EKE-Bottleneck"):
        trained(run, network, 0, 0.25)
    with execution(run, "evaluate", "evaluate-0", iteration=0) as decision:
        decision.decision({"iteration": 0, "best": "EKE-ResNet-0", "good_enough": 1})
    done(run, "deploy", "deploy-EKE-ResNet-0", version="EKE-ResNet-0")


def test_a_run_that_is_done_and_one_that_was_rolled_back(run: RunDir) -> None:
    finish(run)
    lines = screen(run)
    assert lines["Deployed"] == "Deployed EKE-ResNet-0"
    assert lines["Next"] == "Next nothing is left to do"
    with execution(run, "rollback", "rollback-1", version="EKE-Bottleneck-0") as decision:
        decision.decision({"best": "EKE-Bottleneck-0", "before": "EKE-ResNet-0", "reason": ""})
    assert screen(run)["Next"] == "Next 'parslflow resume' begins with deploy-EKE-Bottleneck-0"


def test_a_run_that_did_nothing(run: RunDir) -> None:
    lines = screen(run)
    assert "Iteration" not in lines
    assert lines["Next"].startswith("Next 'parslflow resume' begins with spinup-high")


def test_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a run directory"):
        status.read(tmp_path)


# The command, and on standard error which files of the run it opened and what it imported.
COUNTED = """
import json, sys
root, opened = sys.argv[1], []
def watch(event, arguments):
    if event == "open" and str(arguments[0]).startswith(root):
        opened.append(str(arguments[0]))
sys.addaudithook(watch)
from parslflow.cli import main
code = main(["status", root])
heavy = {"torch", "parsl", "ml_metadata", "cmflib", "numpy", "dvc"} & set(sys.modules)
print(json.dumps([code, opened, sorted(heavy)]), file=sys.stderr)
"""


def test_a_thousand_executions_are_one_screen_and_one_look_at_each(run: RunDir) -> None:
    finish(run)
    trainings = range(1000 - len(list(run.journal.iterdir())))
    lost = len(trainings[::9])
    for number in trainings:
        name = f"train-EKE-ResNet-{number + 1}"
        network = {"network": "EKE-ResNet", "iteration": number + 1}
        with suppress(RuntimeError), execution(run, "train", name, **network) as training:
            for epoch in range(100):
                training.metric(
                    "epoch", {"epoch": epoch, "epochs": 100, "train_loss": 0.5, "number": number}
                )
            if number in trainings[::9]:
                raise RuntimeError("the node was lost")
            training.result({"test_loss": 0.5})
    files = sorted(map(str, run.journal.iterdir()))
    assert len(files) == 1000
    for path in files[::10]:
        Path(path).with_name(f"{Path(path).stem}@r1.jsonl").write_text("of a rank\n")

    began = time.monotonic()
    answer = subprocess.run(
        [sys.executable, "-c", COUNTED, str(run.root)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    print(f"{len(files)} executions: {time.monotonic() - began:.2f} s, start of Python included")
    code, opened, heavy = json.loads(answer.stderr)
    assert (code, heavy) == (0, [])
    assert sorted(path for path in opened if path.endswith(".jsonl")) == files
    assert len(opened) < len(files) + 5
    lines = answer.stdout.splitlines()
    assert len(lines) < 36
    assert f"{lost - status.MOST_OPEN} more that are not done" in answer.stdout
