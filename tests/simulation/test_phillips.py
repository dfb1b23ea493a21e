from __future__ import annotations

import sys
from pathlib import Path

import h5py
import pytest

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.records import Value
from parslflow.simulation import phillips
from parslflow.simulation.phillips import SimulateInputs

VALUES: dict[str, str | float] = {
    "nx": 24,
    "ny": 32,
    "spacing": 5e4,
    "px": 1,
    "py": 2,
    "time_step": 900.0,
    "days": 2.0,
    "restart": "",
    "restart_interval": 0.0,
    "perturbation": 1e-3,
    "meke": "none",
    "daily": "daily.nc",
    "stream_list": "",
    "stream_run": "",
    "model": "",
    "label": "",
    "filter_scale": 8e4,
}


def ignore(series: str, /, **values: Value) -> None:
    """A report that nobody reads."""


def inputs(tmp_path: Path, name: str, mpi: dict[str, str], **changes: object) -> SimulateInputs:
    settings: dict[str, object] = {
        "folder": tmp_path / name,
        "namelist": phillips.namelist(**VALUES),
        "executable": phillips.find_executable("phillips", beside=Path(sys.prefix) / "bin"),
        "launch": ("mpiexec", "-n", "{ranks}"),
        "ranks": 2,
        "environment": mpi,
    }
    return SimulateInputs.model_validate(settings | changes)


def test_the_model_runs_and_reports_its_days(tmp_path: Path, mpi: dict[str, str]) -> None:
    days: list[Value] = []

    def report(series: str, /, **values: Value) -> None:
        assert series == "day"
        days.append(values["day"])

    record = phillips.simulate(inputs(tmp_path, "run", mpi), report)
    assert days == [1.0, 2.0]
    assert float(record.metrics["kinetic_energy"]) > 0
    assert {artifact.path.name for artifact in record.wrote} == {"restart.nc", "daily.nc"}


def test_a_cached_state_is_used_again(tmp_path: Path, mpi: dict[str, str]) -> None:
    cache = tmp_path / "cache"
    first = phillips.simulate(inputs(tmp_path, "a", mpi, cache=cache), ignore)
    again = phillips.simulate(inputs(tmp_path, "b", mpi, cache=cache), ignore)
    assert "reused" not in first.metrics
    assert "reused" in again.metrics
    assert (tmp_path / "a/restart.nc").read_bytes() == (tmp_path / "b/restart.nc").read_bytes()
    other = phillips.namelist(**(VALUES | {"days": 1.0}))
    changed = phillips.simulate(inputs(tmp_path, "c", mpi, cache=cache, namelist=other), ignore)
    assert "reused" not in changed.metrics


def test_a_cached_state_is_known_by_what_its_restart_holds(
    tmp_path: Path, mpi: dict[str, str]
) -> None:
    first = inputs(tmp_path, "start", mpi)
    phillips.simulate(first, ignore)
    content = (tmp_path / "start" / "restart.nc").read_bytes()

    def go_on(run: str, restart: Path) -> bool:
        """Whether the end of a run from ``restart`` was known."""
        text = phillips.namelist(**(VALUES | {"restart": str(restart)}))
        changes = {"namelist": text, "restart": restart, "cache": tmp_path / "cache"}
        return "reused" in phillips.simulate(inputs(tmp_path, run, mpi, **changes), ignore).metrics

    here, there = tmp_path / "here.nc", tmp_path / "there.nc"
    here.write_bytes(content)
    there.write_bytes(content)
    assert not go_on("a", here)
    assert go_on("b", there)
    with h5py.File(there, "r+") as file:
        file["u"][0, 5, 5] += 1e-3
    assert not go_on("c", there)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="executable = 'philips'"):
        phillips.find_executable("philips", beside=tmp_path)
    with pytest.raises(UsageError, match="make build"):
        phillips.find_executable(str(tmp_path), beside=tmp_path)


def test_a_launch_command_that_is_not_there_is_named(tmp_path: Path, mpi: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="'mpirunn' cannot be started"):
        phillips.simulate(inputs(tmp_path, "run", mpi, launch=("mpirunn",)), ignore)


def test_the_environment_says_where_the_network_runs(
    tmp_path: Path, mpi: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model itself finds that the script is none, which it can only when it looks there."""
    script = tmp_path / "net-1.script.pt"
    script.write_bytes(b"no TorchScript")
    network = phillips.Network(key="net-1", script=script, in_process=True)
    values = VALUES | {"meke": "network", "model": "net-1", "label": "net-1"}
    asked = inputs(tmp_path, "run", mpi, network=network, namelist=phillips.namelist(**values))
    with pytest.raises(ParslflowError, match=r"net-1\.script\.pt is no TorchScript"):
        phillips.simulate(asked, ignore)

    other = phillips.Network(key="net-2", script=script, in_process=True)
    with pytest.raises(UsageError, match=r"must be called net-2\.script\.pt"):
        phillips.simulate(asked.model_copy(update={"network": other}), ignore)
    monkeypatch.setattr(phillips, "INFERENCE_LIBRARY", tmp_path / "none.so")
    with pytest.raises(UsageError, match="'make build'"):
        phillips.simulate(asked, ignore)
