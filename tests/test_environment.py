from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from parslflow import environment
from parslflow.errors import UsageError
from parslflow.provenance import events
from parslflow.provenance.journal import read_file
from parslflow.rundir import RunDir
from parslflow.sites import Choice


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    found = RunDir(tmp_path / "run")
    found.create()
    return found


def test_executions_know_commit_and_software(tmp_path: Path, run: RunDir) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "mine.toml").write_text("one")
    git(folder, "init", "-q")
    git(folder, "add", "mine.toml")
    git(folder, "commit", "-q", "-m", "mine")
    commit = git(folder, "rev-parse", "HEAD")
    environment.record(run, folder / "mine.toml", Choice("local"))
    with events.execution(run.journal, pipeline="p", context="c", name="n") as execution:
        pass
    started = read_file(run.journal / f"{execution.id}.jsonl")[0]
    assert started["commit"] == commit
    assert started["environment"] == environment.read(run)["environment"]
    assert len(started["environment"]) == 64

    (folder / "mine.toml").write_text("two")
    environment.record(run, folder / "mine.toml", Choice("local"))
    assert environment.read(run)["commit"] == f"{commit}-modified"
    assert environment.read(run)["environment"] == started["environment"]


def test_without_git_there_is_no_commit(tmp_path: Path, run: RunDir) -> None:
    environment.record(run, tmp_path / "mine.toml", Choice("sites/mine.py"))
    content = environment.read(run)
    assert content["commit"] == ""
    assert content["site"] == str(Path("sites/mine.py").resolve())
    assert "numpy" in content["packages"]


@pytest.mark.parametrize("text", [None, "{", "[]", json.dumps({"site": "local"})])
def test_a_damaged_file_is_one_sentence(run: RunDir, text: str | None) -> None:
    if text is not None:
        run.environment.write_text(text)
    with pytest.raises(UsageError, match=r"environment\.json cannot be read .* start the exp"):
        environment.read(run)
