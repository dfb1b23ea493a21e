"""The Phillips model: a day's cost, on many ranks, beside its network, and beside the memory."""

from __future__ import annotations

import re
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.flow import live_store
from benchmarks.inference import MODEL
from benchmarks.inference import deployed
from benchmarks.measure import Figure
from benchmarks.phillips import run
from parslflow.simulation.phillips import INFERENCE_LIBRARY
from parslflow.store.address import Address

RUNS = 5
RANKS = 2
DAY = 86400.0
PASSES_A_SUBSTEP = 23
PASSES_A_STEP = 188
"""Arrays of one layer that a sub-step of the external mode and the rest of a step go through."""
SUBSTEPS = 15
"""Of a step at 5 km; see fortran/phillips/barotropic.f90."""


@dataclass(frozen=True)
class Case:
    """A grid of the domain, and how many days are worth measuring."""

    nx: int
    ny: int
    dx: float
    dt: float
    days: int


CASES = {
    case.nx: case
    for case in (
        Case(240, 320, 5e3, 300.0, 2),
        Case(120, 160, 1e4, 900.0, 10),
        Case(60, 80, 2e4, 1800.0, 20),
    )
}


def day(nx: int) -> Figure:
    """A model day on two ranks, without output."""
    with TemporaryDirectory() as folder:
        times = [_seconds_a_day(Path(folder), CASES[nx], RANKS) for _ in range(RUNS)]
    ours = statistics.median(times)
    return Figure(ours, "s a model day", ours, 0, RUNS)


def scaling() -> Figure:
    """24 ranks that share the cores of two, against two: the same work, and what the ranks cost."""
    times: dict[int, list[float]] = {24: [], RANKS: []}
    with TemporaryDirectory() as folder:
        for _ in range(RUNS):
            for ranks, found in times.items():
                found.append(_seconds_a_day(Path(folder), CASES[240], ranks))
    ours, against = (statistics.median(found) for found in times.values())
    return Figure(ours / against, "times the time", ours, against, RUNS)


def memory() -> Figure:
    """The arrays that a step at 5 km goes through, against copying as many bytes in memory."""
    case = CASES[240]
    moved = 8 * case.nx * case.ny * (PASSES_A_SUBSTEP * SUBSTEPS + PASSES_A_STEP)
    rates = []
    times = []
    with TemporaryDirectory() as folder:
        for _ in range(RUNS):
            rates.append(_copy_rate())
            times.append(_seconds_a_day(Path(folder), case, RANKS) * case.dt / DAY)
    ours, against = statistics.median(times), moved / statistics.median(rates)
    return Figure(against / ours, "times the throughput", ours, against, RUNS)


def in_process() -> Figure:
    """The network's answer for each of the ranks' cells at 20 km, against a step."""
    with TemporaryDirectory() as folder:
        deployed(Path(folder))
        environment = {
            "SSDB": "",
            "PARSLFLOW_INFERENCE": "in-process",
            "PARSLFLOW_MODELS": folder,
            "PARSLFLOW_LIBTORCH": str(INFERENCE_LIBRARY),
        }
        return _answer_against_step(Path(folder), environment)


def in_store() -> Figure:
    """The same answer from the store."""
    with live_store() as (server, folder):
        with server.client() as client:
            client.set_model(MODEL, deployed(folder).read_bytes())
        return _answer_against_step(folder, Address.load(server.address_file).environment())


def _answer_against_step(folder: Path, environment: dict[str, str]) -> Figure:
    """Mean time of an answer, as the model says it, against a step with prognostic eddies."""
    case = CASES[60]
    network = f"&meke scheme='network' /\n&network model='{MODEL}' /\n"
    answers, steps = [], []
    for _ in range(RUNS):
        said: list[str] = []
        _seconds_a_day(folder, case, RANKS, network, environment, said.append)
        # TorchScript optimises itself in the first calls.
        days = [float(found) for found in re.findall(r"inference_ms=(\S+)", said[-1])[1:]]
        answers.append(statistics.mean(days) / 1e3)
        day = _seconds_a_day(folder, case, RANKS, "&meke scheme='prognostic' /\n")
        steps.append(day * case.dt / DAY)
    ours, against = statistics.median(answers), statistics.median(steps)
    return Figure(ours / against, "times the time", ours, against, RUNS)


def _seconds_a_day(
    folder: Path,
    case: Case,
    ranks: int,
    network: str = "",
    environment: dict[str, str] | None = None,
    hear: Callable[[str], object] = len,
) -> float:
    """Time of a model day, without the start of the ranks."""
    one_step = case.dt / DAY
    taken = []
    for days in (one_step, case.days + one_step):
        namelist = (
            f"&domain nx={case.nx} ny={case.ny} dx={case.dx} /\n"
            f"&time dt={case.dt} days={days!r} /\n&physics perturbation=0.3 /\n"
            f"&output file='' /\n{network}"
        )
        began = time.perf_counter()
        said = run(folder, namelist, ranks, environment)
        taken.append(time.perf_counter() - began)
        hear(said)
    return (taken[1] - taken[0]) / case.days


def _copy_rate() -> float:
    """Bytes a second that two threads read and write when they copy what no cache holds."""
    arrays = [(np.zeros(2**25), np.ones(2**25)) for _ in range(RANKS)]
    threads = [threading.Thread(target=np.copyto, args=pair) for pair in arrays]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(2 * source.nbytes for _, source in arrays) / (time.perf_counter() - began)
