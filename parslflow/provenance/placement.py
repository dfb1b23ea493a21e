"""Where the samples of a batch came from: ranks of the simulation, days, places of the grid."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.learning import hdf5
from parslflow.provenance.finding import find_artifact
from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import read
from parslflow.rundir import RunDir

By = Literal["rank", "day", "place"]

PLACES = 8
"""The grid is divided into so many blocks in each direction, or into its cells if it has fewer."""

_NUMBER = re.compile(r"^\s*(\w+)\s*=\s*(\d+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A rectangle of the grid; the last row and column are in it."""

    first_j: int
    last_j: int
    first_i: int
    last_i: int


@dataclass(frozen=True)
class Count:
    """How many samples there are of one rank, day or place."""

    value: int | float | tuple[int, int]
    """The rank, the model day, or the row and column of the place, counted from the south-west."""
    samples: int
    block: Block | None = None
    """The cells of the rank or of the place."""


@dataclass(frozen=True)
class Samples:
    """The samples of one batch, counted."""

    batch: Artifact
    run: str
    """The simulation that they are of."""
    by: By
    total: int
    counts: tuple[Count, ...]
    """In ascending order; ranks and places without any sample are there too."""


@dataclass(frozen=True)
class _Layout:
    """Cells and ranks of a simulation in x and y."""

    nx: int
    ny: int
    px: int
    py: int


def samples(run_root: Path, batch: str, by: By) -> Samples:
    """Count the samples of a batch, or of the base data.

    Args:
        run_root: the run directory.
        batch: what the file is called, see :func:`parslflow.provenance.finding.find_artifact`.
        by: what to count by. A rank is that of the simulation whose tile had the sample's cell.

    Raises:
        UsageError: there is no such artifact, it is no file of samples, or it has changed.
        ParslflowError: the run has no metadata, or the simulation's input is gone.
    """
    artifact = find_artifact(read(run_root), batch)
    run, day, j, i = _columns(run_root, artifact)
    if by == "day":
        days, numbers = np.unique(day, return_counts=True)
        counts = [Count(float(one), int(number)) for one, number in zip(days, numbers, strict=True)]
    else:
        layout = _layout(run_root, run)
        if by == "rank":
            parts_y, parts_x = layout.py, layout.px
        else:
            parts_y, parts_x = min(PLACES, layout.ny), min(PLACES, layout.nx)
        starts_y, starts_x = _starts(layout.ny, parts_y), _starts(layout.nx, parts_x)
        if len(j) and (j.max() >= layout.ny or i.max() >= layout.nx):
            raise ParslflowError(
                f"{artifact.path} has samples outside the grid of {layout.nx} by {layout.ny} "
                f"cells that simulations/{run}/input.nml gives: see whether that file has changed "
                "('parslflow verify')."
            )
        # Ranks are counted along x first, as the simulation lays them out.
        part = (
            (np.searchsorted(starts_y, j, side="right") - 1) * parts_x
            + np.searchsorted(starts_x, i, side="right")
            - 1
        )
        numbers = np.bincount(part, minlength=parts_y * parts_x)
        counts = [
            Count(
                number if by == "rank" else divmod(number, parts_x),
                int(numbers[number]),
                Block(
                    int(starts_y[number // parts_x]),
                    int(starts_y[number // parts_x + 1]) - 1,
                    int(starts_x[number % parts_x]),
                    int(starts_x[number % parts_x + 1]) - 1,
                ),
            )
            for number in range(parts_y * parts_x)
        ]
    return Samples(artifact, run, by, len(day), tuple(counts))


def _columns(
    run_root: Path, artifact: Artifact
) -> tuple[str, NDArray[np.float64], NDArray[np.int32], NDArray[np.int32]]:
    """The run that a file's samples are of, and their days, rows and columns."""
    path = run_root / artifact.path
    cure = (
        f"bring this version back with 'parslflow checkout {run_root} "
        f"{artifact.path}@{artifact.sha256[:8]}'."
    )
    if not path.is_file():
        raise UsageError(f"{path} is not there any more: {cure}")
    size = artifact.properties.get("size")
    if size is not None and path.stat().st_size != size:
        raise UsageError(f"{path} is another version than that which was asked for: {cure}")
    with hdf5.read(path, "samples") as reader:
        runs = reader.strings("runs")
        day: NDArray[Any] = reader.array("day", "f8", -1)
        j, i = (reader.array(column, "i4", len(day)) for column in ("j", "i"))
    if len(runs) != 1:
        raise UsageError(
            f"{path} has samples of {len(runs)} runs ({', '.join(runs)}): give a batch, which has "
            "those of one."
        )
    return runs[0], day, j, i


def _layout(run_root: Path, run: str) -> _Layout:
    """Cells and ranks, from the input file that the simulation ran with."""
    path = RunDir(run_root).simulations / run / "input.nml"
    try:
        numbers = dict(_NUMBER.findall(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ParslflowError(
            f"{path}, which says how the ranks lay, cannot be read ({error.strerror}): bring it "
            f"back with 'parslflow checkout {run_root} simulations/{run}/input.nml'."
        ) from None
    missing = [key for key in ("nx", "ny", "px", "py") if not int(numbers.get(key, 0))]
    if missing:
        raise ParslflowError(
            f"{path} does not say '{missing[0]}', so the ranks' places are not known: ask by day."
        )
    return _Layout(*(int(numbers[key]) for key in ("nx", "ny", "px", "py")))


def _starts(cells: int, parts: int) -> NDArray[np.int64]:
    """Where each part of a row of cells begins, and behind the last one where it ends."""
    return np.arange(parts + 1, dtype=np.int64) * cells // parts
