"""What a Slurm can do to the loop: blocks are cancelled, cut off, refused, or never start."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from parslflow.simulation.checkpoints import WENT_ON_FROM

from .scheduler import Scheduler
from .scheduler import said
from .scheduler import write_experiment
from .test_faults import COMMAND
from .test_faults import marked
from .test_faults import rows
from .test_faults import run_of

pytestmark = pytest.mark.timeout(500)

END_SECONDS = 120.0
"""A run that a block is taken from, or that gets none, ends within so long, or goes on."""

WHOLE_SECONDS = 300.0
"""No run takes so long."""

CANCELLED = {
    "blocks": (
        ("simulation", "generate-1"),
        ("sampling", "sample-1"),
        ("training", "train-EKE-ResNet-1"),
    ),
    "store": (("store", "generate-1"),),
}
"""Two runs: whose block is cancelled in it, a moment after which execution began."""


def wait_for(driver: subprocess.Popen[bytes], folder: Path, pattern: str) -> None:
    """Wait for a file of a run."""
    deadline = time.monotonic() + WHOLE_SECONDS
    while not any(folder.glob(f"runs/small-*/{pattern}")):
        assert driver.poll() is None, said(folder)
        assert time.monotonic() < deadline, said(folder)
        time.sleep(0.02)


def cancel(slurm: Scheduler, folder: Path, label: str) -> None:
    """Cancel the jobs of an executor of the run that was started in ``folder``."""
    for line in slurm.ask("squeue", "--noheader", "--format=%i %j %Z").splitlines():
        job, name, where = line.split(maxsplit=2)
        if name.startswith(f"parsl.{label}.") and Path(where) == folder:
            slurm.ask("scancel", job)


def complete(
    slurm: Scheduler,
    folder: Path,
    run: Path,
    driver: subprocess.Popen[bytes],
    seconds: float = WHOLE_SECONDS,
) -> None:
    """Wait for the end of a run, resuming it as it says."""
    for _ in range(3):
        code = driver.wait(seconds)
        assert "Traceback" not in (folder / "stderr").read_text(), said(folder)
        assert gone(driver.pid)
        if code == 0:
            return
        assert f"'parslflow resume {run}'" in (folder / "stderr").read_text(), said(folder)
        driver = slurm.start(folder, "resume", run)
    raise AssertionError(said(folder))


def gone(driver: int) -> bool:
    """Whether all that a driver started ends soon after it."""
    deadline = time.monotonic() + 20
    while left := list(marked(driver)):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
    return True


def check(slurm: Scheduler, run: Path, undisturbed: Path) -> None:
    """All is there as if nothing had been."""
    np.testing.assert_array_equal(rows(run), rows(undisturbed))
    answer = subprocess.run(
        [*COMMAND, "verify", run], capture_output=True, text=True, timeout=120, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def disturbed(slurm: Scheduler, folder: Path, seed: int) -> Path:
    """A run whose blocks were cancelled at random moments."""
    write_experiment(folder)
    draw = random.Random(seed)
    driver = slurm.start(folder, "run", "small.toml")
    run = run_of(folder, set(), driver)
    for label, stage in CANCELLED[folder.name]:
        wait_for(driver, folder, f"journal/{stage}-*.jsonl")
        time.sleep(moment := draw.uniform(0, 1.5))
        cancel(slurm, folder, label)
        print(f"seed {seed}: cancelled {label} {moment:.2f} s after {stage} began")
    complete(slurm, folder, run, driver)
    return run


@pytest.fixture(scope="module")
def waiting(
    slurm: Scheduler, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.Popen[bytes]]:
    """A run in a partition whose nodes are drained. It waits while other tests run."""
    folder = tmp_path_factory.mktemp("waiting")
    write_experiment(folder)
    driver = slurm.start(folder, "run", "small.toml", partition="drained", nodes="1")
    return folder, driver


@pytest.fixture(scope="module")
def cancelled(
    slurm: Scheduler,
    waiting: object,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """By name, the runs whose blocks were cancelled, side by side."""
    root = tmp_path_factory.mktemp("cancelled")
    with ThreadPoolExecutor() as pool:
        runs = pool.map(lambda name: disturbed(slurm, root / name, seed=1), CANCELLED)
        return dict(zip(CANCELLED, runs, strict=True))


@pytest.mark.parametrize("name", CANCELLED)
def test_nothing_is_lost_when_blocks_are_cancelled(
    slurm: Scheduler, cancelled: dict[str, Path], slurm_run: Path, name: str
) -> None:
    check(slurm, cancelled[name], slurm_run)
    assert "executor 'store' has started for" not in said(cancelled[name].parents[1])


@pytest.mark.timeout(2000)
def test_nothing_is_lost_when_wall_times_end(slurm: Scheduler, tmp_path: Path, long: bool) -> None:
    if not long:
        pytest.skip("Slurm ends a block after a minute at least: --long")
    folders = {"00:01:00": tmp_path / "cut", "00:20:00": tmp_path / "undisturbed"}
    runs = []
    for walltime, folder in folders.items():
        write_experiment(folder, days=1500)
        driver = slurm.start(folder, "run", "small.toml", walltime=walltime)
        runs.append((folder, run_of(folder, set(), driver), driver))
    for folder, run, driver in runs:
        complete(slurm, folder, run, driver, seconds=900)
    (cut, run, _), (_, undisturbed, _) = runs
    check(slurm, run, undisturbed)
    # By itself, and from where it was.
    assert "The store was lost" in (cut / "stderr").read_text()
    assert "parslflow resume" not in (cut / "stderr").read_text()
    assert (run / "simulations" / "generate-1" / WENT_ON_FROM).exists()
    assert slurm.jobs() == ""


def test_a_queue_that_never_starts_is_told(
    slurm: Scheduler, waiting: tuple[Path, subprocess.Popen[bytes]]
) -> None:
    folder, driver = waiting
    deadline = time.monotonic() + END_SECONDS
    while (problem := (folder / "stderr").read_text()).count("has started for 1 min") < 2:
        assert driver.poll() is None, problem
        assert time.monotonic() < deadline
        time.sleep(0.2)
    told = re.findall(r"executor '(.*)' has started for 1 min \(job (\d+) is pending: ", problem)
    jobs = [line.split()[0] for line in slurm.jobs().splitlines() if "drained" in line]
    assert sorted(told) == sorted(zip(("simulation", "store"), sorted(jobs, key=int), strict=True))
    assert "DRAINED" in problem
    driver.send_signal(signal.SIGINT)
    assert driver.wait(30) == 1
    assert "interrupted" in (folder / "stderr").read_text()
    assert "Traceback" not in (folder / "stderr").read_text()
    assert gone(driver.pid)
    assert "drained" not in slurm.jobs()


@pytest.mark.parametrize("command", ["run", "doctor"])
def test_a_partition_that_does_not_exist_is_told(
    slurm: Scheduler, tmp_path: Path, command: str
) -> None:
    write_experiment(tmp_path)
    driver = slurm.start(tmp_path, command, "small.toml", partition="debgu")
    assert driver.wait(END_SECONDS) == 1
    assert "debgu" in said(tmp_path)
    assert "Traceback" not in said(tmp_path)
    if command == "run":
        assert "--site-option" in (tmp_path / "stderr").read_text()
    assert gone(driver.pid)


def test_no_job_is_left(slurm: Scheduler, cancelled: dict[str, Path]) -> None:
    assert slurm.jobs() == ""
