"""Runs one experiment at one site: checks, services, the loop, the evaluation and the summary.

The driver imports neither torch nor the simulation's data: what it decides, it decides from CMF.
"""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from pathlib import Path

import parsl
import tomlkit
from parsl.errors import ParslError
from parsl.executors.high_throughput.errors import ManagerLost
from parsl.executors.high_throughput.errors import WorkerLost

from parslflow import environment
from parslflow import experiment as experiments
from parslflow import plan as plans
from parslflow import retries
from parslflow import sites
from parslflow import workflow
from parslflow.apps import Stages
from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.evaluation import Evaluation
from parslflow.experiment import Experiment
from parslflow.finished import Finished
from parslflow.guard import guarding
from parslflow.learning.baselines import BASELINES
from parslflow.plan import Plan
from parslflow.plan import Step
from parslflow.provenance import journal as journals
from parslflow.provenance.stream import Publisher
from parslflow.records import Record
from parslflow.report.comparison import ZonalRow
from parslflow.report.progress import Progress
from parslflow.report.summary import ControlRow
from parslflow.report.summary import IterationRow
from parslflow.report.summary import Losses
from parslflow.report.summary import Summary
from parslflow.report.summary import to_json
from parslflow.rundir import RunDir
from parslflow.rundir import atomic_path
from parslflow.rundir import full_disk_said
from parslflow.rundir import is_full
from parslflow.simulation.phillips import find_executable
from parslflow.sites import Choice
from parslflow.sites import Site
from parslflow.watch import watching

STORE_START_SECONDS = 60.0

END_SECONDS = 60.0
"""How long the processes of a block may take to end when it is given back."""

_NO_BLOCK = "Failed to start block"
"""What Parsl says when a scheduler does not take a request."""


class StoreLostError(ParslflowError):
    """The store's worker or block has gone, as at the end of its wall time."""


def run(experiment_file: Path, choice: Choice, runs: Path) -> Summary:
    """Run the experiment to its end and return what it came to.

    Args:
        experiment_file: the TOML file.
        choice: the site and its options.
        runs: the folder that the run directory is made in.

    Raises:
        UsageError: the experiment, the site or the simulation program is wrong; nothing was
            started and no run directory was made.
        ParslflowError: a stage failed.
    """
    experiment = experiments.load(experiment_file)
    executable = find_program(experiment, experiment_file)
    run_dir = RunDir.new(runs, experiment.name)
    site = find_site(choice, run_dir, experiment)
    run_dir.create()
    with atomic_path(run_dir.experiment) as temporary:
        content = experiment.model_dump(mode="json", exclude_none=True)
        temporary.write_text(tomlkit.dumps(content), encoding="utf-8")
    environment.record(run_dir, experiment_file, choice)
    return _drive(experiment, executable, choice, site, run_dir)


def plan(experiment_file: Path, choice: Choice, runs: Path) -> list[Step]:
    """What `run` with these arguments would do; nothing is started or written.

    Raises:
        UsageError: as of `run`.
    """
    experiment = experiments.load(experiment_file)
    executable = find_program(experiment, experiment_file)
    run_dir = RunDir.new(runs, experiment.name)
    site = find_site(choice, run_dir, experiment)
    planned = Plan(experiment, site, run_dir, executable, run_dir.root.parent / "cache")
    return plans.make(experiment, planned)


def resume(root: Path, choice: Choice | None = None) -> Summary:
    """Go on with a run that was stopped or rolled back, and return what it came to.

    Args:
        root: the run directory.
        choice: as for `run`; by default the site of before with its options.

    Raises:
        UsageError: ``root`` is no run directory, or the site or the program is wrong.
        ParslflowError: the run is still at work, or a stage failed.
    """
    run_dir = RunDir.open(root)
    experiment = experiments.load(run_dir.experiment)
    executable = find_program(experiment, run_dir.experiment)
    before = environment.read(run_dir)
    choice = choice or environment.site(before)
    site = find_site(choice, run_dir, experiment)
    environment.record(run_dir, Path(str(before["experiment"])), choice)
    return _drive(experiment, executable, choice, site, run_dir)


def _drive(
    experiment: Experiment, executable: Path, choice: Choice, site: Site, run_dir: RunDir
) -> Summary:
    """Run what is not done yet, and again whenever the store is lost, which others cannot outlive.

    Raises:
        ParslflowError: the run is still at work, a stage failed, or the store was lost
            `retries.TRIES` times and nothing was completed in between.
    """
    print(f"Run directory: {run_dir.root}", flush=True)
    sites.prepare_process()
    began = time.monotonic()
    tries, completed = 0, 0
    with full_disk_said(run_dir.root), run_dir.alone():
        while True:
            try:
                return _attempt(experiment, executable, site, run_dir, began)
            except StoreLostError as error:
                before, completed = completed, len(Finished(run_dir))
                tries = tries + 1 if completed == before else 0
                if tries == retries.TRIES:
                    raise ParslflowError(
                        f"{error}, {tries} times with nothing completed in between: has its block "
                        f"too little wall time? See {run_dir.logs / 'parsl'}; 'parslflow resume "
                        f"{run_dir.root}' goes on from here."
                    ) from error
                print(
                    f"parslflow: {error}, as at the end of a wall time: what it cut off goes on "
                    "with a new one.",
                    file=sys.stderr,
                    flush=True,
                )
                _wait_until_ended(run_dir)
                # Parsl's configuration serves once.
                site = find_site(choice, run_dir, experiment)


def _wait_until_ended(run_dir: RunDir) -> None:
    """Wait a while for what an attempt had at work: its blocks are being ended."""
    deadline = time.monotonic() + END_SECONDS
    while Finished(run_dir).still_running() and time.monotonic() < deadline:
        time.sleep(1)


def _attempt(
    experiment: Experiment, executable: Path, site: Site, run_dir: RunDir, began: float
) -> Summary:
    """Run what is not done yet, once."""
    finished = Finished(run_dir)
    for started in finished.still_running():
        raise ParslflowError(
            f"{run_dir.root}: {started.name} of an earlier driver still runs as process "
            f"{started.pid}: wait until it has ended, or end it, then resume."
        )
    stages = Stages(experiment, site, run_dir, executable, run_dir.root.parent / "cache", finished)
    evaluation = Evaluation(experiment, run_dir, finished)
    publisher = Publisher(run_dir.journal, run_dir.store / "address.json")
    # The writer of the metadata ends by itself, when it has written what is there.
    with (
        evaluation,
        guarding(),
        Progress(run_dir.journal, sys.stdout),
        _parsl(site, run_dir),
        store(stages, run_dir),
        publisher,
    ):
        rolled_back = finished.rolled_back()
        outcome = workflow.run(experiment, stages, evaluation.evaluate, rolled_back)
    summary = replace(
        _summary(experiment, run_dir, outcome, time.monotonic() - began),
        problem=evaluation.problem,
    )
    if rolled_back:
        loss = outcome.decisions[-1].losses[rolled_back]
        sentence = f"Rolled back to {rolled_back}, which has test loss {loss:.3f}."
        summary = replace(summary, outcome=sentence)
    with atomic_path(run_dir.report / "summary.json") as temporary:
        temporary.write_text(to_json(summary), encoding="utf-8")
    return summary


@contextmanager
def _parsl(site: Site, run_dir: RunDir) -> Iterator[None]:
    """Parsl with the site's configuration.

    Raises:
        ParslflowError: it could not start, or a task failed by its fault.
    """
    try:
        with parsl.load(site.parsl) as kernel, watching(kernel):
            yield
    except (ParslError, ManagerLost, WorkerLost) as error:
        said = _sentence(error)
        changed = ""
        if is_full(run_dir.root):
            said += ": the disk is full, free some space"
        elif _NO_BLOCK in said:
            said += ": mend what it names"
            changed = " --site NAME --site-option NAME=VALUE"
        raise ParslflowError(
            f"{said}: see {run_dir.logs / 'parsl'}; 'parslflow resume {run_dir.root}{changed}' "
            "goes on from here."
        ) from error


def _sentence(error: Exception) -> str:
    """What Parsl says of a failure, of a block's own output the last line alone."""
    text, _, output = str(error).partition("Check the stdout/stderr logs")
    words = [" ".join(text.split()), *output.strip().splitlines()[-1:]]
    return ": ".join(part.rstrip(".") for part in words)


def find_site(choice: Choice, run_dir: RunDir, experiment: Experiment) -> Site:
    """The site, whose launch command is there, and workers for all samplers that run at once."""
    site = sites.load(choice, run_dir.root)
    if shutil.which(site.launch[0]) is None:
        raise UsageError(
            f"--site {choice.name}: the launch command '{site.launch[0]}' is not on PATH: install "
            "MPI or mend the site's file."
        )
    members = min(experiment.high.members, sites.simulations(site))
    sites.demand_samplers(choice.name, site, members * experiment.sampling.samplers)
    return site


def find_program(experiment: Experiment, experiment_file: Path) -> Path:
    """The simulation program, found before anything starts."""
    try:
        return find_executable(experiment.executable, beside=Path(sys.prefix) / "bin")
    except UsageError as error:
        raise UsageError(f"{experiment_file}: {error}") from None


@contextmanager
def store(stages: Stages, run_dir: RunDir) -> Iterator[None]:
    """The store, from when its address is published until the block ends.

    Raises:
        StoreLostError: its worker or block has gone.
        ParslflowError: it did not start, or ended by itself.
    """
    for left in ("address.json", "stop"):
        (run_dir.store / left).unlink(missing_ok=True)
    before = set(_store_journals(run_dir))
    served = stages.serve()
    _wait_for_address(served, run_dir, before)
    interrupted = False
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        interrupted = True
        raise
    finally:
        (run_dir.store / "stop").touch()
        try:
            served.result(timeout=STORE_START_SECONDS)
        except (ManagerLost, WorkerLost) as error:
            if not interrupted:
                raise StoreLostError(f"The store was lost ({error})") from error


def _wait_for_address(served: Future[Record], run_dir: RunDir, before: set[Path]) -> None:
    """Wait until the store can be reached; its block may have to queue first.

    Raises:
        ParslflowError: it ended, or did not start in time.
    """
    address = run_dir.store / "address.json"
    deadline = math.inf
    while not address.is_file():
        if served.done():
            served.result()
        if deadline == math.inf and set(_store_journals(run_dir)) > before:
            deadline = time.monotonic() + STORE_START_SECONDS
        if time.monotonic() > deadline:
            raise ParslflowError(
                f"The store published no address in {address} within {STORE_START_SECONDS:g} s: "
                "see the log beside it."
            )
        time.sleep(0.05)


def _store_journals(run_dir: RunDir) -> list[Path]:
    """The journals of all stores that started in the run."""
    return list(run_dir.journal.glob("store-*.jsonl"))


def _summary(
    experiment: Experiment, run_dir: RunDir, outcome: workflow.Outcome, seconds: float
) -> Summary:
    """What the run came to, from the records and the journal."""
    rows = []
    for iteration, trained in enumerate(outcome.models):
        made = outcome.generated[iteration - 1] if iteration else []
        lost = outcome.failed[iteration - 1] if iteration else {}
        batches = [batch for run in made for batch in run.batches]
        rows.append(
            IterationRow(
                iteration=iteration,
                samples_seen=sum(int(batch.metrics["seen"]) for batch in batches),
                samples_kept=sum(int(batch.metrics["kept"]) for batch in batches),
                batch=", ".join(batch.wrote[0].path.name for batch in batches),
                times_rejected=sum(int(batch.metrics.get("rejected", 0)) for batch in batches),
                losses={
                    network: Losses(
                        *(float(record.metrics[f"{part}_loss"]) for part in Losses._fields)
                    )
                    for network, record in trained.items()
                },
                baselines=_baselines(outcome.baselines[iteration]),
                diverged=outcome.diverged[iteration],
                failed={str(member): reason for member, reason in lost.items()},
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
        controls=[
            ControlRow.of(
                network,
                rows,
                [float(record.metrics["validation_loss"]) for record in records],
                [float(record.metrics["test_loss"]) for record in records],
            )
            for (network, rows), records in outcome.controls.items()
        ],
        zonal=ZonalRow.of_metrics(outcome.figures.metrics) if outcome.figures else [],
        stage_seconds=_stage_seconds(run_dir.journal, seconds),
        total_seconds=seconds,
    )


def _baselines(record: Record) -> dict[str, Losses]:
    """The losses of each plain regression."""
    return {
        name: Losses(*(float(record.metrics[f"{name}_{part}_loss"]) for part in Losses._fields))
        for name in BASELINES
    }


def _stage_seconds(journal: Path, seconds: float) -> dict[str, float]:
    """Wall time of what each context's executions did in the last ``seconds``.

    The contexts stand in the order in which they first started.
    """
    since = datetime.now(UTC) - timedelta(seconds=seconds)
    spent: dict[str, tuple[datetime, float]] = {}
    for paths in journals.files(journal).values():
        found = journals.read_file(paths[0])
        # A process that was killed, or whose disk was full, leaves a part, or nothing.
        if not found or found[0]["event"] != "started" or found[-1]["event"] != "ended":
            continue
        started, ended = found[0], found[-1]
        began = datetime.fromisoformat(started["time"])
        if started["context"] == "store" or began < since:
            continue
        first, total = spent.get(started["context"], (began, 0.0))
        spent[started["context"]] = (min(first, began), total + ended["wall_seconds"])
    return {context: spent[context][1] for context in sorted(spent, key=lambda key: spent[key][0])}
