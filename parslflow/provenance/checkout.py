"""Brings a version of a file back from DVC, and verifies it."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.provenance import remote
from parslflow.provenance.finding import find_artifact
from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import read
from parslflow.rundir import RunDir
from parslflow.rundir import atomic_path

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Checkout:
    """A file that was brought back."""

    artifact: Artifact
    path: Path
    already_there: bool
    """The file was there with this very content, so that nothing was written."""
    pulled: bool
    """The version was no longer in DVC's cache, and came from the remote."""


def checkout(run_root: Path, name: str, to: Path | None = None) -> Checkout:
    """Bring a version of a file back from DVC's cache, or else from its remote.

    Args:
        run_root: the run directory.
        name: a path in the run directory or the end of one, whose newest version is meant; the
            beginning of a SHA-256; or both as ``PATH@SHA256``.
        to: the file to write; by default the artifact's own place in the run directory.

    Raises:
        UsageError: there is no such artifact, or another file is in the way.
        ParslflowError: the run has no metadata, no copy of the version is left, or the copy is
            damaged; then nothing was written.
    """
    run = RunDir(run_root)
    artifact = find_artifact(read(run_root), name)
    if to is None and Path(artifact.path).is_absolute():
        raise UsageError(
            f"{artifact.path} lies outside the run directory: say with --to where this version "
            "shall go."
        )
    target = to if to is not None else run_root / artifact.path
    if os.path.lexists(target):
        if target.is_file() and _matches(artifact, target):
            return Checkout(artifact, target, already_there=True, pulled=False)
        raise UsageError(
            f"{target} is there with other content: name another file with --to, or move it away."
        )
    source = cache_path(run, artifact.md5)
    pulled = not source.is_file()
    if pulled:
        remote.pull(run, artifact.md5)
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
        sha256, md5 = digests(temporary)
        if md5 != artifact.md5:
            raise ParslflowError(
                f"{source}, DVC's copy of {artifact.path}, is damaged (its MD5 is {md5}), so "
                "nothing was written: remove it and check out again, which asks the remote."
            )
        if artifact.sha256 and sha256 != artifact.sha256:
            raise ParslflowError(
                f"The content of {artifact.path} was gone or had changed before DVC got it, so "
                f"that there is nothing to bring back: its SHA-256 was {artifact.sha256}."
            )
    return Checkout(artifact, target, already_there=False, pulled=pulled)


def cache_path(run: RunDir, md5: str) -> Path:
    """Where DVC's cache keeps the content with this MD5."""
    return cache(run) / md5[:2] / md5[2:]


def cache(run: RunDir) -> Path:
    """The folder of DVC's cache in which each content lies under its MD5."""
    return run.provenance / ".dvc" / "cache" / "files" / "md5"


def digests(path: Path) -> tuple[str, str]:
    """The SHA-256 and the MD5 of a file, which is read once."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            md5.update(chunk)
    return sha256.hexdigest(), md5.hexdigest()


def _matches(artifact: Artifact, path: Path) -> bool:
    sha256, md5 = digests(path)
    return (sha256 == artifact.sha256) if artifact.sha256 else (md5 == artifact.md5)
