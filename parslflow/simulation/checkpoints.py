"""The restarts that the model leaves on its way, and the output up to each, until it has ended.

A model with ``restart_interval_days`` closes its output at every restart: ``daily.TIME.nc`` has
what came since the one before, and is whole when ``restart.TIME.nc`` is there. So a run that is
killed at any moment goes on from the last of them, and at its end all parts are one file.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import h5py

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.rundir import atomic_path
from parslflow.rundir import lock
from parslflow.simulation.settings import DAILY

WENT_ON_FROM = "went_on_from.nc"
"""What the restart that a run went on from is called when the run has ended."""

DAY_S = 86400.0

_TIME = "[0-9]" * 7 + "." + "[0-9]" * 5
_RESTARTS = f"restart.{_TIME}.nc"
_PARTS = f"daily.{_TIME}.nc"
_MADE_OF = "checkpoints.key"
_WAIT_S = 60.0


@dataclass(frozen=True)
class Checkpoint:
    """A restart on the way.

    Attributes:
        path: The file.
        stamp: Its time, as it is in the names of tiles.
        days: Days since the start of the case.
        sent: How many times the run had sent to its stream.
        unsent: Whether the store had not taken the tiles of this very time.
    """

    path: Path
    stamp: str
    days: float
    sent: int
    unsent: bool

    def is_sampled(self, stamps: Collection[str]) -> bool:
        """Whether these times are all that a run that goes on from here does not send again."""
        sampled = [
            one for one in stamps if one < self.stamp or (one == self.stamp and not self.unsent)
        ]
        return len(sampled) >= self.sent


@contextmanager
def alone(folder: Path) -> Iterator[IO[str]]:
    """Keep other runs of the model out of the folder.

    Yields:
        The file of the lock, for `share`.

    Raises:
        ParslflowError: One still goes on there.
    """
    deadline = time.monotonic() + _WAIT_S
    with (folder / "run.lock").open("a", encoding="utf-8") as file:
        # The ranks of a run whose stage was killed take a moment to end.
        while not lock(file, wait=False):
            if time.monotonic() > deadline:
                raise ParslflowError(
                    f"{folder}: an earlier run of the model still goes on there: end it, then "
                    "'parslflow resume' goes on."
                )
            time.sleep(0.1)
        yield file


def share(held: IO[str]) -> None:
    """Let the ranks of this run hold the lock too: they may outlive who starts them."""
    lock(held, wait=True, shared=True)


def last(folder: Path, key: str, sampled: Collection[str] | None) -> Checkpoint | None:
    """What a run goes on from; what lies beyond is deleted, since it is made again.

    Args:
        folder: Where the model runs.
        key: Stands for all that its result depends on: what was left of anything else is deleted.
        sampled: The times whose tiles need not be sent again; None where there is no stream.
    """
    made_of = folder / _MADE_OF
    found = None
    if made_of.is_file() and made_of.read_text(encoding="utf-8") == key:
        newest_first = map(_read, sorted(folder.glob(_RESTARTS), reverse=True))
        found = next(
            (one for one in newest_first if one and (sampled is None or one.is_sampled(sampled))),
            None,
        )
    _delete_after("" if found is None else found.stamp, folder)
    with atomic_path(made_of) as temporary:
        temporary.write_text(key, encoding="utf-8")
    return found


def days(restart: Path) -> float:
    """Days since the start of the case at which a restart is.

    Raises:
        UsageError: The file is no restart.
    """
    try:
        with h5py.File(restart) as file:
            return float(file.attrs["time"]) / DAY_S
    except (OSError, KeyError) as error:
        raise UsageError(f"{restart} is no restart of the model ({error}).") from None


def finish(folder: Path, begun: Checkpoint | None) -> Path | None:
    """Make one file of all output, and delete what only a run on its way needs.

    Args:
        folder: Where the model ran.
        begun: What it went on from.

    Returns:
        Where that is now.
    """
    _join(sorted(folder.glob(_PARTS)), folder / DAILY)
    # From here on nothing is left that a run could go on from.
    (folder / _MADE_OF).unlink()
    kept = None
    if begun is not None:
        kept = folder / WENT_ON_FROM
        os.replace(begun.path, kept)
    _delete_after("", folder)
    for path in (*folder.glob("restart*.part"), *folder.glob("daily*.part")):
        path.unlink()
    return kept


def _join(parts: list[Path], whole: Path) -> None:
    """Write the times of all parts to one file; of none there is none."""
    if not parts:
        return
    with atomic_path(whole) as temporary:
        shutil.copyfile(parts[0], temporary)
        with h5py.File(temporary, "r+") as file:
            for part in parts[1:]:
                with h5py.File(part) as more:
                    for name, variable in file.items():
                        if variable.maxshape[:1] == (None,):
                            there = len(variable)
                            variable.resize(there + len(more[name]), axis=0)
                            variable[there:] = more[name][()]


def _delete_after(stamp: str, folder: Path) -> None:
    """Delete the restarts and the output of later times, no restart after its output."""
    for pattern in (_RESTARTS, _PARTS):
        for path in sorted(folder.glob(pattern), reverse=True):
            if _stamp(path) > stamp:
                path.unlink()


def _read(path: Path) -> Checkpoint | None:
    """What a restart says of itself; None if it is damaged, as by a machine that broke down."""
    try:
        with h5py.File(path) as file:
            return Checkpoint(
                path=path,
                stamp=_stamp(path),
                days=float(file.attrs["time"]) / DAY_S,
                sent=int(file.attrs.get("sent", 0)),
                unsent="unsent" in file.attrs,
            )
    except (OSError, KeyError):
        return None


def _stamp(path: Path) -> str:
    """The time in a file's name."""
    return path.name.removesuffix(".nc").partition(".")[2]
