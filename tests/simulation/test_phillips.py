from __future__ import annotations

import sys
import threading
from pathlib import Path

import h5py
import pytest

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.records import Value
from parslflow.simulation import phillips
from parslflow.simulation.settings import Network
from parslflow.simulation.settings import SimulateInputs
from parslflow.simulation.settings import find_executable
from parslflow.simulation.settings import namelist
from parslflow.store.client import StoreClient
from parslflow.store.server import StoreServer
from parslflow.store.stream import Stream
from parslflow.store.stream import give_up
from parslflow.store.wire import Dataset

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
        "namelist": namelist(**VALUES),
        "executable": find_executable("phillips", beside=Path(sys.prefix) / "bin"),
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
    other = namelist(**(VALUES | {"days": 1.0}))
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
        text = namelist(**(VALUES | {"restart": str(restart)}))
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
        find_executable("philips", beside=tmp_path)
    with pytest.raises(UsageError, match="make build"):
        find_executable(str(tmp_path), beside=tmp_path)


def test_a_launch_command_that_is_not_there_is_named(tmp_path: Path, mpi: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="'mpirunn' cannot be started"):
        phillips.simulate(inputs(tmp_path, "run", mpi, launch=("mpirunn",)), ignore)


def test_the_environment_says_where_the_network_runs(
    tmp_path: Path, mpi: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model itself finds that the script is none, which it can only when it looks there."""
    script = tmp_path / "net-1.script.pt"
    script.write_bytes(b"no TorchScript")
    network = Network(key="net-1", script=script, in_process=True)
    values = VALUES | {"meke": "network", "model": "net-1", "label": "net-1"}
    asked = inputs(tmp_path, "run", mpi, network=network, namelist=namelist(**values))
    with pytest.raises(ParslflowError, match=r"net-1\.script\.pt is no TorchScript"):
        phillips.simulate(asked, ignore)

    other = Network(key="net-2", script=script, in_process=True)
    with pytest.raises(UsageError, match=r"must be called net-2\.script\.pt"):
        phillips.simulate(asked.model_copy(update={"network": other}), ignore)
    monkeypatch.setattr(phillips, "INFERENCE_LIBRARY", tmp_path / "none.so")
    with pytest.raises(UsageError, match="'make build'"):
        phillips.simulate(asked, ignore)


def streamed(
    tmp_path: Path, mpi: dict[str, str], server: StoreServer, keyspace: str, **changes: object
) -> SimulateInputs:
    """A run that sends its days to a store, the same in each keyspace but for its folder."""
    values = VALUES | {"stream_list": "tiles", "stream_run": "high"}
    stream = Stream(list="tiles", run="high", keyspace=keyspace)
    settings = {"namelist": namelist(**values), "stream": stream} | changes
    address = server.address_file
    return inputs(tmp_path, f"run-{keyspace}", mpi, address_file=address, **settings)


def test_members_send_to_keyspaces_of_their_own(
    tmp_path: Path,
    mpi: dict[str, str],
    store: StoreClient,
    store_server: StoreServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("SSKEYIN", "SSKEYOUT"):
        monkeypatch.setenv(variable, "of-another")
    names = [f"high_{day:07d}.00000_{rank:06d}" for day in (1, 2) for rank in (0, 1)]
    for keyspace in ("", "member-1", "member-2"):
        stage = streamed(tmp_path, mpi, store_server, keyspace)
        with StoreClient.at(store.published, keyspace=keyspace) as member:
            member.put_dataset(Dataset("high_end", metadata={"times": [0], "status": [1]}))
            phillips.simulate(stage, ignore)
            sent = member.drain_list("tiles")
            assert sorted(sent) == [*names, "high_end"]
            assert sent[-1] == "high_end"
            assert member.get_metadata(["high_end"])[0]["status"] == [0]
            assert member.find_datasets("high_") == sorted(sent)
        assert Stream.load(stage.folder / "stream.json").keyspace == keyspace
    assert store.find_datasets("") == [*names, "high_end"]
    assert not store.connection.keys("of-another*")


def test_the_end_of_a_member_that_died_is_in_its_keyspace(
    tmp_path: Path, mpi: dict[str, str], store: StoreClient, store_server: StoreServer
) -> None:
    changes = {"namelist": namelist(**(VALUES | {"days": -1.0}))}
    with pytest.raises(ParslflowError, match="ended with exit code"):
        phillips.simulate(streamed(tmp_path, mpi, store_server, "m", **changes), ignore)
    with StoreClient.at(store.published, keyspace="m") as member:
        assert member.drain_list("tiles") == ["high_end"]
        assert member.get_metadata(["high_end"])[0]["status"] == [1]
        # A new start takes it back before anyone can read it.
        member.append_to_list("tiles", "high_end")
        phillips.simulate(streamed(tmp_path, mpi, store_server, "m"), ignore)
        assert member.get_metadata(["high_end"])[0]["status"] == [0]
    assert store.list_length("tiles") == 0
    assert not store.dataset_exists("high_end")


def test_a_model_whose_tiles_nobody_samples_any_more_ends(
    tmp_path: Path, mpi: dict[str, str], store: StoreClient, store_server: StoreServer
) -> None:
    """It would wait for ever, and its tiles would fill the store that others use."""
    text = namelist(**(VALUES | {"stream_list": "tiles", "stream_run": "high", "days": 1e6}))
    stage = streamed(tmp_path, mpi, store_server, "m", namelist=text)
    later = threading.Timer(1.5, give_up, [stage.folder / "stream.json", "A tile is wrong."])
    later.start()
    with pytest.raises(ParslflowError, match=r"not sampled any more, so it ended: A tile is wrong"):
        phillips.simulate(stage, ignore)
    later.join()
    member = StoreClient.from_address_file(store_server.address_file, keyspace="m")
    with member:
        assert member.find_datasets("high_") == ["high_end"]
