"""What other programs make of the model's files, by the conventions that they follow."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import xarray
from numpy.testing import assert_array_equal

from .model import Simulate
from .model import Simulation
from .model import read

# Of the CF standard name table, with its units.
STANDARD_NAMES = {
    "time": None,
    "projection_x_coordinate": "m",
    "projection_y_coordinate": "m",
    "model_level_number": "1",
    "cell_thickness": "m",
    "sea_water_x_velocity": "m s-1",
    "sea_water_y_velocity": "m s-1",
    "ocean_tracer_diffusivity_due_to_parameterized_mesoscale_eddy_advection": "m2 s-1",
}
AXES = {"time": "T", "zl": "Z", "zi": "Z", "yh": "Y", "yq": "Y", "xh": "X", "xq": "X"}


@pytest.fixture(scope="module")
def done(simulate: Simulate) -> Simulation:
    return simulate(
        2,
        time={"days": 1.0},
        meke={"scheme": "prognostic"},
        output={"interval_days": 0.25},
        network={"label": "EKE-ResNet-1"},
    )


def test_times_and_axes_are_decoded(done: Simulation) -> None:
    start = np.datetime64("2000-01-01")
    with xarray.open_dataset(done.daily) as daily:
        hours = (daily["time"].values - start) / np.timedelta64(1, "h")
        assert_array_equal(hours, [6, 12, 18, 24])
        assert {name: daily[name].attrs["axis"] for name in daily.coords} == AXES
        assert daily["zl"].attrs["positive"] == daily["zi"].attrs["positive"] == "down"
        assert daily.sizes == {"time": 4, "zl": 2, "zi": 3, "yh": 32, "yq": 32, "xh": 24, "xq": 24}
        at = daily.sel(time="2000-01-02", xh=2.5e4, yh=8.0e5, method="nearest")
        assert float(at["h"].sum()) == pytest.approx(float(at["e"][0] - at["e"][2]), rel=1e-6)
        assert daily["u"].dims == ("time", "zl", "yh", "xq")
        assert daily["v"].dims == ("time", "zl", "yq", "xh")
        assert daily["model"].values.tolist() == [b"EKE-ResNet-1"] * 4


def test_every_variable_says_what_it_is(done: Simulation) -> None:
    with xarray.open_dataset(done.daily, decode_times=False) as daily:
        assert daily.attrs["Conventions"] == "CF-1.10"
        assert daily.attrs["title"]
        named = {name: one.attrs for name, one in daily.variables.items() if name != "model"}
        for name, attributes in named.items():
            assert attributes["long_name"], name
            assert attributes["units"], name
            if "standard_name" in attributes:
                units = STANDARD_NAMES[attributes["standard_name"]]
                assert units in (None, attributes["units"]), name
            methods = attributes.get("cell_methods")
            assert methods == (None if name in daily.coords else "time: point"), name
        assert len({at.get("standard_name") for at in named.values()} - {None}) == 8
        assert daily["time"].attrs["calendar"] == "proleptic_gregorian"
        assert daily["time"].values.tolist() == [0.25, 0.5, 0.75, 1.0]


def test_no_value_is_taken_for_missing(done: Simulation) -> None:
    for path in (done.daily, done.restart):
        with h5py.File(path) as file:
            assert not any("_FillValue" in variable.attrs for variable in file.values())
    with xarray.open_dataset(done.daily) as daily:
        assert not any(daily[name].isnull().any() for name in ("h", "u", "v", "e", "EKE"))


def test_the_restart_is_a_data_set_too(done: Simulation) -> None:
    with xarray.open_dataset(done.restart) as restart:
        assert restart.attrs["time"] == 86400
        assert restart["h"].dims == ("layer", "y", "x")
        assert restart["eddy_energy"].dims == ("y", "x")
        for name, variable in restart.items():
            assert variable.attrs["long_name"]
            assert variable.attrs["units"]
            assert_array_equal(variable, read(done.restart, str(name))[str(name)])
        assert restart["u"].attrs["standard_name"] == "sea_water_x_velocity"
