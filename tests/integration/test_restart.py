"""A simulation and its sampler that are killed at any moment and run again leave the same bits."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from parslflow import sites
from parslflow import stages
from parslflow.learning.prepare import PrepareInputs
from parslflow.learning.prepare import prepare
from parslflow.learning.samples import read_samples
from parslflow.provenance import journal as journals
from parslflow.records import Value
from parslflow.simulation import phillips
from parslflow.simulation.checkpoints import WENT_ON_FROM
from parslflow.simulation.settings import SimulateInputs
from parslflow.simulation.settings import find_executable
from parslflow.simulation.settings import namelist
from parslflow.store.server import StoreServer
from parslflow.store.stream import Stream
from tests.conftest import present

pytestmark = pytest.mark.timeout(400)

DAYS = 40
RESTART_DAYS = 5
RANKS = 2
MOST_STARTS = 8

VALUES: dict[str, str | float] = {
    "nx": 24,
    "ny": 32,
    "spacing": 5e4,
    "px": 1,
    "py": RANKS,
    "time_step": 1800.0,
    "days": float(DAYS),
    "restart": "",
    "restart_interval": float(RESTART_DAYS),
    "perturbation": 0.5,
    "meke": "prognostic",
    "daily": "daily.nc",
    "stream_list": "tiles",
    "stream_run": "high-1",
    "model": "",
    "label": "",
    "filter_scale": 1e5,
}


def ignore(series: str, /, **values: Value) -> None:
    """A report that nobody reads."""


def ranks(folder: Path) -> list[int]:
    """The processes of the model that run in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            there = entry.name.isdigit() and (entry / "cwd").readlink() == folder
            if there and (entry / "comm").read_text() == "phillips\n":
                found.append(int(entry.name))
    return found


@dataclass(frozen=True)
class Base:
    """What the pair starts from."""

    restart: Path
    clusters: Path
    environment: dict[str, str]


@dataclass
class Pair:
    """A simulation and its sampler, each a process, started as the driver does in a folder."""

    root: Path
    base: Base
    server: StoreServer
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    starts: int = 0
    kills: int = 0

    def __post_init__(self) -> None:
        for name in ("journal", "stages"):
            (self.root / name).mkdir(parents=True)
        values = VALUES | {"restart": str(self.base.restart)}
        self._write(
            "simulate",
            folder=self.folder,
            namelist=namelist(**values),
            executable=find_executable("phillips", beside=Path(sys.prefix) / "bin"),
            launch=("mpiexec", "-n", "{ranks}"),
            ranks=RANKS,
            environment=self.base.environment,
            restart=self.base.restart,
            address_file=self.server.address_file,
            stream=Stream(list="tiles", run="high-1"),
            batches=(self.batch,),
        )
        self._write(
            "sample",
            address_file=self.server.address_file,
            stream=self.folder / "stream.json",
            clusters=self.base.clusters,
            outputs=(self.batch,),
            time_limit_s=60.0,
        )

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def _write(self, stage: str, **inputs: Any) -> None:  # noqa: ANN401
        call = stages.Call(
            stage=stage,
            pipeline="p",
            context=stage,
            name=stage,
            properties={},
            journal=self.root / "journal",
            inputs=inputs,
        )
        (self.root / "stages" / f"{stage}.json").write_text(stages.to_text(call))

    @property
    def folder(self) -> Path:
        return self.root / "simulation"

    @property
    def batch(self) -> Path:
        return self.root / "batch.h5"

    def start(self) -> None:
        """Start both, the sampler first."""
        (self.folder / "stream.json").unlink(missing_ok=True)
        for stage in ("sample", "simulate"):
            self.start_one(stage)

    def start_one(self, stage: str) -> None:
        self.starts += 1
        with (self.root / f"{stage}.log").open("ab") as log:
            self.processes[stage] = subprocess.Popen(
                [sys.executable, "-m", "parslflow", "stage", f"{self.root}/stages/{stage}.json"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def done(self) -> bool:
        """Whether both have completed; one that failed is started again, as Parsl does."""
        codes = {stage: process.poll() for stage, process in self.processes.items()}
        for stage, code in codes.items():
            if code:
                logs = "".join(path.read_text() for path in self.root.glob("*.log"))
                assert self.starts < MOST_STARTS, logs
                self.start_one(stage)
        return set(codes.values()) == {0}

    def wait_for(self, day: float) -> None:
        """Until the simulation has come so far, or both are done."""
        while self.day() < day and not self.done():
            time.sleep(0.002)

    def day(self) -> float:
        """How far the simulation has come."""
        try:
            text = (self.folder / "input.nml").read_text()
            lines = (self.folder / "stdout.log").read_text()
        except FileNotFoundError:
            return 0.0
        left = float(re.findall(r"(?m)^  days = (.*)$", text)[0])
        days = re.findall(r"(?m)^day +(\S+) of .*\n", lines)
        return DAYS - left + (float(days[-1]) if days else 0.0)

    def kill(self, victim: str) -> None:
        """At once: a stage's process, a rank, or both stages and the store with all it holds."""
        if victim == "rank":
            while not (alive := ranks(self.folder)) and not self.done():
                time.sleep(0.002)
            pids = alive[:1]
        elif victim == "both":
            pids = [process.pid for process in self.processes.values() if process.poll() is None]
        else:
            process = self.processes[victim]
            pids = [process.pid] if process.poll() is None else []
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.kills += bool(pids)
        if victim == "both":
            for process in self.processes.values():
                process.wait()
            # Another store would not hear of them any more.
            while ranks(self.folder):
                time.sleep(0.002)
            with self.server.client() as client:
                client.connection.flushall()
            self.start()

    def finish(self) -> None:
        while not self.done():
            time.sleep(0.01)

    def completed(self, stage: str) -> list[dict[str, Any]]:
        """The events of the execution that completed, of which there is one."""
        found = [
            journals.read_file(paths[0])
            for name, paths in journals.files(self.root / "journal").items()
            if name.startswith(stage)
        ]
        [events] = [
            events
            for events in found
            if events[-1]["event"] == "ended" and events[-1]["status"] == "completed"
        ]
        return events


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """Twelve days from strong noise, and the clusters of their flow."""
    root = tmp_path_factory.mktemp("base")
    environment = sites.load(sites.Choice("local"), root).environment
    changes = {"days": 12.0, "restart_interval": 0.0, "stream_list": "", "stream_run": ""}
    inputs = SimulateInputs(
        folder=root,
        namelist=namelist(**(VALUES | changes)),
        executable=find_executable("phillips", beside=Path(sys.prefix) / "bin"),
        launch=("mpiexec", "-n", "{ranks}"),
        ranks=RANKS,
        environment=environment,
    )
    phillips.simulate(inputs, ignore)
    clusters = PrepareInputs(
        daily=root / "daily.nc",
        run="base",
        filter_scale=1e5,
        wall_rows=2,
        clusters=2,
        seed=1,
        samples=root / "base.h5",
        clusters_file=root / "clusters.h5",
    )
    prepare(clusters, ignore)
    return Base(root / "restart.nc", clusters.clusters_file, environment)


@pytest.fixture(scope="module")
def undisturbed(
    base: Base, store_server: StoreServer, tmp_path_factory: pytest.TempPathFactory
) -> Pair:
    with store_server.client() as client:
        client.connection.flushall()
    with Pair(tmp_path_factory.mktemp("undisturbed") / "run", base, store_server) as pair:
        pair.start()
        pair.finish()
    assert pair.starts == 2
    return pair


def results(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event["values"] for event in events if event["event"] == "result"]


def paths(events: list[dict[str, Any]], kind: str) -> set[str]:
    return {Path(event["path"]).name for event in events if event["event"] == kind}


@pytest.mark.parametrize(
    ("seed", "victims"),
    [
        (1, ("sample",) * 3),
        (2, ("simulate",) * 3),
        (3, ("rank",) * 2),
        (4, ("both",) * 3),
        (5, ("both", "sample", "simulate", "rank")),
    ],
)
def test_the_pair_leaves_the_same_bits(
    seed: int,
    victims: tuple[str, ...],
    base: Base,
    store_server: StoreServer,
    undisturbed: Pair,
    tmp_path: Path,
) -> None:
    draw = random.Random(seed)
    moments = sorted(draw.uniform(0, 0.6 * DAYS) for _ in victims)
    with store_server.client() as client:
        client.connection.flushall()
    with Pair(tmp_path / "run", base, store_server) as pair:
        pair.start()
        for moment, victim in zip(moments, victims, strict=True):
            pair.wait_for(moment)
            time.sleep(draw.uniform(0, 0.01))
            pair.kill(victim)
        pair.finish()
    # On a fast machine one may have ended before it is killed.
    assert pair.kills > 0

    one, other = read_samples(pair.batch), read_samples(undisturbed.batch)
    assert len(other) > 100
    assert one.runs == other.runs == ("high-1",)
    for column in ("day", "j", "i", "run", "features", "eke", "cluster"):
        np.testing.assert_array_equal(getattr(one, column), getattr(other, column), strict=True)
    assert pair.batch.read_bytes() == undisturbed.batch.read_bytes()
    for name in ("restart.nc", "daily.nc"):
        assert (pair.folder / name).read_bytes() == (undisturbed.folder / name).read_bytes(), name
    with h5py.File(pair.folder / "daily.nc") as daily:
        assert list(np.diff(daily["time"])) == [1.0] * (DAYS - 1)
    for stage in ("simulate", "sample"):
        assert results(pair.completed(stage)) == results(undisturbed.completed(stage))

    # Nothing is left that only a run on its way needs.
    with store_server.client() as client:
        # But for the marks of clients that were killed, which expire.
        assert [key for key in present(client) if not key.endswith(b".appends")] == []
    restarted = (pair.folder / WENT_ON_FROM).exists()
    assert {path.name for path in pair.folder.glob("*.nc*")} == {"restart.nc", "daily.nc"} | (
        {WENT_ON_FROM} if restarted else set()
    )
    used = paths(pair.completed("simulate"), "used")
    went_on_from = {WENT_ON_FROM} if WENT_ON_FROM in used else set()
    assert used - went_on_from == {"input.nml", "restart.nc"}
    produced = paths(pair.completed("simulate"), "produced")
    assert produced == {"restart.nc", "daily.nc", "stream.json"}
    assert paths(pair.completed("sample"), "used") == {"stream.json", "clusters.h5"}
