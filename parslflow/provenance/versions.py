"""The versions of files, kept by DVC inside this process.

``dvc add`` takes a second to start, and then reads all ``.dvc`` files to see that none overlaps
with the new one. Here every version has a name of its own, so DVC's own objects for one file are
enough, and what a file costs does not grow with how many there are.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dvc.lock import LockError  # type: ignore[import-untyped]
from dvc.repo import Repo  # type: ignore[import-untyped]

from parslflow.provenance.events import has_content
from parslflow.provenance.schema import ArtifactEvent
from parslflow.rundir import RunDir
from parslflow.rundir import atomic_path

_LOCK_ATTEMPTS = 4


@dataclass(frozen=True)
class Version:
    """One version of a file in CMF's folder."""

    path: str
    """Its name there, relative to the folder."""
    md5: str
    url: str
    """Where the default remote keeps it, once it was pushed."""


class Versions:
    """DVC's repository of a run; the process stands in it."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        # Which files are in git is the repository's business: DVC would ask git for every file.
        self._repo = Repo(config={"core": {"no_scm": True}})
        self._remote = self._repo.cloud.get_remote_odb()
        _sweep(Path())

    def place(self, event: ArtifactEvent) -> str:
        """Put this version of a file into CMF's folder, and return its name there.

        A file of the run is linked, so that it needs no space; DVC makes it read-only, which
        keeps the version from being overwritten. A file of the user's elsewhere is copied.
        """
        source = self._run.root / event.path
        inside = not Path(event.path).is_absolute()
        place = Path(event.path) if inside else Path("external", source.name)
        place = place.with_name(f"{place.stem}.{event.sha256[:8]}{place.suffix}")
        if not has_content(source, event.sha256):
            print(
                f"{source} is gone or has changed since {event.execution} {event.event} it: its "
                "hash is logged, its content is not.",
                file=sys.stderr,
            )
            place = place.with_name(f"{place.name}.missing")
            if not place.exists():
                with atomic_path(place) as temporary:
                    temporary.write_text(
                        f"{event.path}\nsha256 {event.sha256}\n{event.size} bytes\n"
                    )
        elif not place.exists():
            with atomic_path(place) as temporary:
                _link_or_copy(source, temporary, link=inside)
        return str(place)

    def keep(self, names: Sequence[str]) -> dict[str, Version]:
        """Have DVC keep files of CMF's folder, each with a ``.dvc`` file beside it."""
        kept: dict[str, Version] = {}
        if names:
            with self._lock():
                for name in names:
                    kept[name] = self._keep(Path(name))
        return kept

    def url(self, md5: str) -> str:
        """Where the default remote keeps a version, once it was pushed."""
        return str(self._remote.fs.unstrip_protocol(self._remote.oid_to_path(md5)))

    def push(self) -> int:
        """Send what the default remote does not have, and return how many files these were."""
        return int(self._repo.push())

    def _keep(self, path: Path) -> Version:
        stage = self._repo.stage.create(
            single_stage=True,
            validate=False,
            fname=f"{path.absolute()}.dvc",
            wdir=str(path.absolute().parent),
            outs=[path.name],
        )
        (out,) = stage.outs
        out.add()
        stage.dump()
        md5 = str(out.hash_info.value)
        return Version(str(path), md5, self.url(md5))

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """DVC's lock, which someone who looks at the versions with ``dvc`` holds for a second."""
        for attempt in range(_LOCK_ATTEMPTS):
            try:
                self._repo.lock.lock()
            except LockError:
                if attempt == _LOCK_ATTEMPTS - 1:
                    raise
                time.sleep(1 + attempt)
            else:
                break
        try:
            yield
        finally:
            self._repo.lock.unlock()


def _sweep(folder: Path) -> None:
    """Remove what a killed writer, or its DVC, was about to put in its place."""
    left = list((folder / ".dvc" / "cache" / "files" / "md5").glob(".*.tmp"))
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in (".git", ".dvc")]
        left += [Path(parent, name) for name in names if re.fullmatch(r"\..*\.tmp", name)]
    for path in left:
        path.unlink()


def _link_or_copy(source: Path, target: Path, *, link: bool) -> None:
    if link:
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                raise
        else:
            return
    shutil.copyfile(source, target)
