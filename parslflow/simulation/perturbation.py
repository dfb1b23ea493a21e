"""Stage: a state of the Phillips model with noise on it, from which a member of High goes on.

The noise is a random flow along the contours of a streamfunction, the same in both layers, which
neither converges nor crosses a wall: it sets off no surface gravity waves.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt
from pydantic import PositiveFloat

from parslflow.records import Artifact
from parslflow.records import Inputs
from parslflow.records import Record
from parslflow.records import Report
from parslflow.simulation import restarts
from parslflow.simulation.restarts import State

WAVES = 8
"""Most waves of the noise along each side of the domain."""


class PerturbInputs(Inputs):
    """A state and the noise that it gets."""

    restart: Path
    scale: PositiveFloat
    """Root mean square of the noise's velocity, m/s."""
    seed: NonNegativeInt
    output: Path
    """The restart with the noise."""


def perturb(inputs: PerturbInputs, report: Report) -> Record:
    """Write a restart with noise on its velocity; its metric is the largest change.

    Raises:
        UsageError: the file is no restart, or its state is none.
    """
    state, attributes, words = restarts.read(inputs.restart)
    ny, nx = state.eddy_energy.shape
    u, v = noise(nx, ny, inputs.scale, inputs.seed)
    changed = State(state.h, state.u + u, state.v + v, state.eddy_energy)
    restarts.write(inputs.output, changed, restarts.without_past(attributes), words)
    return Record(
        read=(Artifact(inputs.restart, "dataset"),),
        wrote=(Artifact(inputs.output, "dataset"),),
        metrics={"largest_change": float(max(np.abs(u).max(), np.abs(v).max()))},
    )


def noise(nx: int, ny: int, scale: float, seed: int) -> tuple[NDArray[np.float64], ...]:
    """Velocity without divergence on the faces of ``nx`` by ``ny`` cells, periodic in x.

    Args:
        nx: cells in x.
        ny: cells in y, between walls.
        scale: its root mean square, m/s.
        seed: of the random numbers.

    Returns:
        u on eastern faces and v on northern ones, (y, x), m/s.
    """
    amplitude, phase = np.random.default_rng(seed).uniform(0, 1, (2, WAVES, WAVES))
    # The streamfunction at the corners of cells: zero along both walls.
    x = 2 * np.pi * np.arange(1, nx + 1) / nx
    y = np.pi * np.arange(ny + 1) / ny
    psi = np.zeros((ny + 1, nx))
    for k in range(WAVES):
        for m in range(WAVES):
            along = np.cos((k + 1) * x + 2 * np.pi * phase[m, k])
            psi += amplitude[m, k] * np.sin((m + 1) * y)[:, None] * along
    u = psi[:-1] - psi[1:]
    v = psi[1:] - np.roll(psi[1:], 1, axis=-1)
    v[-1] = 0.0
    size = np.sqrt((u**2 + v**2).mean())
    return u * scale / size, v * scale / size
