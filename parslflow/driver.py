"""Runs one experiment at one site: checks, services, the loop, the evaluation and the summary.

The driver imports neither torch nor the simulation's data: what it decides, it decides from CMF.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import parsl
import tomlkit

from parslflow import experiment as experiments
from parslflow import sites
from parslflow import workflow
from parslflow.apps import Stages
from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.experiment import Experiment
from parslflow.provenance import events
from parslflow.provenance import journal as journals
from parslflow.provenance import queries
from parslflow.provenance.writer import Writer
from parslflow.records import Record
from parslflow.report.progress import Progress
from parslflow.report.summary import IterationRow
from parslflow.report.summary import Losses
from parslflow.report.summary import Summary
from parslflow.report.summary import to_json
from parslflow.rundir import RunDir
from parslflow.rundir import atomic_path
from parslflow.simulation.phillips import find_executable

STORE_START_SECONDS = 60.0
FLUSH_SECONDS = 600.0


def run(experiment_file: Path, site_name: str, runs: Path) -> Summary:
    """Run the experiment to its end and return what it came to.

    Args:
        experiment_file: the TOML file.
        site_name: a known site, or the path of a site's file.
        runs: the folder that the run directory is made in.

    Raises:
        UsageError: the experiment, the site or the simulation program is wrong; nothing was
            started and no run directory was made.
        ParslflowError: a stage failed.
    """
    experiment = experiments.load(experiment_file)
    executable = _executable(experiment, experiment_file)
    run_dir = RunDir.new(runs, experiment.name)
    site = sites.load(site_name, run_dir.root)
    if shutil.which(site.launch[0]) is None:
        raise UsageError(
            f"--site {site_name}: the launch command '{site.launch[0]}' is not on PATH: install "
            "MPI or mend the site's file."
        )
    run_dir.create()
    _record_settings(experiment, experiment_file, run_dir)
    print(f"Run directory: {run_dir.root}", flush=True)

    sites.prepare_process()
    began = time.monotonic()
    stages = Stages(experiment, site, run_dir, executable, cache=run_dir.root.parent / "cache")
    with (
        Progress(run_dir.journal, sys.stdout),
        Writer(run_dir.root) as writer,
        parsl.load(site.parsl),
        _store(stages, run_dir),
    ):

        def evaluate(iteration: int, trained: dict[str, Record]) -> workflow.Decision:
            writer.flush(FLUSH_SECONDS)
            return _evaluate(experiment, run_dir, iteration, trained)

        outcome = workflow.run(experiment, stages, evaluate)
    summary = _summary(experiment, run_dir, outcome, time.monotonic() - began)
    with atomic_path(run_dir.report / "summary.json") as temporary:
        temporary.write_text(to_json(summary), encoding="utf-8")
    return summary


def _executable(experiment: Experiment, experiment_file: Path) -> Path:
    """The simulation program, found before anything starts."""
    try:
        return find_executable(experiment.executable, beside=Path(sys.prefix) / "bin")
    except UsageError as error:
        raise UsageError(f"{experiment_file}: {error}") from None


def _record_settings(experiment: Experiment, experiment_file: Path, run_dir: RunDir) -> None:
    """Write the resolved experiment and the environment into the run directory."""
    with atomic_path(run_dir.experiment) as temporary:
        content = experiment.model_dump(mode="json", exclude_none=True)
        temporary.write_text(tomlkit.dumps(content), encoding="utf-8")
    software = {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {
            distribution.name: distribution.version
            for distribution in sorted(
                importlib.metadata.distributions(), key=lambda one: one.name.lower()
            )
        },
    }
    environment = {
        "command": sys.argv,
        "host": platform.node(),
        "commit": _commit(experiment_file.resolve().parent),
        "environment": hashlib.sha256(json.dumps(software).encode()).hexdigest(),
        **software,
    }
    with atomic_path(run_dir.environment) as temporary:
        temporary.write_text(json.dumps(environment, indent=2) + "\n", encoding="utf-8")


def _commit(folder: Path) -> str:
    """The git commit that a folder is at, with ``-modified`` if files differ; empty without git."""
    try:
        commit, changes = (
            subprocess.run(
                ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
            ).stdout.strip()
            for arguments in (
                ["rev-parse", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no"],
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{commit}-modified" if changes else commit


@contextmanager
def _store(stages: Stages, run_dir: RunDir) -> Iterator[None]:
    """The store, from when its address is published until the block ends."""
    served = stages.serve()
    _wait_for_address(served, run_dir.store / "address.json")
    try:
        yield
    finally:
        (run_dir.store / "stop").touch()
        served.result(timeout=STORE_START_SECONDS)


def _wait_for_address(served: Future[Record], address: Path) -> None:
    """Wait until the store can be reached.

    Raises:
        ParslflowError: it ended, or did not start in time.
    """
    deadline = time.monotonic() + STORE_START_SECONDS
    while not address.is_file():
        if served.done():
            served.result()
        if time.monotonic() > deadline:
            raise ParslflowError(
                f"The store published no address in {address} within {STORE_START_SECONDS:g} s: "
                "see the log beside it, and whether the executor 'store' started."
            )
        time.sleep(0.05)


def _evaluate(
    experiment: Experiment, run_dir: RunDir, iteration: int, trained: dict[str, Record]
) -> workflow.Decision:
    """Decide from the test losses that CMF holds; the decision is an execution of its own."""
    losses = queries.test_losses(run_dir.root)
    decision = workflow.decide(iteration, losses, experiment.loop.test_loss)
    with events.execution(
        run_dir.journal,
        pipeline=experiment.name,
        context="evaluate",
        name=f"evaluate-{iteration}",
        properties={"iteration": iteration},
    ) as execution:
        for record in trained.values():
            script = record.wrote[1]
            execution.used(script.path, kind=script.kind, properties=script.properties)
        execution.decision(
            {
                "iteration": iteration,
                "threshold": decision.threshold,
                "best": decision.best,
                "good_enough": int(decision.good_enough),
                **{f"test_loss {name}": loss for name, loss in losses.items()},
            }
        )
    return decision


def _summary(
    experiment: Experiment, run_dir: RunDir, outcome: workflow.Outcome, seconds: float
) -> Summary:
    """What the run came to, from the records and the journal."""
    rows = []
    for iteration, trained in enumerate(outcome.models):
        batch = outcome.batches[iteration - 1] if iteration else None
        rows.append(
            IterationRow(
                iteration=iteration,
                samples_seen=int(batch.metrics["seen"]) if batch else 0,
                samples_kept=int(batch.metrics["kept"]) if batch else 0,
                batch=batch.wrote[0].path.name if batch else "",
                losses={
                    network: Losses(
                        *(float(record.metrics[f"{part}_loss"]) for part in Losses._fields)
                    )
                    for network, record in trained.items()
                },
            )
        )
    last = outcome.decisions[-1]
    loss = f"{last.best} has test loss {last.losses[last.best]:.3f}"
    if last.good_enough:
        sentence = f"{loss}, which is good enough."
    elif outcome.deployed:
        sentence = f"No network reached the threshold; the best was deployed: {loss}."
    else:
        sentence = f"No network reached the threshold, so none was deployed; the best: {loss}."
    return Summary(
        experiment=experiment.name,
        run=run_dir.root,
        outcome=sentence,
        iterations=rows,
        chosen=outcome.deployed or "",
        threshold=last.threshold,
        stage_seconds=_stage_seconds(run_dir.journal),
        total_seconds=seconds,
    )


def _stage_seconds(journal: Path) -> dict[str, float]:
    """Wall time of each context's executions, in the order in which the contexts first started."""
    spent: dict[str, tuple[float, float]] = {}
    for paths in journals.files(journal).values():
        started, *_, ended = journals.read_file(paths[0])
        if started["context"] == "store" or ended["event"] != "ended":
            continue
        first, total = spent.get(started["context"], (started["time"], 0.0))
        spent[started["context"]] = (
            min(first, started["time"]),
            total + ended["wall_seconds"],
        )
    return {context: spent[context][1] for context in sorted(spent, key=lambda key: spent[key][0])}
