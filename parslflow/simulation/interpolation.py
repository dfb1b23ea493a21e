"""Takes a state of the Phillips model from one grid to another of the same domain.

Thickness and eddy energy go as cell means and velocity as transport through the faces. So the mass
of each layer is kept, and transport converges in a new cell as it did in the old one that it lies
in, or in the old ones within it together. Velocity itself, interpolated, would make the depth-mean
flow converge where it did not before, which sets off surface gravity waves.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import PositiveInt

from parslflow.errors import UsageError
from parslflow.records import Artifact
from parslflow.records import Inputs
from parslflow.records import Record
from parslflow.records import Report
from parslflow.simulation import restarts
from parslflow.simulation.restarts import Field
from parslflow.simulation.restarts import State


class InterpolateInputs(Inputs):
    """A state and the grid that it goes to."""

    restart: Path
    grid: tuple[PositiveInt, PositiveInt]
    """Cells in x and y, whole multiples or whole parts of the restart's."""
    output: Path
    """The restart on that grid."""


def interpolate(inputs: InterpolateInputs, report: Report) -> Record:
    """Write the state of a restart on another grid; its metric is the layers' mass error.

    The time is kept, the tendencies of past steps are forgotten.

    Raises:
        UsageError: the file is no restart, its state is none, or the grids do not fit.
    """
    state, attributes, words = restarts.read(inputs.restart)
    ny, nx = state.eddy_energy.shape
    try:
        moved = to_grid(state, *inputs.grid)
    except ValueError as error:
        raise UsageError(f"{inputs.restart} has {nx} by {ny} cells: {error}.") from None
    attributes = restarts.without_past(attributes) | {
        "dx": attributes["dx"] * nx / inputs.grid[0],
        "nx": np.full_like(attributes["nx"], inputs.grid[0]),
        "ny": np.full_like(attributes["ny"], inputs.grid[1]),
    }
    restarts.write(inputs.output, moved, attributes, words)
    before, after = (one.h.mean(axis=(1, 2)) for one in (state, moved))
    return Record(
        read=(Artifact(inputs.restart, "dataset"),),
        wrote=(Artifact(inputs.output, "dataset"),),
        metrics={"mass_error": float(np.abs(after / before - 1).max())},
    )


def to_grid(state: State, nx: int, ny: int) -> State:
    """``state`` on a grid of ``nx`` by ``ny`` cells over the same domain.

    Raises:
        ValueError: the cells would not be square any more, or neither grid divides the other.
    """
    old_ny, old_nx = state.eddy_energy.shape
    if nx * old_ny != ny * old_nx:
        raise ValueError(
            f"{nx} by {ny} are of another shape: keep {old_nx}/{old_ny} of width to height"
        )
    if old_nx % nx == 0 and old_ny % ny == 0:
        return coarsen(state, old_nx // nx)
    if nx % old_nx or ny % old_ny:
        raise ValueError(
            f"{nx} by {ny} are no whole multiple and no whole part of them: choose one that is"
        )
    # In steps of the smallest factors the gradients come out smoother than in one.
    left = nx // old_nx
    factor = 2
    while left > 1:
        if left % factor:
            factor += 1
        else:
            state, left = refine(state, factor), left // factor
    return state


def refine(state: State, factor: int) -> State:
    """``state`` with every cell cut into ``factor`` by ``factor``.

    Thickness and eddy energy are linear in each cell with slopes limited by van Leer's (1977, J.
    Comput. Phys. 23, 263) monotonized central difference. Transport through the faces is linear
    along them; inside a cell it is the polynomial of least degree whose divergence is the same
    everywhere (Balsara 2001, J. Comput. Phys. 174, 614).
    """
    h = _refine_means(state.h, factor)
    u, v = _transports(state)
    west, south = np.roll(u, 1, axis=-1), _southern(v)

    # Slopes are changes along a face of one old cell. A wall lets flow slip: mirrored there.
    mirrored = np.pad(u, ((0, 0), (1, 1), (0, 0)), mode="edge")
    u_slope = (mirrored[:, 2:] - mirrored[:, :-2]) / 2
    v_slope = (np.roll(v, -1, axis=-1) - np.roll(v, 1, axis=-1)) / 2
    west_slope, south_slope = np.roll(u_slope, 1, axis=-1), _southern(v_slope)

    fine_u = _through(west, u, west_slope, u_slope, v_slope - south_slope, factor)
    fine_v = _through(south, v, south_slope, v_slope, u_slope - west_slope, factor)
    return _with_transports(
        h,
        fine_u.transpose(0, 1, 4, 2, 3).reshape(h.shape),
        fine_v.transpose(0, 1, 3, 2, 4).reshape(h.shape),
        _refine_means(state.eddy_energy, factor),
    )


def coarsen(state: State, factor: int) -> State:
    """``state`` with ``factor`` by ``factor`` cells made one: means over cells, and over faces."""
    u, v = _transports(state)
    layers, ny, nx = u.shape
    rows = u[:, :, factor - 1 :: factor].reshape(layers, ny // factor, factor, -1)
    columns = v[:, factor - 1 :: factor].reshape(layers, -1, nx // factor, factor)
    return _with_transports(
        _coarsen_means(state.h, factor),
        rows.mean(axis=2),
        columns.mean(axis=3),
        _coarsen_means(state.eddy_energy, factor),
    )


def _transports(state: State) -> tuple[Field, Field]:
    """Transport through eastern and northern faces per width, m²/s."""
    at_u, at_v = _at_faces(state.h)
    return state.u * at_u, state.v * at_v


def _with_transports(h: Field, u: Field, v: Field, eddy_energy: Field) -> State:
    """The state whose velocities carry the transports ``u`` and ``v``."""
    at_u, at_v = _at_faces(h)
    return State(h, u / at_u, v / at_v, eddy_energy)


def _at_faces(h: Field) -> tuple[Field, Field]:
    """Thickness at eastern and northern faces."""
    north = np.concatenate([h[:, 1:], h[:, -1:]], axis=1)
    return (h + np.roll(h, -1, axis=-1)) / 2, (h + north) / 2


def _southern(v: Field) -> Field:
    """What is on the southern face of each cell, of what is on the northern; 0 at the wall."""
    return np.concatenate([np.zeros_like(v[:, :1]), v[:, :-1]], axis=1)


def _through(
    low: Field, high: Field, low_slope: Field, high_slope: Field, twist: Field, factor: int
) -> Field:
    """Transport through the new faces of each old cell, but for its low side.

    Args:
        low: transport through the western or southern side.
        high: transport through the side opposite.
        low_slope: change of ``low`` along its side.
        high_slope: change of ``high`` along its side.
        twist: how much the change of the other transport differs between the two other sides.
        factor: new cells a side.

    Returns:
        Two axes more: place along the flow, and across.
    """
    along = (np.arange(1, factor + 1) / factor)[:, None]
    across = (np.arange(factor) + 0.5) / factor - 0.5
    start = low[..., None, None] + low_slope[..., None, None] * across
    end = high[..., None, None] + high_slope[..., None, None] * across
    bend = twist[..., None, None] * along * (1 - along) / 2
    through: Field = (1 - along) * start + along * end + bend
    return through


def _refine_means(values: Field, factor: int) -> Field:
    """Means over cells, ``factor`` in place of each along x (periodic) and y (walls)."""
    before, after = np.roll(values, 1, axis=-1), np.roll(values, -1, axis=-1)
    along_x = _refine_row(before, values, after, factor).reshape(*values.shape[:-1], -1)
    rows = np.moveaxis(along_x, -2, -1)
    # Beyond a wall it goes on as straight as it came.
    south, north = 2 * rows[..., :1] - rows[..., 1:2], 2 * rows[..., -1:] - rows[..., -2:-1]
    before = np.concatenate([south, rows[..., :-1]], axis=-1)
    after = np.concatenate([rows[..., 1:], north], axis=-1)
    along_y = _refine_row(before, rows, after, factor).reshape(*rows.shape[:-1], -1)
    return np.ascontiguousarray(np.moveaxis(along_y, -1, -2))


def _refine_row(before: Field, values: Field, after: Field, factor: int) -> Field:
    """``factor`` values on a line through each, which is nowhere negative; one axis more."""
    back, ahead = values - before, after - values
    largest = 2 * np.minimum(np.minimum(np.abs(back), np.abs(ahead)), values)
    slope = np.where(back * ahead > 0, np.clip((back + ahead) / 2, -largest, largest), 0)
    offsets = (np.arange(factor) + 0.5) / factor - 0.5
    fine: Field = values[..., None] + slope[..., None] * offsets
    return fine


def _coarsen_means(values: Field, factor: int) -> Field:
    *above, ny, nx = values.shape
    blocks = values.reshape(*above, ny // factor, factor, nx // factor, factor)
    means: Field = blocks.mean(axis=(-3, -1))
    return means
