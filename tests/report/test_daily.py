from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from parslflow.errors import UsageError
from parslflow.report.daily import eddy_kinetic_energy
from parslflow.report.daily import read_daily
from parslflow.report.daily import zonal_profile


def test_the_last_days_are_read_with_their_grid(tmp_path: Path) -> None:
    path = tmp_path / "daily.nc"
    field = np.arange(4 * 3 * 2, dtype=np.float32).reshape(4, 3, 2)
    with h5py.File(path, "w") as file:
        file["EKE"] = field
        file["time"] = [7.0, 8.0, 9.0, 10.0]
        file["xh"] = [2500.0, 7500.0]
        file["yh"] = [2500.0, 7500.0, 12500.0]
    daily = read_daily(path, "EKE", days=3)
    np.testing.assert_array_equal(daily.values, field[1:])
    np.testing.assert_array_equal(daily.time, [8, 9, 10])
    np.testing.assert_array_equal(daily.y, [2500, 7500, 12500])
    assert daily.values.dtype == np.float64
    assert daily.spacing == 5000
    assert len(read_daily(path, "EKE", days=10).time) == 4


def test_a_file_that_lacks_something_is_named(tmp_path: Path) -> None:
    path = tmp_path / "daily.nc"
    with pytest.raises(UsageError, match=r"daily\.nc is no daily output"):
        read_daily(path, "EKE", days=1)
    with h5py.File(path, "w") as file:
        file["EKE"] = np.zeros((0, 3, 2))
    with pytest.raises(UsageError, match=r"daily\.nc has no variable RV_vert_avg"):
        read_daily(path, "RV_vert_avg", days=1)
    with pytest.raises(UsageError, match=r"daily\.nc is no daily output"):
        read_daily(path, "EKE", days=1)
    with h5py.File(path, "a") as file:
        file["time"] = np.zeros(0)
        file["xh"] = [0.0, 1.0]
        file["yh"] = [0.0, 1.0, 2.0]
    with pytest.raises(UsageError, match=r"daily\.nc holds no time"):
        read_daily(path, "EKE", days=1)


def test_eddies_are_what_is_above_the_mean() -> None:
    energy = np.array([[[3.0, 1.0]], [[2.0, 5.0]]])
    mean = np.array([[2.0, 2.0]])
    np.testing.assert_array_equal(eddy_kinetic_energy(energy, mean), [[[1, 0]], [[0, 3]]])


def test_a_profile_is_the_mean_in_x_and_its_range_over_days() -> None:
    field = np.array(
        [
            [[1.0, 3.0], [np.nan, 4.0], [np.nan, np.nan]],
            [[5.0, 7.0], [2.0, 8.0], [np.nan, np.nan]],
            [[0.0, 0.0], [6.0, 6.0], [np.nan, np.nan]],
        ]
    )
    profile = zonal_profile(field)
    np.testing.assert_allclose(profile.mean, [8 / 3, 5, np.nan])
    np.testing.assert_array_equal(profile.lowest, [0, 4, np.nan])
    np.testing.assert_array_equal(profile.highest, [6, 6, np.nan])
