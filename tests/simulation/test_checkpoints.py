"""What a run of the model goes on from, and what is left when it has ended."""

from __future__ import annotations

import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parslflow.errors import ParslflowError
from parslflow.simulation import checkpoints
from parslflow.simulation.checkpoints import Checkpoint
from parslflow.tether import tethered


def stamp(day: int) -> str:
    return f"{day:07d}.00000"


def leave(folder: Path, *days: int, sent: int = 0) -> None:
    """Restarts and output of a run that was killed after the last of these days."""
    before = 0
    for day in days:
        with h5py.File(folder / f"daily.{stamp(day)}.nc", "w") as file:
            days_of_part = np.arange(before, day) + 1.0
            file.create_dataset("time", data=days_of_part, maxshape=(None,))
            file.create_dataset("x", data=[1.0, 2.0])
            file.create_dataset("u", data=np.outer(days_of_part, [1, 2]), maxshape=(None, 2))
        with h5py.File(folder / f"restart.{stamp(day)}.nc", "w") as file:
            file.attrs["time"] = day * 86400.0
            file.attrs["sent"] = np.int32(sent and day)
        before = day


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.nc*"))


def test_only_the_same_inputs_go_on(tmp_path: Path) -> None:
    assert checkpoints.last(tmp_path, "key", None) is None
    leave(tmp_path, 2, 4)
    found = checkpoints.last(tmp_path, "key", None)
    assert found is not None
    assert (found.stamp, found.days) == (stamp(4), 4.0)
    assert checkpoints.last(tmp_path, "another key", None) is None
    assert names(tmp_path) == []


def test_what_lies_beyond_is_made_again(tmp_path: Path) -> None:
    checkpoints.last(tmp_path, "key", None)
    leave(tmp_path, 2, 4, 6, sent=1)
    (tmp_path / f"restart.{stamp(6)}.nc").write_bytes(b"damaged")
    found = checkpoints.last(tmp_path, "key", {stamp(day) for day in (1, 2, 3)})
    assert found is not None
    assert found.stamp == stamp(2)
    assert names(tmp_path) == [f"daily.{stamp(2)}.nc", f"restart.{stamp(2)}.nc"]


@given(day=st.integers(1, 6), unsent=st.booleans(), sampled=st.sets(st.integers(1, 8), max_size=8))
def test_a_restart_is_of_use_when_all_before_it_is_sampled(
    day: int, unsent: bool, sampled: set[int]
) -> None:
    sent = day - unsent
    checkpoint = Checkpoint(Path("restart.nc"), stamp(day), float(day), sent, unsent)
    assert checkpoint.is_sampled(set(map(stamp, sampled))) == (set(range(1, sent + 1)) <= sampled)


def test_the_end_leaves_one_output_and_what_was_gone_on_from(tmp_path: Path) -> None:
    checkpoints.last(tmp_path, "key", None)
    leave(tmp_path, 2, 4, 5)
    (tmp_path / "daily.nc.part").touch()
    begun = checkpoints.last(tmp_path, "key", None)
    kept = checkpoints.finish(tmp_path, begun)
    assert kept == tmp_path / "went_on_from.nc"
    assert names(tmp_path) == ["daily.nc", "went_on_from.nc"]
    with h5py.File(tmp_path / "daily.nc") as file:
        np.testing.assert_array_equal(file["time"], [1, 2, 3, 4, 5])
        np.testing.assert_array_equal(file["u"][:, 1], [2, 4, 6, 8, 10])
        assert file["x"].shape == (2,)
    assert checkpoints.last(tmp_path, "key", None) is None
    assert names(tmp_path) == ["daily.nc", "went_on_from.nc"]


def test_a_second_run_waits_for_what_the_first_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "_WAIT_S", 0.2)
    with checkpoints.alone(tmp_path) as held:
        checkpoints.share(held)
        process = subprocess.Popen(tethered(["sleep", "60"]), pass_fds=(held.fileno(),))
    with pytest.raises(ParslflowError, match="still goes on there"), checkpoints.alone(tmp_path):
        pass
    process.terminate()
    process.wait()
    with checkpoints.alone(tmp_path):
        pass
