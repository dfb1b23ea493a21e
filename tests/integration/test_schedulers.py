"""The whole loop through a real batch scheduler: ranks on its nodes, everything in blocks."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import h5py
import pytest

from parslflow.provenance.journal import read_file

from .scheduler import Scheduler
from .scheduler import said

pytestmark = [pytest.mark.timeout(500), pytest.mark.parametrize("name", ["slurm", "pbs"])]


@pytest.fixture
def scheduler(name: str, request: pytest.FixtureRequest) -> Scheduler:
    found: Scheduler = request.getfixturevalue(name)
    return found


@pytest.fixture
def run(name: str, request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(f"{name}_run")
    return found


def test_the_loop_ends_with_all_samples(run: Path) -> None:
    [first] = (path for path in run.glob("journal/spinup-high-15x20-*") if "@" not in path.name)
    steps = (event for event in read_file(first) if event["event"] == "metric")
    began = (run.parents[1] / "small.toml").stat().st_mtime
    seconds = datetime.fromisoformat(next(steps)["time"]).timestamp() - began
    print(f"The first day of a simulation ended {seconds:.1f} s after the command.")
    summary = json.loads((run / "report" / "summary.json").read_text())
    assert summary["problem"] == ""
    assert [row["iteration"] for row in summary["iterations"]] == [0, 1]
    with h5py.File(run / "samples" / "batch-1.h5") as batch:
        assert batch.attrs["times"] == 60


def test_every_executor_had_blocks_of_its_own(run: Path) -> None:
    scripts = [path.name for path in run.glob("logs/parsl/000/submit_scripts/*")]
    for label in ("simulation", "training", "sampling", "store"):
        assert any(name.startswith(f"parsl.{label}.block-") for name in scripts)


def test_a_run_that_is_done_is_resumed_at_its_site(run: Path, scheduler: Scheduler) -> None:
    environment = json.loads((run / "environment.json").read_text())
    assert environment["site"] == scheduler.site
    assert environment["site_options"] == scheduler.options
    folder = run.parents[1] / "resume"
    folder.mkdir()
    assert scheduler.start(folder, "resume", run).wait(300) == 0, said(folder)
    assert "deploy-" in said(folder)
    assert "spinup-high  started" not in said(folder)


def test_no_job_is_left(run: Path, scheduler: Scheduler) -> None:
    assert run.exists()
    assert scheduler.jobs() == ""
