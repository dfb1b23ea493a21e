"""What the figures need of a simulation's daily output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from parslflow.errors import UsageError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Daily:
    """Some days of one variable.

    Attributes:
        values: (days, ny, nx), NaN where there is none.
        time: (days,), days since the start of the case.
        x: (nx,), cell centres, m.
        y: (ny,), cell centres, m.
    """

    values: Array
    time: Array
    x: Array
    y: Array

    @property
    def spacing(self) -> float:
        """Width of a cell, m."""
        return float(self.x[1] - self.x[0])


def count_days(path: Path, variable: str) -> int:
    """How many times of ``variable`` there are.

    Raises:
        UsageError: the file cannot be read, or lacks the variable or any time.
    """
    with _opened(path, variable) as file:
        return len(file["time"])


def read_daily(path: Path, variable: str, days: slice) -> Daily:
    """Read the times ``days`` of ``variable``, and no others.

    Raises:
        UsageError: the file cannot be read, or lacks the variable or any time.
    """
    with _opened(path, variable) as file:
        return Daily(
            values=file[variable][days].astype(np.float64),
            time=file["time"][days].astype(np.float64),
            x=file["xh"][:].astype(np.float64),
            y=file["yh"][:].astype(np.float64),
        )


@contextmanager
def _opened(path: Path, variable: str) -> Iterator[h5py.File]:
    """The file, which holds the variable and a time."""
    try:
        with h5py.File(path, "r") as file:
            if variable not in file:
                raise UsageError(
                    f"{path} has no variable {variable}: give the daily output of a Phillips run "
                    "that writes it."
                )
            if not len(file["time"]):
                raise UsageError(f"{path} holds no time: run the simulation for a day or more.")
            yield file
    except (OSError, KeyError) as error:
        raise UsageError(f"{path} is no daily output of a Phillips run ({error}).") from None
