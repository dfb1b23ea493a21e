"""What a machine may refuse: the disk, programs, a home. Each is said, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from parslflow.errors import ParslflowError
from parslflow.provenance import events
from parslflow.provenance.graph import read
from parslflow.provenance.writer import Writer

MIB = 1 << 20


def log(root: Path, name: str, source: Path) -> None:
    (root / "journal").mkdir(parents=True, exist_ok=True)
    with events.execution(root / "journal", pipeline="p", context="c", name=name) as run:
        run.used(source, kind="dataset")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only who may mount can have a small disk")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("full_before", [True, False], ids=["before-it-starts", "as-it-copies"])
def test_a_full_disk_is_said_and_nothing_is_lost(
    small_disk: Path, tmp_path: Path, full_before: bool
) -> None:
    root = small_disk / "run"
    # Elsewhere, so that the writer must copy it.
    source = tmp_path / "source"
    source.write_bytes(os.urandom(12 * MIB))
    log(root, "first", source)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        # Short of the copy, or of anything.
        left = 0 if full_before else 4 * MIB
        while shutil.disk_usage(small_disk).free > left:
            file.write(bytes(4096))
    writer = Writer(root)
    with pytest.raises((ParslflowError, OSError), match=r"[Ff]ull|No space left"), writer:
        writer.flush(timeout_s=60)
    assert not full_before or not (root / "provenance" / "state.json").exists()
    filler.unlink()
    with Writer(root) as writer:
        writer.flush(timeout_s=60)
    graph = read(root)
    assert [one.name for one in graph.executions.values()] == ["first"]
    (artifact,) = graph.artifacts.values()
    kept = (root / "provenance" / "cmf" / "external").glob("source.*")
    (version,) = (path for path in kept if path.suffix != ".dvc")
    assert version.read_bytes() == source.read_bytes()
    assert artifact.path == str(source)


def run_writer(root: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    (root / "provenance").mkdir(exist_ok=True)
    (root / "provenance" / "stop").touch()
    return subprocess.run(
        [sys.executable, "-m", "parslflow.provenance.writer", str(root)],
        env=environment,
        capture_output=True,
        text=True,
    )


def test_no_home_no_identity_and_no_dvc_on_the_path_are_no_matter(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("data")
    log(tmp_path, "first", tmp_path / "data")
    git = shutil.which("git")
    assert git is not None
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "git").symlink_to(git)
    done = run_writer(tmp_path, {"PATH": str(programs), "HOME": "/nowhere", "GIT_AUTHOR_NAME": ""})
    assert (done.returncode, done.stderr) == (0, "")
    assert [one.status for one in read(tmp_path).executions.values()] == ["completed"]


def test_without_git_one_sentence_says_so(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("data")
    log(tmp_path, "first", tmp_path / "data")
    done = run_writer(tmp_path, os.environ | {"PATH": str(tmp_path)})
    assert done.returncode == 1
    assert "the program 'git' is not on PATH: install it." in done.stderr
    assert done.stderr.count("\n") == 1
    assert run_writer(tmp_path, dict(os.environ)).returncode == 0
    assert len(read(tmp_path).executions) == 1
