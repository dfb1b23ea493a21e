from __future__ import annotations

import sys
from dataclasses import astuple
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from parslflow import sites
from parslflow.errors import UsageError
from parslflow.records import Value
from parslflow.simulation import interpolation
from parslflow.simulation import phillips
from parslflow.simulation.interpolation import InterpolateInputs
from parslflow.simulation.restarts import State
from parslflow.simulation.settings import SimulateInputs
from parslflow.simulation.settings import find_executable
from parslflow.simulation.settings import namelist

factors = st.integers(2, 5)


@st.composite
def states(draw: st.DrawFn, multiple: int = 1) -> State:
    """Rough states, with layers that nearly vanish."""
    nx, ny = (multiple * draw(st.integers(2, 7)) for _ in "xy")
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    h = 10.0 ** random.uniform(-3, 3, (2, ny, nx))
    u, v = random.normal(size=(2, 2, ny, nx))
    v[:, -1] = 0
    return State(h, u, v, random.uniform(0, 1, (ny, nx)))


def convergence(state: State) -> NDArray[np.float64]:
    """Net transport into each cell, m³/s for cells of 1 m; by the mean thickness at the faces."""
    h = state.h
    u = state.u * (h + np.roll(h, -1, axis=2)) / 2
    v = state.v * (h + np.concatenate([h[:, 1:], h[:, -1:]], axis=1)) / 2
    south = np.concatenate([np.zeros_like(v[:, :1]), v[:, :-1]], axis=1)
    return np.roll(u, 1, axis=2) - u + south - v


def blocks(values: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """Axes 2 and 4 of [layer, j, ·, i, ·] run inside the old cell (j, i)."""
    layers, ny, nx = values.shape
    return values.reshape(layers, ny // factor, factor, nx // factor, factor)


@given(states(), factors)
def test_every_old_cell_keeps_its_mass_and_its_convergence(state: State, factor: int) -> None:
    fine = interpolation.refine(state, factor)
    assert (fine.h > 0).all()
    assert (fine.eddy_energy >= 0).all()
    assert_allclose(blocks(fine.h, factor).mean(axis=(2, 4)), state.h, rtol=1e-14)
    # Per area: a new cell is as much wider in units of itself.
    expected = np.broadcast_to(
        convergence(state)[:, :, None, :, None] / factor,
        blocks(fine.h, factor).shape,
    )
    assert_allclose(blocks(convergence(fine), factor), expected, rtol=0, atol=1e-10)
    assert_array_equal(fine.v[:, -1], 0)


@given(states(), factors)
def test_back_on_the_old_grid_all_is_as_it_was(state: State, factor: int) -> None:
    back = interpolation.coarsen(interpolation.refine(state, factor), factor)
    for was, now in zip(astuple(state), astuple(back), strict=True):
        assert_allclose(now, was, rtol=1e-9, atol=1e-9)


@given(factors.flatmap(lambda factor: st.tuples(states(factor), st.just(factor))))
def test_a_coarser_cell_has_the_mass_and_the_convergence_of_its_parts(
    drawn: tuple[State, int],
) -> None:
    state, factor = drawn
    coarse = interpolation.coarsen(state, factor)
    assert_allclose(coarse.h, blocks(state.h, factor).mean(axis=(2, 4)), rtol=1e-14)
    whole = blocks(convergence(state), factor).sum(axis=(2, 4)) / factor
    assert_allclose(convergence(coarse), whole, rtol=0, atol=1e-10)


@given(states(), factors, st.integers(1, 6))
def test_where_x_begins_does_not_matter(state: State, factor: int, shift: int) -> None:
    moved = State(*(np.roll(field, shift, axis=-1) for field in astuple(state)))
    here, there = (interpolation.refine(one, factor) for one in (state, moved))
    for one, other in zip(astuple(here), astuple(there), strict=True):
        assert_array_equal(np.roll(one, factor * shift, axis=-1), other)


@given(st.integers(4, 9), st.integers(4, 9), factors, st.tuples(*[st.floats(-1, 1)] * 6))
def test_what_is_linear_stays_so(
    nx: int, ny: int, factor: int, slopes: tuple[float, float, float, float, float, float]
) -> None:
    def on_grid(cell: float, flat: bool) -> State:
        """The flow varies where the layers are flat, and the other way round."""
        x = (np.arange(nx / cell) + 0.5) * cell
        y = ((np.arange(ny / cell) + 0.5) * cell)[:, None]
        h = np.stack([20 + slopes[0] * y + 0 * x, 30 + slopes[1] * y + 0 * x])
        u = np.stack([slopes[2] * (x + cell / 2) + slopes[3] * y] * 2)
        v = np.stack([slopes[4] * x + slopes[5] * (y + cell / 2)] * 2)
        if flat:
            return State(np.full_like(h, 7), u, v, h[0])
        return State(h, np.zeros_like(u), np.zeros_like(v), h[1])

    wall_to_wall = interpolation.refine(on_grid(1, flat=False), factor)
    assert_allclose(wall_to_wall.h, on_grid(1 / factor, flat=False).h, rtol=1e-12)
    assert_allclose(wall_to_wall.eddy_energy, wall_to_wall.h[1], rtol=1e-12)
    # Not next to the walls, where flow slips, nor where x begins again.
    inside = (slice(None), slice(factor, -factor), slice(2 * factor, -2 * factor))
    fine, expected = (
        interpolation.refine(on_grid(1, flat=True), factor),
        on_grid(1 / factor, flat=True),
    )
    assert_allclose(fine.u[inside], expected.u[inside], atol=1e-12)
    assert_allclose(fine.v[inside], expected.v[inside], atol=1e-12)


def test_by_several_factors_or_none() -> None:
    random = np.random.default_rng(3)
    h = random.uniform(1, 2, (2, 4, 3))
    state = State(h, h, h * np.array([1, 1, 1, 0])[:, None], h[0])
    assert interpolation.to_grid(state, 18, 24).u.shape == (2, 24, 18)
    for was, now in zip(astuple(state), astuple(interpolation.to_grid(state, 3, 4)), strict=True):
        assert_allclose(now, was, rtol=1e-14)


VALUES: dict[str, str | float] = {
    "nx": 24,
    "ny": 32,
    "spacing": 5e4,
    "px": 1,
    "py": 2,
    "time_step": 1800.0,
    "days": 30.0,
    "restart": "",
    "restart_interval": 0.0,
    "perturbation": 0.3,
    "meke": "prognostic",
    "daily": "",
    "stream_list": "",
    "stream_run": "",
    "model": "",
    "label": "",
    "filter_scale": 8e4,
}


def run(folder: Path, environment: dict[str, str], **changes: str | float) -> dict[str, Value]:
    """The last day of a run of the model."""
    inputs = SimulateInputs(
        folder=folder,
        namelist=namelist(**(VALUES | changes)),
        executable=find_executable("phillips", beside=Path(sys.prefix) / "bin"),
        launch=("mpiexec", "-n", "{ranks}"),
        ranks=2,
        environment=environment,
    )
    return phillips.simulate(inputs, ignore).metrics


def ignore(series: str, /, **values: Value) -> None:
    """A report that nobody reads."""


@pytest.fixture(scope="module")
def restart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The end of a month on a coarse grid."""
    folder = tmp_path_factory.mktemp("coarse")
    run(folder / "run", sites.load(sites.Choice("local"), folder).environment)
    return folder / "run" / "restart.nc"


def test_the_model_goes_on_from_it_as_it_would_have(
    tmp_path: Path, restart: Path, mpi: dict[str, str]
) -> None:
    output = tmp_path / "restart.nc"
    inputs = InterpolateInputs(restart=restart, grid=(48, 64), output=output)
    record = interpolation.interpolate(inputs, ignore)
    assert [one.path for one in (*record.read, *record.wrote)] == [restart, output]
    assert float(record.metrics["mass_error"]) < 1e-14
    first = output.read_bytes()
    interpolation.interpolate(inputs, ignore)
    assert output.read_bytes() == first

    with h5py.File(restart) as old, h5py.File(output) as new:
        assert new.attrs["time"] == old.attrs["time"] == 30 * 86400
        assert (new.attrs["nx"], new.attrs["ny"], new.attrs["dx"]) == (48, 64, 25e3)
        assert new.attrs["past"] == 0
        assert set(new) == set(old)
        for name, variable in new.items():
            assert dict(variable.attrs.items()).get("units") == old[name].attrs.get("units")

    days = {
        name: run(tmp_path / name, mpi, restart=str(path), days=1.0, **grid)
        for name, path, grid in (
            ("coarse", restart, {}),
            ("fine", output, {"nx": 48, "ny": 64, "spacing": 25e3, "time_step": 900.0}),
        )
    }
    for figure, tolerance in (("kinetic_energy", 0.03), ("max_speed", 0.1), ("eke_mean", 0.03)):
        assert float(days["fine"][figure]) == pytest.approx(
            float(days["coarse"][figure]), rel=tolerance
        )


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ((48, 48), "48 by 48 are of another shape: keep 24/32"),
        ((36, 48), "36 by 48 are no whole multiple"),
    ],
)
def test_a_grid_that_does_not_fit_is_refused(
    tmp_path: Path, restart: Path, grid: tuple[int, int], words: str
) -> None:
    inputs = InterpolateInputs(restart=restart, grid=grid, output=tmp_path / "out.nc")
    with pytest.raises(UsageError, match=f"restart.nc has 24 by 32 cells: {words}"):
        interpolation.interpolate(inputs, ignore)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("h", 0.0, "'h' is not positive everywhere"),
        ("h", np.inf, "'h' is not finite everywhere"),
        ("u", np.nan, "'u' is not finite everywhere"),
        ("v", None, "no restart .*'v'"),
    ],
)
def test_what_is_no_state_is_refused(
    tmp_path: Path, restart: Path, name: str, value: float | None, words: str
) -> None:
    damaged = tmp_path / "damaged.nc"
    damaged.write_bytes(restart.read_bytes())
    with h5py.File(damaged, "r+") as file:
        if value is None:
            del file[name]
        else:
            file[name][1, 2, 3] = value
    inputs = InterpolateInputs(restart=damaged, grid=(48, 64), output=tmp_path / "out.nc")
    with pytest.raises(UsageError, match=words):
        interpolation.interpolate(inputs, ignore)
    assert not inputs.output.exists()


@pytest.mark.parametrize("content", [None, b"text"])
def test_a_file_that_is_no_restart_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "r.nc"
    if content is not None:
        path.write_bytes(content)
    inputs = InterpolateInputs(restart=path, grid=(48, 64), output=tmp_path / "out.nc")
    with pytest.raises(UsageError, match=r"r\.nc is no restart .*: give the path"):
        interpolation.interpolate(inputs, ignore)


def test_variables_of_another_grid_are_refused(tmp_path: Path, restart: Path) -> None:
    damaged = tmp_path / "damaged.nc"
    damaged.write_bytes(restart.read_bytes())
    with h5py.File(damaged, "r+") as file:
        file.attrs["nx"] = 25
    inputs = InterpolateInputs(restart=damaged, grid=(48, 64), output=tmp_path / "out.nc")
    with pytest.raises(UsageError, match=r"'h' is of shape \(2, 32, 24\), not of 25 by 32 cells"):
        interpolation.interpolate(inputs, ignore)
