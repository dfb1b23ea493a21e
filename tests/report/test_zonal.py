from __future__ import annotations

import math
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.testing import assert_array_equal

from parslflow.errors import UsageError
from parslflow.learning.clusters import Clusters
from parslflow.report.zonal import Profile
from parslflow.report.zonal import compare
from parslflow.report.zonal import eddy_kinetic_energy
from parslflow.report.zonal import high_profile
from parslflow.report.zonal import low_profile
from parslflow.report.zonal import on_rows

WIDTH = 1600e3


def rows(count: int) -> np.ndarray:
    return (np.arange(count) + 0.5) * WIDTH / count


def profile(windows: list[list[float]], days: list[int] | None = None) -> Profile:
    values = np.array(windows)
    return Profile(rows(values.shape[1]), values, np.array(days or [30] * len(values)))


def write(path: Path, variable: str, values: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        file[variable] = values
        file["time"] = np.arange(len(values)) + 400.0
        file["yh"] = rows(values.shape[1])
        file["xh"] = (np.arange(values.shape[2]) + 0.5) * WIDTH / values.shape[1]
    return path


def clusters(mke: np.ndarray) -> Clusters:
    zeros = np.zeros(4)
    return Clusters(1e-6, zeros, np.ones(4), np.zeros((1, 4)), 0, mke, 80e3, 200e3, 1)


def test_eddies_are_what_is_above_the_mean() -> None:
    energy = np.array([[[3.0, 1.0]], [[2.0, 5.0]]])
    mean = np.array([[2.0, 2.0]])
    assert_array_equal(eddy_kinetic_energy(energy, mean), [[[1, 0]], [[0, 3]]])


@pytest.mark.parametrize(
    ("total", "first", "count", "length"),
    [
        (1, 0, 1, 1),
        (29, 0, 1, 29),
        (30, 0, 1, 30),
        (59, 0, 1, 30),
        (90, 0, 3, 30),
        (91, 30, 2, 30),
        (125, 30, 3, 30),
    ],
)
def test_low_is_cut_into_whole_windows_after_its_adjustment(
    tmp_path: Path, total: int, first: int, count: int, length: int
) -> None:
    day = np.arange(float(total))
    values = day[:, None, None] + np.array([0.0, 100.0])[:, None] + np.array([-1.0, 0.0, 1.0])
    found = low_profile(write(tmp_path / "low.nc", "EKE", values))
    assert_array_equal(found.days, [length] * count)
    middle = first + (length - 1) / 2 + length * np.arange(count)
    assert_allclose(found.windows, middle[:, None] + [0, 100])
    assert_allclose(found.mean, middle.mean() + np.array([0, 100]))


def test_high_takes_the_windows_of_all_its_runs_by_their_days(tmp_path: Path) -> None:
    mke = np.array([[10.0, 20.0], [0.0, 0.0], [0.0, np.nan]])
    day = np.ones((60, 1, 1))
    base = write(tmp_path / "base.nc", "KE_vert_sum", day * [[13.0, 5.0], [1.0, 3.0], [4.0, 6.0]])
    last = write(tmp_path / "last.nc", "KE_vert_sum", day[:15] * [[23.0, 25], [5, 5], [9, 9]])
    found = high_profile([base, last], clusters(mke), tmp_path / "clusters.h5")
    assert_array_equal(found.days, [30, 30, 15])
    assert_allclose(found.windows, [[1.5, 2, 4], [1.5, 2, 4], [9, 5, 9]])
    assert_allclose(found.mean, (4 * found.windows[0] + found.windows[2]) / 5)


def test_the_time_mean_of_another_grid_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "high.nc", "KE_vert_sum", np.ones((2, 4, 3)))
    with pytest.raises(UsageError, match=r"high\.nc has \(4, 3\) cells.*clusters\.h5 has \(2, 3\)"):
        high_profile([path], clusters(np.ones((2, 3))), tmp_path / "clusters.h5")


def test_rows_without_values_stay_without(tmp_path: Path) -> None:
    values = np.array([[[1.0, 3.0], [np.nan, 4.0], [np.nan, np.nan]]])
    assert_array_equal(low_profile(write(tmp_path / "low.nc", "EKE", values)).mean, [2, 4, np.nan])


def test_finer_rows_are_averaged() -> None:
    fine = profile([[1.0, 3.0, 5.0, np.nan, np.nan, np.nan], [0.0, 0.0, 2.0, 4.0, 6.0, 8.0]])
    coarse = on_rows(fine, rows(3))
    assert_allclose(coarse.windows, [[2, 5, np.nan], [0, 3, 7]], atol=1e-12)
    assert_array_equal(coarse.days, fine.days)


@given(
    values=st.lists(st.floats(0, 1e3), min_size=2, max_size=40),
    count=st.integers(2, 40),
)
def test_no_energy_is_lost_between_rows(values: list[float], count: int) -> None:
    """Whether the rows of one grid fit into those of the other or not."""
    coarse = on_rows(profile([values]), rows(count)).windows[0]
    assert coarse.mean() == pytest.approx(np.mean(values), rel=1e-9, abs=1e-9)
    assert coarse.min() >= min(values) - 1e-9
    assert coarse.max() <= max(values) + 1e-9


def test_distances_leave_out_the_rows_next_to_the_walls() -> None:
    high = profile([[0.0, 2.0, 6.0, 0.0]] * 2)
    low = profile([[50.0, 5.0, 10.0, 3.0], [50.0, 5.0, 2.0, 3.0]])
    first, second = compare(high, {"low_meke": low}, wall=250e3)
    assert (first.case, second.case) == ("high", "low_meke")
    assert (second.windows, second.days) == (2, 60)
    assert second.rms == pytest.approx(math.sqrt((3**2 + 0) / 2))
    assert second.window_rms_highest == pytest.approx(math.sqrt((3**2 + 4**2) / 2))
    assert second.window_rms_lowest == pytest.approx(second.window_rms_highest)
    assert second.log_rms == pytest.approx(math.log(6 / 3) / math.sqrt(2))
    assert second.mean == pytest.approx((50 + 5 + 6 + 3) / 4)
    assert (second.greatest, second.greatest_y) == (50, rows(4)[0])
    all_rows = compare(high, {"low_meke": low}, wall=0)[1]
    assert all_rows.rms == pytest.approx(math.sqrt((50**2 + 3**2 + 3**2) / 4))


def test_a_window_of_high_is_held_against_its_other_windows() -> None:
    """By their days; and on the rows of Low."""
    high = profile([[1, 3, 5, 7], [2, 4, 9, 11], [0, 0, 0, 0]], [30, 30, 15])
    low = profile([[2.0, 6.0]])
    row = compare(high, {"low_meke": low}, wall=0)[0]
    windows = np.array([[2.0, 6.0], [3.0, 10.0], [0.0, 0.0]])
    others = [(2 * windows[1]) / 3, (2 * windows[0]) / 3, (windows[0] + windows[1]) / 2]
    distances = np.sqrt(((windows - others) ** 2).mean(axis=1))
    assert row.window_rms == pytest.approx(distances.mean())
    assert row.window_rms_lowest == pytest.approx(distances.min())
    assert row.window_rms_highest == pytest.approx(distances.max())
    assert math.isnan(row.rms)
    alone = compare(profile([[1.0, 2.0]]), {"low_meke": low}, wall=0)[0]
    assert math.isnan(alone.window_rms)
    assert alone.mean == pytest.approx(1.5)


def test_of_the_same_climate_low_is_as_far_as_chance_puts_high() -> None:
    """Windows of both drawn from one distribution."""
    random = np.random.default_rng(5)
    high, low = (
        Profile(rows(40), random.normal(20.0, 3.0, (12, 40)), np.full(12, 30)) for _ in range(2)
    )
    chance, same = compare(high, {"low_network": low}, wall=0)
    assert same.window_rms == pytest.approx(chance.window_rms, rel=0.15)
    assert same.rms < chance.window_rms_lowest
