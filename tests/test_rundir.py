from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.provenance import events
from parslflow.rundir import RunDir
from parslflow.rundir import atomic_path


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_after_an_error_the_old_file_is_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 KiB."""
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", tmp_path]
    if subprocess.run(command, capture_output=True, timeout=20, check=False).returncode:
        pytest.skip("only who may mount can have a small disk")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True, timeout=20)


# In a process of its own: HDF5 is in no good state when a file could not be closed.
WRITE = """
import sys
from pathlib import Path

import numpy as np
import torch

from parslflow.errors import ParslflowError
from parslflow.learning import hdf5
from parslflow.rundir import atomic_path


def rows(path):
    with hdf5.create(path, "samples") as file:
        values = np.random.default_rng(1).normal(size=1 << 15)
        file.create_dataset("features", data=values, chunks=True, **hdf5.FILTERS)


def text(path):
    with atomic_path(path) as temporary:
        temporary.write_text("x" * (1 << 18))


def state(path):
    with atomic_path(path) as temporary:
        torch.save({"weights": torch.rand(1 << 15)}, temporary)


try:
    globals()[sys.argv[1]](Path(sys.argv[2]))
except ParslflowError as error:
    print(error, flush=True)
"""


@pytest.mark.parametrize("what", ["rows", "text", "state"])
def test_a_full_disk_is_said(small_disk: Path, what: str) -> None:
    path = small_disk / "file"
    answer = subprocess.run(
        [sys.executable, "-c", WRITE, what, path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = f"{path} cannot be written, since the disk is full"
    assert answer.stdout.startswith(said), answer.stderr
    assert list(small_disk.iterdir()) == []


def test_an_execution_that_cannot_begin_leaves_nothing(small_disk: Path) -> None:
    fill(small_disk)
    with (
        pytest.raises(ParslflowError, match="disk full"),
        events.execution(small_disk, pipeline="p", context="c", name="n"),
    ):
        pass
    assert not list(small_disk.glob("*.jsonl"))


def fill(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_two_runs_in_one_second_get_two_directories(tmp_path: Path) -> None:
    first = RunDir.new(tmp_path, "demo")
    first.create()
    second = RunDir.new(tmp_path, "demo")
    assert first.root != second.root
    second.create()
    assert second.journal.is_dir()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a run directory"):
        RunDir.open(tmp_path)


def test_one_driver_at_a_time(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    with (
        run.alone(),
        pytest.raises(ParslflowError, match=rf"at work \(process {os.getpid()} on"),
        RunDir(tmp_path).alone(),
    ):
        pass
    with run.alone():
        pass


def test_the_driver_that_is_at_work_is_told(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    assert run.driver() is None
    with run.alone():
        said = run.driver()
        assert said is not None
        assert said.startswith(f"process {os.getpid()} on ")
        # Asking takes nothing from anyone.
        assert run.driver() == said
    assert run.driver() is None
    with run.alone():
        pass
