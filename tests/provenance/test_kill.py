"""A writer that is killed at any of its steps loses nothing and doubles nothing."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from parslflow.provenance.database import read_records

from .conftest import run_killed_writer
from .conftest import write_small_run

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def journalled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never logged."""
    folder = tmp_path_factory.mktemp("journalled")
    write_small_run(folder / "run", outside=folder / "topography.nc")
    return folder


def contents(root: Path) -> list[Counter[object]]:
    """What CMF and git have, without ids, times and other things of chance."""
    records = read_records(root)
    names = {one.id: one.name for one in records.executions}
    # Of a series of metrics the place has a UUID; of metrics as a whole the name.
    hashes = {
        key: one.external_id or (one.type, one.name.split(":")[0].rsplit("/", maxsplit=1)[-1])
        for key, one in records.artifacts.items()
    }
    cmf = root / "provenance" / "cmf"
    git = ["git", "-C", str(cmf)]
    tracked = subprocess.check_output([*git, "ls-tree", "-r", "--name-only", "HEAD"], text=True)
    changed = subprocess.check_output([*git, "status", "--porcelain"], text=True)
    return [
        Counter(
            (
                one.name,
                one.type,
                *sorted((key, str(one.custom_properties[key])) for key in one.custom_properties),
            )
            for one in records.executions
        ),
        Counter(
            (
                hashes[one.id],
                *sorted((key, str(one.custom_properties[key])) for key in one.custom_properties),
            )
            for one in records.artifacts.values()
        ),
        Counter(
            (names[one.execution_id], hashes[one.artifact_id], one.type) for one in records.events
        ),
        Counter(Path(line).name for line in tracked.splitlines()),
        Counter(changed.splitlines()),
        Counter(
            path.name
            for path in cmf.rglob("*")
            if path.is_file() and ".git/" not in str(path) and ".dvc/tmp" not in str(path)
        ),
    ]


def test_a_kill_at_any_step_changes_nothing(journalled: Path, tmp_path: Path, long: bool) -> None:
    def copied(name: str) -> Path:
        shutil.copytree(journalled, tmp_path / name)
        return tmp_path / name / "run"

    clean = copied("clean")
    total = run_killed_writer(clean, 0)
    assert total is not None
    wanted = contents(clean)
    assert wanted[2].total() == 24
    assert not wanted[4]
    for step in range(1, total, 9 if long else total // 4):
        killed = copied(str(step))
        assert run_killed_writer(killed, step) is None, step
        assert run_killed_writer(killed, 0) is not None
        for found, expected in zip(contents(killed), wanted, strict=True):
            assert (step, found - expected, expected - found) == (step, Counter(), Counter())
