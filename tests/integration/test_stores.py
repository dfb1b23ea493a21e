"""The loop with other stores than the default: the experiment of `test_loop`, but smaller."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tomlkit

from parslflow.learning.samples import read_attributes
from parslflow.learning.samples import read_samples
from parslflow.rundir import RunDir
from parslflow.store.server import StoreServer
from tests.integration.test_loop import SMALL
from tests.integration.test_loop import command
from tests.integration.test_loop import processes_that_name

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs are, which share their spin-up."""
    return tmp_path_factory.mktemp("runs")


def parslflow(*arguments: str | Path, folder: Path) -> str:
    done = command(*arguments, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_loop(
    folder: Path, name: str, store: dict[str, object], inference: str = "store", samplers: int = 1
) -> RunDir:
    """Run the loop to its end, and check that tiles were sampled and a network was asked."""
    experiment = tomlkit.parse(SMALL.read_text())
    experiment["name"] = name
    experiment["store"] = store
    experiment["high"]["spinup_days"] = 25
    experiment["low"]["spinup_days"] = 5
    experiment["low"]["inference"] = inference
    experiment["sampling"]["samplers"] = samplers
    experiment["training"]["networks"] = ["EKE-Bottleneck"]
    experiment["training"]["rows"] = 1000
    for part in ("first", "again"):
        experiment["training"][part]["epochs"] = 1
    (folder / f"{name}.toml").write_text(tomlkit.dumps(experiment))
    parslflow("run", f"{name}.toml", folder=folder)
    [run] = (folder / "runs").glob(f"{name}-*")
    summary = json.loads((run / "report" / "summary.json").read_text())
    assert summary["iterations"][1]["samples_seen"] > 0
    assert (run / "simulations" / f"low-{summary['chosen']}" / "daily.nc").is_file()
    assert processes_that_name(run) == []
    return RunDir(run)


def test_the_loop_runs_with_a_store_that_smartsim_starts(folder: Path) -> None:
    parslflow("store", "install-smartsim", folder=folder)
    run = run_loop(folder, "smartsim", {"launcher": "smartsim"})
    # SmartSim started the store, and the ranks of the simulations and the sampler used it.
    assert (run.store / "smartsim" / "smartsim_db.dat").is_file()
    assert "User requested shutdown" in (run.store / "server.log").read_text()


def test_the_loop_runs_with_a_cluster_and_two_samplers(folder: Path) -> None:
    run = run_loop(folder, "shards", {"shards": 3, "memory_mb": 300}, samplers=2)
    assert len(list(run.store.glob("shard-*"))) == 3
    batches = [run.samples / f"batch-1-{sampler}.h5" for sampler in (1, 2)]
    assert sorted(int(read_attributes(batch)["times"]) for batch in batches) == [1, 2]
    first, second = (set(read_samples(batch).day) for batch in batches)
    assert first.isdisjoint(second)
    assembled = json.loads((run.stages / "assemble-1.json").read_text())["inputs"]
    assert assembled["batches"] == [str(batch) for batch in batches]


def test_the_loop_runs_with_a_running_store_and_the_network_in_the_simulation(
    folder: Path, tmp_path: Path
) -> None:
    with StoreServer(tmp_path, "loopback") as server, server.client() as store:
        where = {"address": server.address, "password_file": str(server.password_file)}
        run = run_loop(folder, "running", where, "in-process")
        assert store.ping() is None
        # The tiles went through it, and all have been taken; no model was put.
        assert store.connection.info("commandstats")["cmdstat_rpush"]["calls"] > 0
        assert store.connection.keys("*EKE*") == []
    assert not (run.store / "server.log").exists()


def test_a_store_that_cannot_start_is_told_while_the_first_simulation_runs(folder: Path) -> None:
    experiment = tomlkit.parse(SMALL.read_text())
    experiment["name"] = "nowhere"
    experiment["store"] = {"address": "127.0.0.1:1"}
    experiment["high"]["spinup_days"] = 100_000
    (folder / "nowhere.toml").write_text(tomlkit.dumps(experiment))
    done = command("run", "nowhere.toml", folder=folder)
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
    [run] = (folder / "runs").glob("nowhere-*")
    assert processes_that_name(run) == []
