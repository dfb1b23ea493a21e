"""Runs one experiment at one site: checks, services, the loop, the evaluation and the summary.

The driver imports neither torch nor the simulation's data: what it decides, it decides from CMF.
"""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import tomlkit

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
from parslflow.outcome import summarise
from parslflow.plan import Plan
from parslflow.plan import Step
from parslflow.provenance.stream import Publisher
from parslflow.report.progress import Progress
from parslflow.report.summary import Summary
from parslflow.report.summary import to_json
from parslflow.rundir import RunDir
from parslflow.rundir import atomic_path
from parslflow.rundir import full_disk_said
from parslflow.services import StoreLostError
from parslflow.services import parsl_at
from parslflow.services import store
from parslflow.simulation.settings import find_executable
from parslflow.sites import Choice
from parslflow.sites import Site

END_SECONDS = 60.0
"""How long the processes of a block may take to end when it is given back."""


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
        parsl_at(site, run_dir),
        store(stages),
        publisher,
    ):
        rolled_back = finished.rolled_back()
        outcome = workflow.run(experiment, stages, evaluation.evaluate, rolled_back)
    summary = replace(
        summarise(experiment, run_dir, outcome, time.monotonic() - began),
        problem=evaluation.problem,
    )
    if rolled_back:
        loss = outcome.decisions[-1].losses[rolled_back]
        sentence = f"Rolled back to {rolled_back}, which has test loss {loss:.3f}."
        summary = replace(summary, outcome=sentence)
    with atomic_path(run_dir.report / "summary.json") as temporary:
        temporary.write_text(to_json(summary), encoding="utf-8")
    return summary


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
