"""What the figures need of a simulation's daily output."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from parslflow.errors import UsageError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Daily:
    """The last days of one variable.

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


@dataclass(frozen=True)
class Profile:
    """Zonal means against y over some days.

    Attributes:
        mean: (ny,), mean over the days; NaN in rows without values.
        lowest: (ny,), the least of the days.
        highest: (ny,), the greatest of the days.
    """

    mean: Array
    lowest: Array
    highest: Array


def read_daily(path: Path, variable: str, days: int) -> Daily:
    """Read the last ``days`` times, or as many as there are, of ``variable``.

    Raises:
        UsageError: the file cannot be read, or lacks the variable or any time.
    """
    try:
        with h5py.File(path, "r") as file:
            if variable not in file:
                raise UsageError(
                    f"{path} has no variable {variable}: give the daily output of a Phillips run "
                    "that writes it."
                )
            daily = Daily(
                values=file[variable][-days:].astype(np.float64),
                time=file["time"][-days:].astype(np.float64),
                x=file["xh"][:].astype(np.float64),
                y=file["yh"][:].astype(np.float64),
            )
    except (OSError, KeyError) as error:
        raise UsageError(f"{path} is no daily output of a Phillips run ({error}).") from None
    if not daily.time.size:
        raise UsageError(f"{path} holds no time: run the simulation for a day or more.")
    return daily


def eddy_kinetic_energy(kinetic_energy: Array, mean: Array) -> Array:
    """The part of KE_vert_sum (days, ny, nx) above its time mean (ny, nx), 0 where below; m3/s2."""
    return np.maximum(0.0, kinetic_energy - mean)


def zonal_profile(field: Array) -> Profile:
    """The zonal means of ``field`` (days, ny, nx), and their mean and range over the days."""
    count = np.isfinite(field).sum(axis=2)
    with np.errstate(invalid="ignore"):
        zonal = np.nansum(field, axis=2) / count
    return Profile(zonal.mean(axis=0), zonal.min(axis=0), zonal.max(axis=0))
