"""Restarts on the way, and the output up to each."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from parslflow.store.client import StoreClient
from parslflow.store.server import StoreServer

from .model import Simulate
from .model import Simulation

SETTINGS = {"physics": {"perturbation": 0.5}, "meke": {"scheme": "prognostic"}}
STREAM = {"list": "tiles", "run": "high-1"}


@pytest.fixture(scope="module")
def plain(simulate: Simulate) -> Simulation:
    """Five days with a restart at the end alone."""
    return simulate(2, time={"days": 5.0}, **SETTINGS)


@pytest.fixture(scope="module")
def parted(simulate: Simulate) -> Simulation:
    """The same with a restart every other day."""
    return simulate(2, time={"days": 5.0, "restart_interval_days": 2.0}, **SETTINGS)


def names(folder: Path) -> list[str]:
    """The model's files, but for one that is not whole."""
    return sorted(path.name for path in folder.glob("*.nc"))


def assert_same_output(parts: list[Path], whole: Path) -> None:
    with h5py.File(whole) as file:
        for name, variable in file.items():
            if variable.maxshape[0] is None:
                pieces = [h5py.File(part)[name][()] for part in parts]
                assert_array_equal(np.concatenate(pieces), variable, err_msg=name)


def test_every_restart_closes_a_part_of_the_output(plain: Simulation, parted: Simulation) -> None:
    assert names(plain.folder) == ["daily.nc", "restart.nc"]
    assert names(parted.folder) == [
        "daily.0000002.00000.nc",
        "daily.0000004.00000.nc",
        "daily.0000005.00000.nc",
        "restart.0000002.00000.nc",
        "restart.0000004.00000.nc",
        "restart.nc",
    ]
    assert parted.restart.read_bytes() == plain.restart.read_bytes()
    assert_same_output(sorted(parted.folder.glob("daily.*.nc")), plain.daily)
    assert parted.days == plain.days


def test_a_run_goes_on_from_each_of_them_as_it_would_have(
    simulate: Simulate, plain: Simulation, parted: Simulation
) -> None:
    for day in (2, 4):
        start = parted.folder / f"restart.{day:07d}.00000.nc"
        time = {"days": 5.0 - day, "restart_interval_days": 2.0, "restart_in": str(start)}
        rest = simulate(1, time=time, **SETTINGS)
        assert rest.restart.read_bytes() == plain.restart.read_bytes()
        before = [parted.folder / f"daily.{one:07d}.00000.nc" for one in range(2, day + 1, 2)]
        assert_same_output([*before, *sorted(rest.folder.glob("daily.*.nc"))], plain.daily)


def test_output_at_longer_intervals_than_restarts_is_in_as_many_parts(simulate: Simulate) -> None:
    done = simulate(
        time={"days": 4.0, "restart_interval_days": 1.0}, output={"interval_days": 2.0}, **SETTINGS
    )
    parts = [name for name in names(done.folder) if name.startswith("daily")]
    assert parts == ["daily.0000002.00000.nc", "daily.0000004.00000.nc"]


def test_the_marker_of_the_end_counts_what_was_sent_before_the_restart(
    simulate: Simulate, store: StoreClient, store_server: StoreServer, plain: Simulation
) -> None:
    environment = {"SSDB": store_server.address}
    time = {"days": 5.0, "restart_interval_days": 2.0}
    first = simulate(2, environment, time=time, stream=STREAM, **SETTINGS)
    assert store.get_dataset("high-1_end").metadata["times"] == [5]
    start = str(first.folder / "restart.0000004.00000.nc")
    store.drain_list("tiles")
    for run, times in (("high-1", 5), ("high-2", 1)):
        rest = simulate(
            2,
            environment,
            time={"days": 1.0, "restart_in": start},
            stream=STREAM | {"run": run},
            **SETTINGS,
        )
        assert store.get_dataset(f"{run}_end").metadata["times"] == [times]
        assert sorted(store.drain_list("tiles")) == [
            f"{run}_0000005.00000_000000",
            f"{run}_0000005.00000_000001",
            f"{run}_end",
        ]
        with h5py.File(rest.restart) as one, h5py.File(plain.restart) as other:
            assert one.attrs["sent"] == times
            assert_array_equal(one["u"], other["u"])
