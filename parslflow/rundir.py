"""Where everything of one run lies, and how a file gets there whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError

_FULL_BYTES = 1 << 16
"""A disk with less is full."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its name when the block succeeds.

    Readers see the old file or the new one, never a part. After an error nothing is left.

    Raises:
        ParslflowError: the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with full_disk_said(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def full_disk_said(path: Path) -> Iterator[None]:
    """Have an error of the block that comes from a full disk be one sentence.

    Args:
        path: what cannot be written, where the error does not name it.

    Raises:
        ParslflowError: the disk is full.
    """
    try:
        yield
    # torch knows no OSError.
    except (OSError, RuntimeError) as error:
        if not _comes_from_full_disk(error, path):
            raise
        named = isinstance(error, OSError) and error.filename
        raise ParslflowError(
            f"{named or path} cannot be written, since the disk is full (or your share of it): "
            "free some space, then 'parslflow resume' goes on."
        ) from error


def _comes_from_full_disk(error: OSError | RuntimeError, path: Path) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    # HDF5 gives no number, torch not even a reason.
    if os.strerror(errno.ENOSPC) in str(error) or os.strerror(errno.EDQUOT) in str(error):
        return True
    return is_full(path.parent)


def is_full(folder: Path) -> bool:
    """Whether its disk has next to nothing left."""
    return folder.is_dir() and shutil.disk_usage(folder).free < _FULL_BYTES


def write_private(path: Path, text: str) -> None:
    """Write a file, whole and for the owner's eyes only."""
    with atomic_path(path) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(text, encoding="utf-8")


def lock(file: IO[str] | IO[bytes], *, wait: bool, shared: bool = False) -> bool:
    """Whether a file's lock is this process's now, until the file is closed.

    A shared one keeps out those only that want it for themselves. Some parallel file systems have
    no locks: there nobody is kept out.
    """
    try:
        fcntl.flock(
            file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        )
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
            raise
    return True


@dataclass(frozen=True)
class RunDir:
    """The folder of one run. Each property is a place in it."""

    root: Path

    @classmethod
    def new(cls, parent: Path, name: str) -> RunDir:
        """A run directory ``parent/name-YYYYMMDD-HHMMSS`` that is not there yet."""
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        root = parent.resolve() / f"{name}-{stamp}"
        suffix = 1
        while root.exists():
            suffix += 1
            root = parent.resolve() / f"{name}-{stamp}-{suffix}"
        return cls(root)

    def create(self) -> None:
        """Make the folders."""
        for folder in (
            self.journal,
            self.store,
            self.simulations,
            self.samples,
            self.models,
            self.stages,
            self.logs,
            self.report,
        ):
            folder.mkdir(parents=True)

    @classmethod
    def open(cls, root: Path) -> RunDir:
        """The run directory at ``root``.

        Raises:
            UsageError: ``root`` is not the directory of a run.
        """
        run = cls(root.resolve())
        if not run.experiment.is_file():
            raise UsageError(
                f"{root} is not a run directory (it has no experiment.toml): give the path that "
                "'parslflow run' printed."
            )
        return run

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other drivers out of the run during the block.

        Raises:
            ParslflowError: one is at work.
        """
        with self._driver_lock.open("a+") as file:
            if not lock(file, wait=False):
                file.seek(0)
                raise ParslflowError(
                    f"{self.root} is at work ({file.read().strip()}): wait until it has ended, or "
                    "end it."
                )
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            yield

    def driver(self) -> str | None:
        """What the driver that is at work says of itself, such as ``process 12 on host``."""
        try:
            with self._driver_lock.open() as file:
                said = file.read().strip()
                return None if lock(file, wait=False, shared=True) else said
        except FileNotFoundError:
            return None

    @property
    def _driver_lock(self) -> Path:
        return self.root / "driver.lock"

    @property
    def experiment(self) -> Path:
        """The resolved experiment."""
        return self.root / "experiment.toml"

    @property
    def environment(self) -> Path:
        """Versions, host and command of the run."""
        return self.root / "environment.json"

    @property
    def journal(self) -> Path:
        """The events of every execution, one file each."""
        return self.root / "journal"

    @property
    def provenance(self) -> Path:
        """CMF's metadata with its own git and DVC."""
        return self.root / "provenance" / "cmf"

    @property
    def store(self) -> Path:
        """The store's address, log and stop file."""
        return self.root / "store"

    @property
    def simulations(self) -> Path:
        """One folder for each simulation that ran."""
        return self.root / "simulations"

    @property
    def samples(self) -> Path:
        """Base samples, clusters, batches, training sets."""
        return self.root / "samples"

    @property
    def models(self) -> Path:
        """Weights and TorchScript of every version."""
        return self.root / "models"

    @property
    def stages(self) -> Path:
        """The inputs of every stage as JSON."""
        return self.root / "stages"

    @property
    def logs(self) -> Path:
        """Parsl's logs and the writer's."""
        return self.root / "logs"

    @property
    def report(self) -> Path:
        """Summary, lineage and figures."""
        return self.root / "report"
