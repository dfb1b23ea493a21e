"""The loop on a disk that gets full at any stage: one sentence, and resumed when there is space."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from .test_faults import COMMAND
from .test_faults import marked
from .test_faults import rows
from .test_faults import start
from .test_loop import SMALL
from .test_loop import Finished

pytestmark = pytest.mark.timeout(600)

KIB = (700, 4000)
LONG_KIB = (200, 1500, 2500, 6000)
"""Sizes of the disk, so that different stages meet its end."""

ENOUGH = "64m"


@contextmanager
def disk(folder: Path, size: str) -> Iterator[None]:
    """A small disk at ``folder``."""
    folder.mkdir()
    if mount(folder, f"size={size}"):
        pytest.skip("only who may mount can have a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True, timeout=20)


def mount(folder: Path, options: str) -> int:
    """Mount a disk in memory, or change the one that is mounted."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
    return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kib" in metafunc.fixturenames:
        more = LONG_KIB if metafunc.config.getoption("--long") else ()
        metafunc.parametrize("kib", (*KIB, *more))


def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_space(
    finished: Finished, tmp_path: Path, kib: int
) -> None:
    folder, runs = tmp_path, tmp_path / "runs"
    with disk(runs, f"{kib}k"):
        driver = start(folder, "run", SMALL)
        assert driver.wait(240) == 1
        problem = (folder / "stderr").read_text()
        assert "Traceback" not in problem, problem
        assert "disk is full" in problem.lower(), problem
        [run] = runs.glob("small-*")
        assert str(run) in problem
        assert re.search(r"parslflow (resume|record)", problem), problem
        whole(run)
        print(problem)

        assert mount(runs, f"remount,size={ENOUGH}") == 0
        driver = start(folder, "resume", run)
        assert driver.wait(240) == 0, (folder / "stderr").read_text()
        np.testing.assert_array_equal(rows(run), rows(finished.run))
        verified = subprocess.run(
            [*COMMAND, "verify", run], capture_output=True, text=True, timeout=60, check=False
        )
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert not list(marked(driver.pid))


def whole(run: Path) -> None:
    """No file is there in part under its own name."""
    assert not list(run.rglob(".*.tmp"))
    for path in [*run.glob("samples/*.h5"), *run.glob("simulations/*/*.nc")]:
        with h5py.File(path) as file:
            for one in file.values():
                one[()]
