from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from parslflow.provenance import answers
from parslflow.provenance.checkout import cache_path
from parslflow.provenance.finding import find_artifact
from parslflow.provenance.graph import read
from parslflow.provenance.verification import verify
from parslflow.rundir import RunDir

from .conftest import LoggedRun

pytestmark = pytest.mark.timeout(300)

BATCH = "samples/batch-1.h5"


def problems(root: Path) -> list[tuple[str, str, str]]:
    return [(one.about, one.name, one.state) for one in verify(root).problems]


def cached(root: Path, name: str) -> Path:
    return cache_path(RunDir(root), find_artifact(read(root), name).md5)


def overwrite(path: Path, text: str) -> None:
    """Write into the file itself, as root can whatever its mode is."""
    path.chmod(0o644)
    path.write_text(text)


def test_all_is_as_it_was_logged(loop_run: Path) -> None:
    said: list[tuple[int, int]] = []
    found = verify(loop_run, lambda done, total: said.append((done, total)))
    assert found.problems == ()
    # One file was drawn twice.
    assert (found.files, found.versions, found.executions) == (24, 25, 21)
    assert found.objects >= found.versions
    assert said[0] == (0, found.bytes)
    assert said[-1] == (found.bytes, found.bytes)
    assert answers.of_verification(found).endswith("all as it was logged.")


def test_a_run_whose_writer_was_killed_is_whole(logged_run: LoggedRun) -> None:
    assert problems(logged_run.root) == []


def test_a_file_that_was_replaced(own_run: Path) -> None:
    path = own_run / BATCH
    path.unlink()
    path.write_text("other samples")
    (problem,) = verify(own_run).problems
    assert (problem.about, problem.name, problem.state) == ("file", BATCH, "changed")
    assert "sample-1-" in problem.sentence
    assert "parslflow checkout" in problem.sentence


def test_a_file_that_was_overwritten_in_place_is_lost_with_its_version(own_run: Path) -> None:
    path = own_run / BATCH
    if path.stat().st_nlink == 1:
        pytest.skip("the file system has no hard links")
    overwrite(path, "other samples")
    (problem,) = verify(own_run).problems
    assert (problem.about, problem.name, problem.state) == ("file", BATCH, "lost")
    assert "overwritten in place" in problem.sentence


def test_a_file_that_is_gone(own_run: Path) -> None:
    (own_run / BATCH).unlink()
    assert problems(own_run) == [("file", BATCH, "missing")]
    cached(own_run, BATCH).unlink()
    assert problems(own_run) == [("file", BATCH, "lost")]


def test_a_version_that_is_gone_is_looked_for_in_the_remote(own_run: Path) -> None:
    old = hashlib.sha256(b"a first figure").hexdigest()
    copy = cached(own_run, old)
    remote = own_run / "provenance" / "dvc-remote" / "files" / "md5" / copy.parent.name / copy.name
    remote.parent.mkdir(parents=True)
    shutil.move(copy, remote)
    assert problems(own_run) == []
    remote.unlink()
    assert problems(own_run) == [("version", "report/losses.png", "lost")]


def test_versions_that_are_damaged(own_run: Path) -> None:
    old = cached(own_run, hashlib.sha256(b"a first figure").hexdigest())
    overwrite(old, "damage")
    copy = cached(own_run, BATCH)
    copy.unlink()
    copy.write_text("damage")
    unknown = old.parent.parent / "ab" / ("0" * 30)
    unknown.parent.mkdir(exist_ok=True)
    unknown.write_text("nobody knows")
    assert sorted(problems(own_run)) == [
        ("version", "ab" + "0" * 30, "damaged"),
        ("version", "report/losses.png", "lost"),
        ("version", BATCH, "damaged"),
    ]
    assert (own_run / BATCH).exists()


def test_what_cmf_lacks_or_has_twice(own_run: Path) -> None:
    database = sqlite3.connect(own_run / "provenance" / "cmf" / "mlmd")
    graph = read(own_run)
    by_name = {one.name: int(one.id.split("-")[1]) for one in graph.executions.values()}
    batch = int(find_artifact(graph, BATCH).id.split("-")[1])
    with database:
        database.execute(
            "delete from Event where execution_id = ? and artifact_id = ?",
            (by_name["sample-1"], batch),
        )
        database.execute("delete from Execution where id = ?", (by_name["deploy"],))
        database.execute("delete from Event where execution_id = ?", (by_name["deploy"],))
    database.close()
    found = [one for one in verify(own_run).problems if one.about == "cmf"]
    assert sorted(one.name.rsplit("-", 1)[0] for one in found) == ["deploy", "sample-1"]
    assert {one.state for one in found} == {"not logged"}
    assert any(BATCH in one.sentence for one in found)


def test_a_line_of_the_journal_that_is_no_event(own_run: Path) -> None:
    (path,) = (own_run / "journal").glob("deploy-*.jsonl")
    lines = path.read_text().split("\n")
    lines.insert(1, '{"schema": 2, "event": "us')
    path.write_text("\n".join(lines))
    (problem,) = verify(own_run).problems
    assert (problem.about, problem.state) == ("journal", "unreadable")
    assert f"{path}, line 2" in problem.sentence


def test_as_json(own_run: Path) -> None:
    (own_run / BATCH).unlink()
    written = json.loads(answers.to_json(verify(own_run)))
    assert written["problems"][0]["state"] == "missing"
