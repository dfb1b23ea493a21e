"""Runs of our model; one that is there already is not made again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks import phillips
from parslflow.simulation.interpolation import InterpolateInputs
from parslflow.simulation.interpolation import interpolate

RANKS = 2
STEPS = {60: 1800.0, 120: 900.0, 240: 300.0}
"""Time step by the number of cells in x, s: MOM6's."""
WIDTH = 1.2e6
"""Of the domain, m."""


@dataclass(frozen=True)
class Run:
    """A run that has ended."""

    folder: Path

    @property
    def restart(self) -> Path:
        """Its last state."""
        return self.folder / "restart.nc"

    @property
    def daily(self) -> Path:
        """What it wrote each day."""
        return self.folder / "daily.nc"


def run(
    folder: Path,
    nx: int,
    days: float,
    start: Path | None = None,
    groups: str = "",
    dt: float | None = None,
) -> Run:
    """Run the model for ``days`` from the jet, or from a restart.

    Args:
        folder: Where the run lies, or will.
        nx: Cells in x.
        days: How long.
        start: A restart.
        groups: More of the namelist.
        dt: Time step, s; MOM6's by default.
    """
    done = Run(folder)
    if done.restart.exists():
        return done
    folder.mkdir(parents=True, exist_ok=True)
    said = phillips.run(
        folder,
        f"&domain nx={nx} ny={nx * 4 // 3} dx={WIDTH / nx!r} /\n"
        f"&time dt={dt or STEPS[nx]!r} days={days!r} restart_in='{start or ''}' /\n{groups}",
        RANKS,
    )
    (folder / "days.txt").write_text(said, encoding="utf-8")
    return done


def on_grid(restart: Path, nx: int) -> Path:
    """The restart on a grid of ``nx`` cells in x, beside it."""
    moved = restart.with_name(f"restart-{nx}.nc")
    if not moved.exists():
        inputs = InterpolateInputs(restart=restart, grid=(nx, nx * 4 // 3), output=moved)
        interpolate(inputs, _unheard)
    return moved


def _unheard(series: str, /, **values: object) -> None:
    """No one listens to the progress."""
