"""Baroclinic instability of a sheared flow in a channel against the two-layer theory of it."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from .model import Simulate
from .model import write_restart

DX, ROWS, DT = 8.0e3, 32, 900.0
LAYER, GRAVITY, REDUCED_GRAVITY = 1000.0, 9.8, 0.0196
CORIOLIS, SHEAR = 1.0e-4, 0.1
WIDTH = ROWS * DX

Complex = NDArray[np.complex128]


def sheared(beta: float) -> NDArray[np.float64]:
    """Thickness (layer, row) in m in balance with ``SHEAR`` in the upper layer alone."""
    f = CORIOLIS + beta * DX * np.arange(1, ROWS)
    fall = np.concatenate([[0], np.cumsum(f * SHEAR * DX)])
    fall -= fall.mean()
    interface = fall / REDUCED_GRAVITY
    return np.stack([LAYER - interface - fall / GRAVITY, LAYER + interface])


def quasi_geostrophic_growth(wavenumber: float, beta: float) -> float:
    """Growth rate in s-1 of the gravest wave across the channel.

    Phillips (1954); Pedlosky (1987), section 7.11: the layers' potential vorticity
    q = -(k^2 + l^2) psi + F (psi of the other layer - psi), F = f^2/(g' H), l = pi over the
    width, is carried by the mean flow and made from its gradient, beta plus and minus F U.
    """
    f = CORIOLIS + beta * WIDTH / 2
    stretching = f**2 / (REDUCED_GRAVITY * LAYER)
    total = wavenumber**2 + (np.pi / WIDTH) ** 2
    vorticity = stretching * np.array([[-1.0, 1.0], [1.0, -1.0]]) - total * np.eye(2)
    gradient = np.diag([beta + stretching * SHEAR, beta - stretching * SHEAR])
    speeds = np.linalg.eigvals(
        np.linalg.solve(vorticity, np.diag([SHEAR, 0]) @ vorticity + gradient)
    )
    return float(wavenumber * speeds.imag.max())


def fastest_wave(h: NDArray[np.float64], wavenumber: float, beta: float) -> tuple[float, Complex]:
    """Growth rate in s-1 and form (layer; h, u, v; row) of the fastest of the waves exp(i k x).

    The linear two-layer shallow-water equations about ``h`` and ``SHEAR``, without further
    approximation, with second-order differences in y and v = 0 at the walls.
    """
    at_faces = 0.5 * (np.eye(ROWS - 1, ROWS) + np.eye(ROWS - 1, ROWS, 1))
    gradient = (np.eye(ROWS - 1, ROWS, 1) - np.eye(ROWS - 1, ROWS)) / DX
    f = CORIOLIS + beta * DX * (np.arange(ROWS) + 0.5)
    f_faces = CORIOLIS + beta * DX * np.arange(1, ROWS)
    size = 3 * ROWS - 1
    tendency: Complex = np.zeros((2, size, 2, size), dtype=np.complex128)
    layers = (slice(0, ROWS), slice(ROWS, 2 * ROWS), slice(2 * ROWS, size))
    for n, mean in enumerate((SHEAR, 0.0)):
        own = tendency[n, :, n]
        own -= 1j * wavenumber * mean * np.eye(size)
        hs, us, vs = layers
        own[hs, us] -= 1j * wavenumber * np.diag(h[n])
        own[hs, vs] += gradient.T * (at_faces @ h[n])
        own[us, vs] += f[:, None] * at_faces.T
        own[vs, us] -= f_faces[:, None] * at_faces
        for m in range(2):
            weight = GRAVITY + (REDUCED_GRAVITY if n == m == 1 else 0)
            tendency[n, us, m, hs] -= 1j * wavenumber * weight * np.eye(ROWS)
            tendency[n, vs, m, hs] -= weight * gradient
    rates, waves = np.linalg.eig(tendency.reshape(2 * size, 2 * size))
    fastest = np.argmax(rates.real)
    return float(rates[fastest].real), waves[:, fastest].reshape(2, size)


def size_in_the_model(
    simulate: Simulate, path: Path, beta: float, columns: int, wave: Complex, days: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times in s and logarithms of the size of a wave, ``columns`` long, on the flow."""
    phase = 2 * np.pi / columns * (np.arange(columns) + 0.5)
    at_centre, at_east = np.exp(1j * phase), np.exp(1j * (phase + np.pi / columns))
    wave = 1e-3 * wave / np.abs(wave[:, ROWS:]).max()
    h = np.repeat(sheared(beta)[:, :, None], columns, axis=2)
    h += (wave[:, :ROWS, None] * at_centre).real
    u = np.zeros_like(h)
    u[0] = SHEAR
    u += (wave[:, ROWS : 2 * ROWS, None] * at_east).real
    v = np.zeros_like(h)
    v[:, :-1] = (wave[:, 2 * ROWS :, None] * at_centre).real
    done = simulate(
        domain={"nx": columns, "ny": ROWS, "dx": DX},
        time={"dt": DT, "days": days, "restart_in": write_restart(path, DX, h, u, v)},
        physics={
            "perturbation": 0.0,
            "sponge_days": 0.0,
            "viscosity": "none",
            "drag_coefficient": 0.0,
            "coriolis": CORIOLIS,
            "beta": beta,
            "depth": 2 * LAYER,
            "gravity": GRAVITY,
            "reduced_gravity": REDUCED_GRAVITY,
        },
    )
    with h5py.File(done.daily) as daily:
        time = daily["time"][...] * 86400
        waves = np.fft.rfft(daily["v"][...].astype(np.float64), axis=3)[..., 1]
    size = np.log(np.sqrt((np.abs(waves) ** 2).sum(axis=(1, 2))))
    return time, size


@pytest.mark.parametrize("beta", [0.0, 2.0e-11])
def test_an_unstable_wave_grows_at_the_rate_of_theory(
    simulate: Simulate, tmp_path: Path, beta: float
) -> None:
    """That of the linear equations' fastest wave, and that of quasi-geostrophic theory.

    The theory leaves out what is of the order of the Rossby number, 0.03 here.
    """
    columns = 40
    wavenumber = 2 * np.pi / (columns * DX)
    rate, wave = fastest_wave(sheared(beta), wavenumber, beta)
    time, size = size_in_the_model(simulate, tmp_path / "start.nc", beta, columns, wave, 20.0)
    found = np.polyfit(time, size, 1)[0]
    assert found == pytest.approx(rate, rel=0.02)
    assert found == pytest.approx(quasi_geostrophic_growth(wavenumber, beta), rel=0.05)


def test_a_wave_shorter_than_the_cutoff_does_not_grow(simulate: Simulate, tmp_path: Path) -> None:
    """The form that would grow if it were longer gains a little at first, then falls again."""
    columns, days = 24, 40.0
    assert quasi_geostrophic_growth(2 * np.pi / (columns * DX), 0.0) == 0
    longer = 2 * np.pi / (32 * DX)
    rate, wave = fastest_wave(sheared(0.0), longer, 0.0)
    _, size = size_in_the_model(simulate, tmp_path / "start.nc", 0.0, columns, wave, days)
    assert rate * days * 86400 > 1.5
    assert size.max() - size[0] < 0.5
    assert size[-1] < size.max() - 0.1
