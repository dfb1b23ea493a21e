"""A network's answer, asked for by a Fortran program, against the forward pass alone."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import ExitStack
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from benchmarks.client import Program
from benchmarks.client import build
from benchmarks.flow import Flow
from benchmarks.flow import live_store
from benchmarks.measure import SHORTEST_S
from benchmarks.measure import Figure
from benchmarks.measure import throughput
from parslflow.learning.deployment import Deployable
from parslflow.learning.deployment import write_script
from parslflow.learning.networks import ResNet
from parslflow.sampling.features import FIELDS
from parslflow.sampling.features import features
from parslflow.simulation.phillips import INFERENCE_LIBRARY
from parslflow.store.address import Address

ROWS = 1200
"""Cells of a tile of 30 by 40."""
MODEL = "EKE-ResNet"
RUNS = 25
RANKS = 4
ANSWERS = 50


def in_store() -> Figure:
    """Put, run and get, in one call over the unix socket."""
    with live_store() as (server, folder):
        script = deployed(folder)
        with server.client() as client:
            client.set_model(MODEL, script.read_bytes())
        return _against_torch(folder, Address.load(server.address_file).environment())


def in_process() -> Figure:
    """The same call, which runs the network in the program's own process."""
    with live_store() as (_, folder), one_core():
        deployed(folder)
        environment = {
            "SSDB": "",
            "PARSLFLOW_INFERENCE": "in-process",
            "PARSLFLOW_MODELS": str(folder),
            "PARSLFLOW_LIBTORCH": str(INFERENCE_LIBRARY),
        }
        return _against_torch(folder, environment)


@contextmanager
def one_core() -> Iterator[None]:
    """Have both sides, which take turns, run on the same core: another may be busier or slower."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def of_ranks(rows: int) -> Figure:
    """Ranks that ask at once, for ``rows`` cells each: in one pass, against a pass for each."""
    with live_store() as (server, folder), server.client() as client, ExitStack() as running:
        script = deployed(folder).read_bytes()
        client.set_model("alone", script)
        all_rows = RANKS * rows
        client.set_model("together", script, batch_size=all_rows, min_batch_size=all_rows)
        _given()[:rows].T.tofile(folder / "features")
        program = str(build("infer", folder))
        environment = Address.load(server.address_file).environment()

        def work(model: str) -> Callable[[], None]:
            command = [program, model, str(folder / "features"), str(rows)]
            ranks = [running.enter_context(Program(command, environment)) for _ in range(RANKS)]

            def ask() -> None:
                for rank in ranks:
                    rank.begin(ANSWERS)
                for rank in ranks:
                    rank.end()

            return ask

        return throughput(work("together"), work("alone"), RUNS)


def _given() -> np.ndarray:
    """(1200, 4) float64, features of a flow."""
    flow = Flow(1, 1, times=1)
    found = features(dict(zip(FIELDS, flow.day, strict=True)), 5e3, 80e3)
    return np.ascontiguousarray(found.reshape(-1, 4)[:ROWS])


def deployed(folder: Path) -> Path:
    """The network with random weights, as it is deployed."""
    torch.manual_seed(0)
    path = folder / f"{MODEL}.script.pt"
    deployable = Deployable(Flow(1, 1, times=1).clusters, ResNet(0.0))
    write_script(path, deployable, torch.from_numpy(_given()))
    return path


def _against_torch(folder: Path, environment: dict[str, str]) -> Figure:
    """The program's time of one answer over that of a forward pass in Python with one thread."""
    given = _given()
    given.T.tofile(folder / "features")
    torch.set_num_threads(1)
    script = torch.jit.load(str(folder / f"{MODEL}.script.pt"))  # type: ignore[no-untyped-call]
    tensor = torch.from_numpy(given)

    def forward(times: int) -> tuple[float, float]:
        with torch.no_grad():
            started = time.perf_counter()
            for _ in range(times):
                answer = script(tensor)
            return (time.perf_counter() - started) / times, float(answer.double().sum())

    command = [str(build("infer", folder)), MODEL, str(folder / "features"), str(ROWS)]
    with Program(command, environment) as program:

        def ours(times: int) -> tuple[float, float]:
            program.begin(times)
            seconds, total = program.end()
            return seconds, total

        ours(20)  # TorchScript optimises itself in the first calls
        repeats = max(1, round(SHORTEST_S / forward(20)[0]))
        pairs = [(ours(repeats), forward(repeats)) for _ in range(RUNS)]
    for (_, got), (_, expected) in pairs:
        if not np.isclose(got, expected, rtol=1e-12):
            raise ValueError(f"the answers differ: their sums are {got} and {expected}")
    our_time = statistics.median(mine for (mine, _), _ in pairs)
    their_time = statistics.median(theirs for _, (theirs, _) in pairs)
    return Figure(our_time / their_time, "times the time", our_time, their_time, RUNS)
