"""From MOM6's state of a day to the next: how far ours is from where MOM6 went, and where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.against_mom6.reference import DEPTH
from benchmarks.against_mom6.reference import DX
from benchmarks.against_mom6.reference import REDUCED_GRAVITY
from benchmarks.against_mom6.reference import Field
from benchmarks.against_mom6.reference import Flow

NAMES = ("surface", "interface", "u1", "v1", "u2", "v2")


@dataclass(frozen=True)
class Skill:
    """The difference of one field, over forecasts and cells.

    Attributes:
        error: Root mean square of ours minus MOM6's at the end.
        change: Root mean square of MOM6's change from the start to the end.
        largest: Largest difference.
    """

    error: float
    change: float
    largest: float

    @property
    def ratio(self) -> float:
        """The share of the change that we miss."""
        return self.error / self.change


def fields(flow: Flow) -> dict[str, Field]:
    """The fields that are compared, each (time, y, x), m and m/s."""
    named = [flow.h.sum(axis=1) - DEPTH, flow.h[:, 1] - DEPTH]
    named += [velocity[:, layer] for layer in (0, 1) for velocity in (flow.u, flow.v)]
    return dict(zip(NAMES, named, strict=True))


def skills(ours: Flow, theirs: Flow, start: Flow) -> dict[str, Skill]:
    """How close forecasts are, by field."""
    a, b, c = fields(ours), fields(theirs), fields(start)
    return {
        name: Skill(
            _rms(a[name] - b[name]),
            _rms(b[name] - c[name]),
            float(np.abs(a[name] - b[name]).max()),
        )
        for name in NAMES
    }


def growth(ours: Field, theirs: Field) -> Field:
    """(time), the difference over MOM6's standard deviation about its zonal mean.

    Two flows that have nothing but the zonal mean in common are at 1.41.
    """
    eddies = theirs - theirs.mean(axis=-1, keepdims=True)
    share: Field = np.sqrt(((ours - theirs) ** 2).mean(axis=(1, 2)) / (eddies**2).mean(axis=(1, 2)))
    return share


def budgets(flow: Flow) -> dict[str, Field]:
    """Energy per mass and enstrophy by layer, domain means, each (time).

    The kinetic energy is weighted with thickness, m2/s2; the potential energy is that of the
    interface, m2/s2; the enstrophy is half the square of the relative vorticity, s-2.
    """
    kinetic = (kinetic_energy(flow) * flow.h).mean(axis=(2, 3)) / DEPTH
    interface = flow.h[:, 1] - DEPTH
    potential = REDUCED_GRAVITY / 2 * (interface**2).mean(axis=(1, 2)) / DEPTH
    enstrophy = (vorticity(flow) ** 2).mean(axis=(2, 3)) / 2
    return {
        "KE1": kinetic[:, 0],
        "KE2": kinetic[:, 1],
        "PE": potential,
        "enstrophy1": enstrophy[:, 0],
        "enstrophy2": enstrophy[:, 1],
    }


def kinetic_energy(flow: Flow) -> Field:
    """(time, layer, y, x) at the centres, m2/s2, as both models define it."""
    west, south = np.roll(flow.u, 1, axis=-1), southern(flow.v)
    energy: Field = (flow.u**2 + west**2 + flow.v**2 + south**2) / 4
    return energy


def vorticity(flow: Flow) -> Field:
    """(time, layer, y - 1, x) on the corners between the walls, s-1."""
    east = np.roll(flow.v, -1, axis=-1)
    curl: Field = ((east - flow.v)[..., :-1, :] - np.diff(flow.u, axis=-2)) / DX
    return curl


def southern(v: Field) -> Field:
    """What is on the cells' southern faces, of what is on the northern ones."""
    return np.concatenate([np.zeros_like(v[..., :1, :]), v[..., :-1, :]], axis=-2)


def _rms(values: Field) -> float:
    return float(np.sqrt((values**2).mean()))
