"""What the equations conserve, how fast the model converges on them, and their symmetries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from parslflow.provenance import events
from parslflow.provenance.journal import files
from parslflow.provenance.journal import read_execution

from .journals import rows
from .model import Fields
from .model import Simulate
from .model import read
from .model import write_restart

WIDTH, DEPTH, CORIOLIS = 8.0e5, 2000.0, 1.0e-4
RISE = 200.0  # of the interface from wall to wall, m
GRAVITY, REDUCED_GRAVITY = 0.98, 0.0196
IDEAL = {
    "perturbation": 0.0,
    "sponge_days": 0.0,
    "viscosity": "none",
    "drag_coefficient": 0.0,
    "coriolis": CORIOLIS,
    "beta": 0.0,
    "gravity": GRAVITY,
}


def smooth_flow(cells: int, bulge: float = 60.0) -> Fields:
    """A jet in balance in the upper layer, with a bulge of the interface in m that is not.

    All fields continue smoothly beyond the walls as free slip asks.
    """
    dx = WIDTH / cells
    centre = dx * (np.arange(cells) + 0.5)
    y = 2 * np.pi / WIDTH * centre[:, None]
    x = 2 * np.pi / WIDTH * centre
    height = RISE / WIDTH * centre[:, None] - RISE / (2 * np.pi) * np.sin(y) - RISE / 2
    interface = -1000 + height + bulge * np.cos(y) * np.cos(x)
    surface = -REDUCED_GRAVITY / GRAVITY * height
    h = np.stack([surface - interface, interface + DEPTH])
    u = np.zeros_like(h)
    u[0] = REDUCED_GRAVITY / CORIOLIS * RISE / WIDTH * (1 - np.cos(y))
    return {"h": h, "u": u, "v": np.zeros_like(h)}


def run(
    simulate: Simulate, folder: Path, cells: int, dt: float, days: float, bulge: float = 60.0
) -> Fields:
    """The state at the end of a run from the smooth flow."""
    path = write_restart(folder / f"{cells}-{dt}.nc", WIDTH / cells, **smooth_flow(cells, bulge))
    done = simulate(
        domain={"nx": cells, "ny": cells, "dx": WIDTH / cells},
        time={"dt": dt, "days": days, "restart_in": path},
        physics=IDEAL,
    )
    return read(done.restart, "h", "u", "v")


def energy(h: NDArray[np.float64], u: NDArray[np.float64], v: NDArray[np.float64]) -> float:
    """Mean per unit mass in m2 s-2, with the kinetic energy on the faces (Sadourny 1975)."""
    surface = h.sum(axis=0) - DEPTH
    interface = h[1] - h[1].mean()
    kinetic = 0.25 * (h + np.roll(h, -1, axis=2)) * u**2
    kinetic[:, :-1] += 0.25 * ((h[:, 1:] + h[:, :-1]) * v[:, :-1] ** 2)
    potential = 0.5 * (GRAVITY * surface**2 + REDUCED_GRAVITY * interface**2)
    return float((kinetic.sum() + potential.sum()) / surface.size / DEPTH)


def test_without_friction_energy_is_kept(simulate: Simulate, tmp_path: Path) -> None:
    """The Coriolis force and advection do no work (Sadourny 1975); the step and the fluxes do.

    What is lost is of first order in the time step, as pressure by forward-backward steps is, and
    without that of second order in the spacing, as upwind-biased, bounded fluxes are.
    """

    def lost(cells: int, dt: float) -> float:
        before = energy(**smooth_flow(cells))
        return 1 - energy(**run(simulate, tmp_path, cells, dt, 4.0)) / before

    long, middle, short = (lost(32, dt) for dt in (900.0, 450.0, 225.0))
    assert 0 < middle < 1e-3
    assert (long - middle) / (middle - short) == pytest.approx(2, rel=0.2)
    finer = 2 * lost(64, 112.5) - lost(64, 225.0)
    assert 0 < finer < (2 * short - middle) / 3


def test_a_thin_layer_in_a_violent_flow_stays(simulate: Simulate, tmp_path: Path) -> None:
    """Thickness stays positive, and its sum the same, where waves and noise tear at 1 m of it."""
    random = np.random.default_rng(7)
    state = smooth_flow(32)
    state["h"][1] += state["h"][0].min() - 1
    state["h"][0] -= state["h"][0].min() - 1
    for name in ("u", "v"):
        state[name] += random.uniform(-1, 1, state[name].shape)
    state["v"][:, -1] = 0
    path = write_restart(tmp_path / "thin.nc", WIDTH / 32, **state)
    done = simulate(
        domain={"nx": 32, "ny": 32, "dx": WIDTH / 32},
        time={"dt": 900.0, "days": 5.0, "restart_in": path},
        physics=IDEAL | {"viscosity": "smagorinsky", "drag_coefficient": 0.01},
        output={"interval_days": 0.125},
    )
    with h5py.File(done.daily) as daily:
        h = daily["h"][...]
    assert h.min() > 0
    assert_allclose(h.mean(axis=(2, 3)), h[0].mean(axis=(1, 2))[None].repeat(40, axis=0), rtol=1e-6)


def coarse(state: Fields, factor: int) -> Fields:
    """Averages over blocks of cells, and over the parts of their faces."""
    layers, ny, nx = state["h"].shape
    blocks = (layers, ny // factor, factor, nx // factor, factor)
    h, u, v = (state[name].reshape(blocks) for name in ("h", "u", "v"))
    return {
        "h": h.mean(axis=(2, 4)),
        "u": u[..., -1].mean(axis=2),
        "v": v[:, :, -1].mean(axis=3),
    }


def test_smooth_flow_converges_at_second_order(simulate: Simulate, tmp_path: Path) -> None:
    """A fourth of the difference between two grids remains when both are refined; the step stays.

    Of h and v a little more remains on these grids, the less the finer they are.
    """
    coarsest, middle, finest = (
        run(simulate, tmp_path, cells, 90.0, 1.0) for cells in (32, 64, 128)
    )

    def difference(one: Fields, other: Fields, name: str) -> float:
        return float(np.sqrt(np.mean((one[name] - coarse(other, 2)[name]) ** 2)))

    for name, least in {"h": 3.3, "u": 3.6, "v": 3.3}.items():
        ratio = difference(coarsest, middle, name) / difference(middle, finest, name)
        assert least < ratio < 4.5, name


def test_a_balanced_jet_stays(simulate: Simulate, tmp_path: Path) -> None:
    """For ten days, to the error of second-order differences: a fourth on half the spacing."""
    changes = []
    for cells in (32, 64):
        start, end = smooth_flow(cells, 0), run(simulate, tmp_path, cells, 450.0, 10.0, 0)
        changes.append({name: np.abs(end[name] - start[name]).max() for name in start})
    coarser, finer = changes
    assert finer["u"] < 1e-4, "of 0.1 m/s"
    assert finer["v"] < 1e-4
    assert finer["h"] < 0.01
    assert coarser["u"] / finer["u"] > 3
    assert coarser["h"] / finer["h"] > 3


def mirrored_in_x(state: Fields) -> Fields:
    return {
        "h": state["h"][:, :, ::-1],
        "u": -np.roll(state["u"][:, :, ::-1], -1, axis=2),
        "v": state["v"][:, :, ::-1],
    }


def mirrored_in_y(state: Fields) -> Fields:
    v = np.zeros_like(state["v"])
    v[:, :-1] = -state["v"][:, -2::-1]
    return {"h": state["h"][:, ::-1], "u": state["u"][:, ::-1], "v": v}


@pytest.mark.parametrize("mirrored", [mirrored_in_x, mirrored_in_y])
@pytest.mark.parametrize("coriolis", [1.0e-12, CORIOLIS])
def test_a_mirrored_start_has_a_mirrored_end(
    simulate: Simulate, tmp_path: Path, mirrored: Callable[[Fields], Fields], coriolis: float
) -> None:
    """To rounding, with all friction on. The image of a rotation turns the other way round."""
    noise = np.random.default_rng(3)
    start = smooth_flow(24)
    start = {name: values + noise.normal(0, 0.01, values.shape) for name, values in start.items()}
    start["v"][:, -1] = 0
    for name, values in start.items():
        assert_allclose(mirrored(mirrored(start))[name], values)
    ends = []
    for n, (state, f) in enumerate([(start, coriolis), (mirrored(start), -coriolis)]):
        path = write_restart(tmp_path / f"{n}.nc", WIDTH / 24, **state)
        done = simulate(
            domain={"nx": 24, "ny": 24, "dx": WIDTH / 24},
            time={"dt": 900.0, "days": 2.0, "restart_in": path},
            physics=IDEAL | {"coriolis": f, "viscosity": "smagorinsky", "drag_coefficient": 0.01},
        )
        ends.append(read(done.restart, "h", "u", "v"))
    for name, values in mirrored(ends[0]).items():
        assert_allclose(values, ends[1][name], atol=1e-10 * np.abs(values).max())


def test_the_energy_budget_closes(simulate: Simulate, tmp_path: Path) -> None:
    """From day 5 on, when the noise of the start has gone; the rest is what the numerics lose."""
    journal = tmp_path / "journal"
    journal.mkdir()
    with events.execution(journal, pipeline="p", context="high", name="high-0"):
        simulate(
            environment=events.environment(),
            domain={"nx": 60, "ny": 80, "dx": 2.0e4},
            time={"dt": 900.0, "days": 10.0},
            physics={"perturbation": 0.5},
            meke={"scheme": "prognostic"},
        )
    [paths] = files(journal).values()
    found, problems = read_execution(paths)
    assert problems == []
    series = rows(found, "diagnostics")[39:]
    names = [name for name in series[0] if name.endswith("_power")]
    assert len(names) == 4
    powers = np.array([[row[name] for name in names] for row in series])
    seconds = 86400 * np.diff([row["day"] for row in series])
    works = seconds @ (0.5 * (powers[1:] + powers[:-1]))
    total = [row["kinetic_energy"] + row["potential_energy"] for row in series]
    lost = -works[works < 0].sum()
    assert 0 < works.sum() - (total[-1] - total[0]) < 0.1 * lost
