"""What MOM6 gave at 10 km, on the faces and cells of our model, and as a start for it.

Ten days of its output, one instant a day, and its zonal means over 60 days.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]

DAYS_FILE = "mom6_120x160_days91-100.nc"
PROFILES_FILE = "mom6_120x160_profiles.csv"
DX = 1.0e4
DEPTH = 2000.0
REDUCED_GRAVITY = 0.0196


@dataclass(frozen=True)
class Flow:
    """States of the two layers, (time, layer, y, x)."""

    h: Field
    """Thickness, m."""
    u: Field
    """Velocity along x on the eastern faces, m/s; x is periodic."""
    v: Field
    """Velocity along y on the northern faces, m/s; the last row is the northern wall."""

    def __len__(self) -> int:
        return len(self.h)

    def __getitem__(self, times: slice) -> Flow:
        return Flow(self.h[times], self.u[times], self.v[times])


def read_days(folder: Path) -> Flow:
    """MOM6's ten days; the velocity that is missing on its walls is 0."""
    with h5py.File(folder / DAYS_FILE) as file:
        h, u, v = (np.nan_to_num(file[name][...].astype(np.float64)) for name in "huv")
    return Flow(h, u[..., 1:], v[..., 1:, :])


def read_profiles(folder: Path) -> dict[str, Field]:
    """MOM6's means over x and 60 days, each (y)."""
    with (folder / PROFILES_FILE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def read_daily(path: Path, times: slice = slice(None)) -> Flow:
    """States that our model wrote."""
    with h5py.File(path) as file:
        return Flow(*(file[name][times].astype(np.float64) for name in "huv"))


def write_start(path: Path, flow: Flow, time: int) -> Path:
    """One of the states as a restart at time 0; the path."""
    write_restart(path, DX, flow.h[time], flow.u[time], flow.v[time])
    return path


def write_restart(path: Path, dx: float, h: Field, u: Field, v: Field) -> None:
    """Write a restart at time 0 without a history of tendencies, fields of shape (layer, ny, nx).

    ``u`` lies on the cells' eastern faces, ``v`` on their northern ones, in m/s; ``h`` in m, ``dx``
    too.
    """
    _, ny, nx = h.shape
    none = np.zeros_like(h)
    fields = {"h": h, "u": u, "v": v, "eddy_energy": none[0]} | dict.fromkeys(
        ("du_1", "du_2", "dv_1", "dv_2"), none
    )
    with h5py.File(path, "w") as file:
        file.attrs["dx"] = np.float64(dx)
        file.attrs["dt"] = np.float64(1.0)
        file.attrs["time"] = np.float64(0.0)
        for name, value in {"nx": nx, "ny": ny, "past": 0}.items():
            file.attrs[name] = np.int32(value)
        for name, values in fields.items():
            file[name] = values
