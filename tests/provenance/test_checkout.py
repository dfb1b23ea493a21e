from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.provenance.checkout import cache_path
from parslflow.provenance.checkout import checkout
from parslflow.provenance.database import open_metadata
from parslflow.provenance.finding import find_artifact
from parslflow.provenance.graph import read
from parslflow.rundir import RunDir

pytestmark = pytest.mark.timeout(300)

FIRST = hashlib.sha256(b"a first figure").hexdigest()


def test_an_old_version_is_brought_back_by_hash(own_run: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "old.png"
    done = checkout(own_run, FIRST[:12], target)
    assert target.read_text() == "a first figure"
    assert (done.path, done.already_there, done.pulled) == (target, False, False)
    target.write_text("it is a copy, and can be changed")
    assert checkout(own_run, f"losses.png@{FIRST[:6]}", tmp_path / "again.png").path.exists()
    assert (own_run / "report" / "losses.png").read_text() == "a second figure"


def test_a_file_comes_back_to_its_own_place(own_run: Path) -> None:
    path = own_run / "samples" / "batch-1.h5"
    content = path.read_bytes()
    assert checkout(own_run, "batch-1.h5").already_there
    shutil.rmtree(path.parent)
    assert not checkout(own_run, "batch-1.h5").already_there
    assert path.read_bytes() == content


def test_another_file_is_not_overwritten(own_run: Path) -> None:
    path = own_run / "report" / "losses.png"
    path.unlink()
    path.write_text("my own")
    with pytest.raises(UsageError, match="--to"):
        checkout(own_run, "losses.png")
    assert path.read_text() == "my own"


def test_what_the_cache_lacks_comes_from_the_remote(own_run: Path, tmp_path: Path) -> None:
    run = RunDir(own_run)
    md5 = find_artifact(read(own_run), FIRST).md5
    cached = cache_path(run, md5)
    remote = run.provenance.parent / "dvc-remote" / "files" / "md5" / md5[:2] / md5[2:]
    remote.parent.mkdir(parents=True)
    shutil.move(cached, remote)
    environment = dict(os.environ)
    done = checkout(own_run, FIRST, tmp_path / "old.png")
    assert done.pulled
    assert done.path.read_text() == "a first figure"
    assert dict(os.environ) == environment
    cached.unlink()
    remote.unlink()
    with pytest.raises(ParslflowError, match="does not have"):
        checkout(own_run, FIRST, tmp_path / "never.png")
    assert not (tmp_path / "never.png").exists()


def test_a_damaged_copy_is_named_and_not_delivered(own_run: Path, tmp_path: Path) -> None:
    cached = cache_path(RunDir(own_run), find_artifact(read(own_run), FIRST).md5)
    cached.chmod(0o644)
    cached.write_text("a worst figure")
    with pytest.raises(ParslflowError, match=str(cached)):
        checkout(own_run, FIRST, tmp_path / "old.png")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_never_came_to_dvc_cannot_be_brought_back(own_run: Path, tmp_path: Path) -> None:
    # As if the file had changed before the writer came to it: its hash is logged, a note is kept.
    store_sha256(own_run, FIRST, "0" * 64)
    with pytest.raises(ParslflowError, match="before DVC got it"):
        checkout(own_run, "0" * 64, tmp_path / "old.png")


def store_sha256(root: Path, old: str, new: str) -> None:
    store = open_metadata(root)
    (artifact,) = (
        one
        for one in store.get_artifacts_by_type("Dataset")
        if one.custom_properties["sha256"].string_value == old
    )
    artifact.custom_properties["sha256"].string_value = new
    store.put_artifacts([artifact])
