"""How the tests run the two-layer model, give it a state to start from, and read what it left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from benchmarks.against_mom6 import reference

Fields = dict[str, NDArray[np.float64]]
Value = str | int | float
Simulate = Callable[..., "Simulation"]


@dataclass(frozen=True)
class Simulation:
    """A run of the model that has ended."""

    folder: Path
    code: int
    stdout: str
    stderr: str

    @property
    def restart(self) -> Path:
        return self.folder / "restart.nc"

    @property
    def daily(self) -> Path:
        return self.folder / "daily.nc"

    @property
    def days(self) -> list[dict[str, float]]:
        """The progress lines' values."""
        lines = [line.split() for line in self.stdout.splitlines() if line.startswith("day ")]
        return [
            {"day": float(words[1])}
            | {key: float(value) for key, value in (word.split("=") for word in words[4:])}
            for words in lines
        ]


def as_namelist(value: Value) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def read(path: Path, *names: str) -> Fields:
    with h5py.File(path) as file:
        return {name: file[name][...] for name in names}


def write_restart(
    path: Path,
    dx: float,
    h: NDArray[np.float64],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
) -> str:
    """A restart at time 0 of these fields; its path as the namelist takes it."""
    reference.write_restart(path, dx, h, u, v)
    return str(path)
