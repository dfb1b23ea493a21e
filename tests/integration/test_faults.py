"""The loop while its processes are killed: it goes on, or ends with a sentence; nothing is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
import tomlkit

from parslflow.guard import VARIABLE

from .test_loop import SMALL

pytestmark = pytest.mark.timeout(0)

COMMAND = [sys.executable, "-m", "parslflow"]

END_SECONDS = 120.0
"""A run ends so soon after a kill that it does not survive, or goes on."""

MOST_RUNS = 5
"""So many runs are enough to meet each kind of process once."""

WHOLE_SECONDS = 300.0
"""No run takes so long."""

KINDS = {
    "rank": "phillips",
    "worker": "multiprocessing.spawn",
    "manager": "parslflow-workers",
    "interchange": "parsl: HTEX interchange",
    "store": "valkey-server",
    "writer": "parslflow.provenance.writer",
    "driver": "parslflow",
    "sampler": "sample-",
    "training": "train-",
}
"""What is killed, and by what in its command line it is known; for the last two, by the name of the
execution that the process is at."""

TRANSIENT = ("sampler", "rank", "training")
"""Those that are there for a short while only."""


def start(folder: Path, *arguments: str | Path) -> subprocess.Popen[bytes]:
    # A pipe would be open as long as any process of the run.
    with (folder / "stderr").open("wb") as errors:
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )


def marked(driver: int) -> Iterator[tuple[int, str]]:
    """The processes that a driver has started, with their command lines."""
    mark = f"{VARIABLE}={driver}-".encode()
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and mark in (folder / "environ").read_bytes():
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z":
                    yield int(folder.name), words


def at_work(run: Path) -> Iterator[tuple[int, str]]:
    """The processes at executions that have not ended, with the executions' names."""
    for path in run.glob("journal/*.jsonl"):
        if "@" in path.name:
            continue
        lines = path.read_text().splitlines()
        if lines and '"event":"ended"' not in lines[-1].replace(" ", ""):
            first = json.loads(lines[0])
            if Path(f"/proc/{first['pid']}").exists():
                yield first["pid"], first["name"]


def victims(driver: int, run: Path) -> dict[str, list[int]]:
    """By kind the processes that can be killed now."""
    processes = list(marked(driver))
    working = list(at_work(run))
    found: dict[str, list[int]] = {"driver": [driver]}
    for kind, word in KINDS.items():
        if kind in ("sampler", "training"):
            pids = [pid for pid, name in working if name.startswith(word)]
        elif kind == "rank":
            pids = [pid for pid, line in processes if line.split(" ")[0].endswith(f"/{word}")]
        elif kind == "writer":
            pids = _writers(run)
        else:
            pids = [
                pid
                for pid, line in processes
                if word in line and "resource_tracker" not in line and kind != "driver"
            ]
        if pids:
            found.setdefault(kind, pids)
    return found


def _writers(run: Path) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0") if folder.name.isdigit() else []
            if b"parslflow.provenance.writer" in words and os.fsencode(run) in words:
                found.append(int(folder.name))
    return found


def rows(run: Path) -> np.ndarray:
    """The kept samples, in the order of day, row and column."""
    with h5py.File(run / "samples" / "batch-1.h5") as batch:
        columns = [batch[name][:] for name in ("day", "j", "i", "eke")]
        columns.extend(batch["features"][:].T)
    table = np.column_stack(columns)
    return table[np.lexsort(table[:, 2::-1].T)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults")
    experiment = tomlkit.parse(SMALL.read_text())
    experiment["training"]["control_seeds"] = 0
    experiment["high"]["generate_days"] = 20
    for part in ("first", "again"):
        experiment["training"][part]["epochs"] = 30
    (folder / "small.toml").write_text(tomlkit.dumps(experiment))
    return folder


@pytest.fixture(scope="module")
def undisturbed(folder: Path) -> np.ndarray:
    driver = start(folder, "run", "small.toml")
    assert driver.wait(WHOLE_SECONDS) == 0, (folder / "stderr").read_text()
    [run] = (folder / "runs").glob("small-*")
    return rows(run)


def run_of(folder: Path, before: set[Path], driver: subprocess.Popen[bytes]) -> Path:
    """The directory of the run that a driver has begun."""
    deadline = time.monotonic() + 60
    while not (new := set((folder / "runs").glob("small-*")) - before):
        assert driver.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return new.pop()


def endure(folder: Path, left: list[str], draw: random.Random) -> tuple[Path, list[str]]:
    """A run from which one process of each kind in ``left`` is killed while it lasts."""
    before = set((folder / "runs").glob("small-*"))
    driver = start(folder, "run", "small.toml")
    run = run_of(folder, before, driver)
    killed: list[str] = []
    deadline = time.monotonic() + WHOLE_SECONDS
    while True:
        # What is there for moments only is looked for more often.
        time.sleep(draw.uniform(0.05, 0.2) if set(left) <= set(TRANSIENT) else draw.uniform(0.2, 2))
        if driver.poll() is not None:
            problem = (folder / "stderr").read_text()
            gone = time.monotonic() + 60
            while any(marked(driver.pid)):
                assert time.monotonic() < gone, list(marked(driver.pid))
                time.sleep(0.2)
            if driver.returncode == 0:
                return run, killed
            assert killed, problem
            assert "Traceback" not in problem, problem
            if killed[-1] != "driver":
                assert "resume" in problem or "see" in problem, problem
            driver = start(folder, "resume", run)
            deadline = time.monotonic() + WHOLE_SECONDS
            continue
        assert time.monotonic() < deadline, f"it hangs after {killed}"
        there = victims(driver.pid, run)
        kinds = [kind for kind in left if kind in there]
        hurry = [kind for kind in kinds if kind in TRANSIENT]
        if not kinds or (not hurry and draw.random() < 0.5):
            continue
        kind = draw.choice(hurry or kinds)
        with suppress(ProcessLookupError):
            os.kill(draw.choice(there[kind]), signal.SIGKILL)
            left.remove(kind)
            killed.append(kind)
            deadline = time.monotonic() + END_SECONDS + WHOLE_SECONDS


def seeds(config: pytest.Config) -> range:
    return range(7 if config.getoption("--long") else 1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", seeds(metafunc.config))


def test_nothing_is_lost_when_any_process_is_killed(
    folder: Path, undisturbed: np.ndarray, seed: int
) -> None:
    left = list(KINDS)
    draw = random.Random(seed)
    for _ in range(MOST_RUNS):
        run, killed = endure(folder, left, draw)
        print(f"seed {seed}: killed {', '.join(killed)} in {run.name}")
        np.testing.assert_array_equal(rows(run), undisturbed)
        verified = subprocess.run(
            [*COMMAND, "verify", run], capture_output=True, text=True, timeout=120, check=False
        )
        assert verified.returncode == 0, verified.stdout + verified.stderr
        if not left:
            return
    pytest.fail(f"not met in {MOST_RUNS} runs: {', '.join(left)}")
