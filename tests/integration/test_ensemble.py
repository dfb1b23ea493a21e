"""Two members of High at once at a user's own site, one of which dies: the loop goes on without."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from parslflow.learning.samples import read_samples
from parslflow.provenance import journal as journals

from .test_loop import SMALL
from .test_loop import processes_that_name
from .test_restart import ranks

pytestmark = pytest.mark.timeout(400)

COMMAND = [sys.executable, "-m", "parslflow"]

SITE = """
\"\"\"This machine, with two simulations at a time.\"\"\"

from pathlib import Path

from parslflow import sites


def site(run_dir: Path) -> sites.Site:
    local = sites.load(sites.Choice("local"), run_dir)
    sites.executor(local, "simulation").provider.max_blocks = 2
    return local
"""

LOST = "generate-1-m2"


def summary(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "report" / "summary.json").read_text())
    return content


def spans(run: Path) -> dict[str, tuple[str, str]]:
    """When each execution that completed began and ended, the last of each name."""
    found: dict[str, tuple[str, str]] = {}
    for paths in journals.files(run / "journal").values():
        events = journals.read_file(paths[0])
        if events[-1]["event"] == "ended" and events[-1]["status"] == "completed":
            name, span = events[0]["name"], (events[0]["time"], events[-1]["time"])
            found[name] = max(found.get(name, span), span)
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose second member lost a rank in the first iteration, and none in the second."""
    folder = tmp_path_factory.mktemp("ensemble")
    experiment = tomlkit.parse(SMALL.read_text())
    experiment["training"]["control_seeds"] = 0
    experiment["high"] |= {"members": 2, "generate_days": 20}
    experiment["loop"]["iterations"] = 2
    (folder / "small.toml").write_text(tomlkit.dumps(experiment))
    (folder / "two.py").write_text(SITE)
    with (folder / "output").open("wb") as output:
        driver = subprocess.Popen(
            [*COMMAND, "run", "small.toml", "--site", "./two.py"],
            cwd=folder,
            stdout=output,
            stderr=output,
        )
    deadline = time.monotonic() + 200
    killed = False
    while driver.poll() is None:
        assert time.monotonic() < deadline
        for run in (folder / "runs").glob("small-*") if not killed else ():
            for rank in ranks(run / "simulations" / LOST):
                os.kill(rank, signal.SIGKILL)
                killed = True
                break
        time.sleep(0.002)
    assert driver.returncode == 0, (folder / "output").read_text()
    assert killed
    [run] = (folder / "runs").glob("small-*")
    return run


def test_the_loop_goes_on_without_the_member_that_died(run: Path) -> None:
    first, second = summary(run)["iterations"][1:]
    assert first["batch"] == "batch-1-m1.h5"
    assert list(first["failed"]) == ["2"]
    assert "exit code 137" in first["failed"]["2"]
    assert second["batch"] == "batch-2-m1.h5, batch-2-m2.h5"
    assert second["failed"] == {}
    output = (run.parents[1] / "output").read_text()
    assert "Iteration 1 is without member 2: phillips in" in output


def test_members_run_at_once(run: Path) -> None:
    began, ended = zip(*(spans(run)[f"generate-2-m{member}"] for member in (1, 2)), strict=True)
    assert max(began) < min(ended)


def test_members_come_to_other_states(run: Path) -> None:
    one, other = (read_samples(run / "samples" / f"batch-2-m{member}.h5") for member in (1, 2))
    assert one.runs != other.runs
    assert len(one) > 0
    assert len(other) > 0
    assert one.features.shape != other.features.shape or (one.features != other.features).any()


def test_every_batch_is_traced_to_its_member(run: Path) -> None:
    answer = subprocess.run(
        [*COMMAND, "verify", run], capture_output=True, text=True, timeout=120, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    answer = subprocess.run(
        [*COMMAND, "lineage", run, "batch-2-m2.h5", "--up"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    # It had to begin again from its noise.
    assert "generate-2-m2" in answer.stdout
    assert "perturb-m2" in answer.stdout
    assert "generate-1-m" not in answer.stdout


def test_what_died_is_made_up_for_when_the_run_is_resumed(run: Path) -> None:
    before = spans(run)
    answer = subprocess.run(
        [*COMMAND, "resume", run], capture_output=True, text=True, timeout=300, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    first, second = summary(run)["iterations"][1:]
    assert first["batch"] == "batch-1-m1.h5, batch-1-m2.h5"
    assert first["failed"] == second["failed"] == {}
    after = spans(run)
    for name in ("base", "generate-1-m1", "generate-2-m1", "train-EKE-ResNet-0"):
        assert after[name] == before[name]
    # It starts from another state now.
    assert after["generate-2-m2"] != before["generate-2-m2"]


def test_no_process_is_left_behind(run: Path) -> None:
    deadline = time.monotonic() + 30
    while left := processes_that_name(run):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
