"""A run that is killed, resumed, rolled back, and whose metadata could not be written."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import h5py
import pytest
import tomlkit

from parslflow.finished import Finished
from parslflow.provenance import journal as journals
from parslflow.rundir import RunDir

from .test_loop import SMALL
from .test_loop import processes_that_name

pytestmark = pytest.mark.timeout(400)

COMMAND = [sys.executable, "-m", "parslflow"]


def parslflow(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    answer = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )
    assert answer.returncode == code, answer.stdout + answer.stderr
    return answer


def executions(run: RunDir) -> Counter[str]:
    """How often each execution ended, by its name."""
    return Counter(
        events[0]["name"]
        for paths in journals.files(run.journal).values()
        for events in [journals.read_file(paths[0])]
        if events[-1]["event"] == "ended"
    )


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run whose driver was killed after the first training, and all of its processes with it."""
    folder = tmp_path_factory.mktemp("killed")
    experiment = tomlkit.parse(SMALL.read_text())
    for part in ("first", "again"):
        experiment["training"][part]["epochs"] = 2
    (folder / "small.toml").write_text(tomlkit.dumps(experiment))
    driver = subprocess.Popen(
        [*COMMAND, "run", "small.toml"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not list(folder.glob("runs/small-*/journal/evaluate-0-*")):
        assert driver.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # Parsl's processes live on for minutes when their driver is gone.
    subprocess.run(["pkill", "-KILL", "--session", str(driver.pid)], check=True)
    driver.wait()
    [root] = (folder / "runs").glob("small-*")
    run = RunDir(root)
    while processes_that_name(root) or Finished(run).still_running():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return run


@pytest.fixture(scope="module")
def resumed(killed: RunDir) -> RunDir:
    answer = parslflow("status", killed.root)
    assert "none is at work" in answer.stdout
    begins = answer.stdout.partition("'parslflow resume' begins with ")[2]
    # On a busy machine the regressions may not have been done.
    assert begins.removeprefix("baselines-0, ").startswith("generate-1, sample-1")
    answer = parslflow("resume", killed.root)
    for name in ("spinup-high-15x20", "spinup-high", "base", "prepare", "train-EKE-ResNet-0"):
        assert f"{name}  started" not in answer.stdout
    assert "Chosen model" in answer.stdout
    return killed


def test_a_killed_run_goes_on_without_doing_anything_twice(resumed: RunDir) -> None:
    ended = executions(resumed)
    # A simulation that had ended before its tiles were sampled runs again with the sampler.
    assert {name for name, times in ended.items() if times > 1} <= {"store", "generate-1"}
    assert ended["sample-1"] == ended["train-EKE-ResNet-1"] == 1
    with h5py.File(resumed.samples / "batch-1.h5") as batch:
        assert batch.attrs["times"] == 3
    summary = json.loads((resumed.report / "summary.json").read_text())
    assert [row["iteration"] for row in summary["iterations"]] == [0, 1]
    assert summary["problem"] == ""


def test_a_run_that_is_done_does_nothing_but_deploy(resumed: RunDir) -> None:
    assert "nothing is left to do" in parslflow("status", resumed.root).stdout
    before = executions(resumed)
    parslflow("resume", resumed.root)
    again = executions(resumed) - before
    assert {name.rpartition("-EKE")[0] or name for name in again} == {"store", "deploy"}


def test_a_rollback_is_deployed_by_the_next_resume(resumed: RunDir) -> None:
    chosen = json.loads((resumed.report / "summary.json").read_text())["chosen"]
    earlier = "EKE-ResNet-0" if chosen != "EKE-ResNet-0" else "EKE-Bottleneck-0"
    answer = parslflow("rollback", resumed.root, earlier, "--reason", "it blew up")
    assert f"{earlier} is deployed instead of {chosen}." in answer.stdout
    answer = parslflow("rollback", resumed.root, earlier, code=2)
    assert f"'{earlier}' is the deployed model" in answer.stderr
    answer = parslflow("rollback", resumed.root, "EKE-ResNet-9", code=2)
    assert "has no model 'EKE-ResNet-9': choose from EKE-" in answer.stderr

    before = executions(resumed)
    answer = parslflow("resume", resumed.root)
    assert f"Rolled back to {earlier}, which has test loss" in answer.stdout
    again = executions(resumed) - before
    assert set(again) == {"store", f"deploy-{earlier}", f"low-{earlier}", "figures"}
    low = resumed.simulations / f"low-{earlier}" / "input.nml"
    assert earlier in low.read_text()


def test_a_run_goes_on_when_its_metadata_cannot_be_written(resumed: RunDir) -> None:
    chosen = json.loads((resumed.report / "summary.json").read_text())["chosen"]
    aside = resumed.provenance.with_name("aside")
    resumed.provenance.rename(aside)
    resumed.provenance.write_text("no folder")
    try:
        answer = parslflow("resume", resumed.root, code=1)
    finally:
        resumed.provenance.unlink()
        aside.rename(resumed.provenance)
    assert f"Chosen model  {chosen}" in answer.stdout
    assert "CMF lacks a part of this run" in answer.stderr
    assert f"'parslflow record {resumed.root}' completes" in answer.stderr
    assert "Traceback" not in answer.stderr
    parslflow("resume", resumed.root)


def test_no_process_is_left_behind(resumed: RunDir) -> None:
    deadline = time.monotonic() + 10
    while left := processes_that_name(resumed.root):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
