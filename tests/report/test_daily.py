from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from parslflow.errors import UsageError
from parslflow.report.daily import count_days
from parslflow.report.daily import read_daily

LAST = slice(-1, None)


def test_some_days_are_read_with_their_grid(tmp_path: Path) -> None:
    path = tmp_path / "daily.nc"
    field = np.arange(4 * 3 * 2, dtype=np.float32).reshape(4, 3, 2)
    with h5py.File(path, "w") as file:
        file["EKE"] = field
        file["time"] = [7.0, 8.0, 9.0, 10.0]
        file["xh"] = [2500.0, 7500.0]
        file["yh"] = [2500.0, 7500.0, 12500.0]
    daily = read_daily(path, "EKE", slice(1, 3))
    np.testing.assert_array_equal(daily.values, field[1:3])
    np.testing.assert_array_equal(daily.time, [8, 9])
    np.testing.assert_array_equal(daily.y, [2500, 7500, 12500])
    assert daily.values.dtype == np.float64
    assert daily.spacing == 5000
    assert read_daily(path, "EKE", slice(-1, None)).time == [10]
    assert count_days(path, "EKE") == 4


def test_a_file_that_lacks_something_is_named(tmp_path: Path) -> None:
    path = tmp_path / "daily.nc"
    with pytest.raises(UsageError, match=r"daily\.nc is no daily output"):
        read_daily(path, "EKE", LAST)
    with h5py.File(path, "w") as file:
        file["EKE"] = np.zeros((0, 3, 2))
    with pytest.raises(UsageError, match=r"daily\.nc has no variable RV_vert_avg"):
        read_daily(path, "RV_vert_avg", LAST)
    with pytest.raises(UsageError, match=r"daily\.nc is no daily output"):
        read_daily(path, "EKE", LAST)
    with h5py.File(path, "a") as file:
        file["time"] = np.zeros(0)
        file["xh"] = [0.0, 1.0]
        file["yh"] = [0.0, 1.0, 2.0]
    with pytest.raises(UsageError, match=r"daily\.nc holds no time"):
        read_daily(path, "EKE", LAST)
    with pytest.raises(UsageError, match=r"daily\.nc holds no time"):
        count_days(path, "EKE")
