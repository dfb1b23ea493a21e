from __future__ import annotations

import os
from pathlib import Path

import pytest

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
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
