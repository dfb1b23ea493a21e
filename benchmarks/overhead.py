"""The demo's loop with and without provenance, and what of it no stage is at work.

Without provenance, the same stages run through Parsl and the store, but no event is written,
nothing is hashed and no process logs to CMF; the driver takes the losses from the records in its
memory.

``python -m benchmarks.overhead with|without RUNS`` runs the loop once and prints its seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.measure import Figure
from parslflow import driver
from parslflow import executors
from parslflow import experiment as experiments
from parslflow import sites
from parslflow import stages
from parslflow import workflow
from parslflow.apps import Stages
from parslflow.apps import at
from parslflow.finished import Finished
from parslflow.provenance import journal as journals
from parslflow.records import Record
from parslflow.rundir import RunDir
from parslflow.services import store
from parslflow.simulation.settings import find_executable

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "configs" / "experiments" / "demo.toml"
PAIRS = 3
COLD_RUNS = 3


def overhead() -> Figure:
    """Wall time of the loop, spin-up taken from the cache; the first pair is not counted."""
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    with TemporaryDirectory() as folder:
        for _ in range(PAIRS + 1):
            for side, times in seconds.items():
                done = subprocess.run(
                    [sys.executable, "-m", "benchmarks.overhead", side, folder],
                    cwd=ROOT,
                    check=True,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                times.append(float(done.stdout.split()[-1]))
    ours, against = (median(times[1:]) for times in seconds.values())
    return Figure(ours / against, "times the time", ours, against, PAIRS)


def between_stages() -> Figure:
    """Wall time of the demo, as a user starts it, against the time in which a stage is at work.

    The rest is the driver's: its start and end and those of Parsl and the store, tasks on their
    way, metadata that are waited for, decisions.
    """
    seconds, at_work = [], []
    for _ in range(COLD_RUNS):
        with TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "parslflow", "run", str(DEMO), "--runs", folder]
            began = time.monotonic()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.monotonic() - began)
            [run] = Path(folder).glob("demo-*")
            at_work.append(_covered(_spans(run)))
    ours, against = median(seconds), median(at_work)
    return Figure(ours / against, "times the time", ours, against, COLD_RUNS)


def _spans(run: Path) -> list[tuple[float, float]]:
    """When each stage began and ended, s; the store's is no work of the loop."""
    found = []
    for paths in journals.files(run / "journal").values():
        started, *_, ended = journals.read_file(paths[0])
        if started["context"] not in ("store", "evaluate"):
            began, end = (datetime.fromisoformat(one["time"]) for one in (started, ended))
            found.append((began.timestamp(), end.timestamp()))
    return sorted(found)


def _covered(spans: list[tuple[float, float]]) -> float:
    """How long at least one of the spans lasts."""
    covered, until = 0.0, 0.0
    for began, ended in spans:
        covered += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return covered


class BareStages(Stages):
    """The demo's stages, without a word to anybody."""

    def _send(self, app: Callable[[Path], Future[Record]], call: stages.Call) -> Future[Record]:
        if call.stage == "draw":
            # Figures are drawn from a journal: that of the pair's other side.
            journal = sorted(self._run.root.parent.glob("*/journal/train-*"))[-1].parent
            call = call.model_copy(update={"inputs": call.inputs | {"journal": journal}})
        [label] = app.executors  # type: ignore[attr-defined]
        return super()._send(at(label, run_bare), call)


def run_bare(path: Path) -> Record:
    """Run a stage as `stages.run` does, but for its events."""
    function, inputs = stages.load(path, stages.read(path))
    return function(inputs, ignore)


def ignore(series: str, /, **values: object) -> None:
    """A report that nobody reads."""


def without(runs: Path) -> None:
    """Run the loop."""
    experiment = experiments.load(DEMO)
    run = RunDir.new(runs, experiment.name)
    run.create()
    site = sites.load(sites.Choice("local"), run.root)
    sites.prepare_process()
    executable = find_executable(experiment.executable, beside=Path(sys.prefix) / "bin")
    bare = BareStages(experiment, site, run, executable, runs / "cache", Finished(run))
    losses: dict[str, float] = {}

    def evaluate(iteration: int, trained: dict[str, Record]) -> workflow.Decision:
        for network, record in trained.items():
            name = workflow.version(network, iteration)
            losses[name] = float(record.metrics["test_loss"])
        return workflow.decide(iteration, dict(losses), experiment.loop.test_loss)

    with executors.loaded(site), store(bare):
        workflow.run(experiment, bare, evaluate)


def main(side: str, runs: Path) -> None:
    """Run the loop once on one side, and print how long it took, s."""
    # Parsl's workers import this module.
    os.environ["PYTHONPATH"] = str(ROOT)
    began = time.monotonic()
    if side == "with":
        driver.run(DEMO, sites.Choice("local"), runs)
    else:
        without(runs)
    print(time.monotonic() - began)


if __name__ == "__main__":
    from benchmarks import overhead as module  # what workers know it by

    module.main(sys.argv[1], Path(sys.argv[2]))
