"""Gravity waves of the two-layer model against the dispersion relation of linear theory."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from .model import Simulate
from .model import write_restart

DX, CELLS = 1.0e4, 48
UPPER, LOWER = 600.0, 1400.0
GRAVITY, REDUCED_GRAVITY = 9.8, 0.0196
NO_ROTATION = 1.0e-12  # s-1; with none at all the deformation radius would be infinite
SMOOTH = {
    "perturbation": 0.0,
    "sponge_days": 0.0,
    "viscosity": "none",
    "drag_coefficient": 0.0,
    "beta": 0.0,
}


@pytest.mark.parametrize("mode", ["external", "internal"])
@pytest.mark.parametrize("coriolis", [NO_ROTATION, 1.0e-4])
@pytest.mark.parametrize("direction", ["x", "y"])
def test_a_gravity_wave_has_its_frequency(
    simulate: Simulate, tmp_path: Path, mode: str, coriolis: float, direction: str
) -> None:
    """Standing waves with omega^2 = f^2 + c^2 K^2 (Gill 1982, sections 6.2 and 8.2).

    The speeds c of the modes are the roots of the two layers' linear equations: c^2 are the
    eigenvalues of the matrix by which thickness makes pressure, times the layers' thickness. The
    wave in y stands between the walls and starts as a velocity alone, so that no part of it is in
    geostrophic balance and stays behind. The wave along x is uniform in y, which walls allow only
    without rotation: with it, a Kelvin wave that leans on the southern wall takes its place, with
    omega = c k.
    """
    speeds_squared, modes = np.linalg.eig(
        np.array([[GRAVITY, GRAVITY], [GRAVITY, GRAVITY + REDUCED_GRAVITY]])
        @ np.diag([UPPER, LOWER])
    )
    chosen = np.argmax(speeds_squared) if mode == "external" else np.argmin(speeds_squared)
    c = np.sqrt(speeds_squared[chosen])
    shape = modes[:, chosen, None, None] / np.abs(modes[:, chosen]).max()
    u = np.zeros((2, CELLS, CELLS))
    v, h = u.copy(), u.copy()
    h[0], h[1] = UPPER, LOWER
    along = DX * np.arange(1, CELLS + 1)
    if direction == "y":
        wavenumber = np.pi / (DX * CELLS)
        v[:, :-1] = 1e-3 * shape * np.sin(wavenumber * along[:-1])[:, None]
        frequency = np.hypot(coriolis, c * wavenumber)
    else:
        wavenumber = 2 * np.pi / (DX * CELLS)
        frequency = c * wavenumber
        decay = np.exp(-coriolis / c * DX * (np.arange(CELLS) + 0.5))[:, None]
        u[:] = 1e-3 * shape * decay * np.cos(wavenumber * along)
        if coriolis > NO_ROTATION:  # travels to the east, with the wall to the right
            x = wavenumber * DX * (np.arange(CELLS) + 0.5)
            h += 1e-3 * np.array([UPPER, LOWER])[:, None, None] / c * shape * decay * np.cos(x)
    dt = 600.0 if mode == "external" else 1800.0
    step_days = dt / 86400
    done = simulate(
        domain={"nx": CELLS, "ny": CELLS, "dx": DX},
        time={
            "dt": dt,
            "days": (60 if mode == "external" else 240) * step_days,
            "restart_in": write_restart(tmp_path / "start.nc", DX, h, u, v),
        },
        physics={**SMOOTH, "depth": UPPER + LOWER, "coriolis": coriolis},
        output={"interval_days": step_days},
    )
    with h5py.File(done.daily) as daily:
        flow = daily["v" if direction == "y" else "u"][:, 0].astype(np.float64)
    if direction == "y":
        amplitude = flow.mean(axis=2) @ np.sin(wavenumber * along)
    else:
        amplitude = flow[:, 0] @ np.cos(wavenumber * along)
    # the two exponentials whose sum is the series: x[n+1] = a x[n] + b x[n-1]
    (a, b), *_ = np.linalg.lstsq(
        np.stack([amplitude[1:-1], amplitude[:-2]], axis=1), amplitude[2:], rcond=None
    )
    root = np.roots([1, -a, -b])[0]
    found = abs(np.angle(root)) / dt
    assert found == pytest.approx(frequency, rel=0.005)
