"""The command that checks a site."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from parslflow.cli import place
from parslflow.errors import ParslflowError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DEMO = Path(__file__).resolve().parents[2] / "configs" / "experiments" / "demo.toml"


def add(commands: Commands) -> None:
    """Add the command."""
    doctor = commands.add_parser(
        "doctor",
        help="check a site before a run",
        description="Check that workers start and see the run directory, that their software is "
        "the driver's, that MPI starts the simulation, and that the store is reached. A run "
        "directory of the checks is left where something is wrong.",
    )
    doctor.add_argument(
        "experiment",
        type=Path,
        nargs="?",
        default=DEMO,
        metavar="EXPERIMENT",
        help="what shall run there (default: the demo)",
    )
    place.add_site(doctor)
    place.add_runs(doctor)
    doctor.add_argument(
        "--patience",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long to wait for the first workers, which may queue (default: 60)",
    )
    doctor.set_defaults(command=_doctor)


def _doctor(options: argparse.Namespace) -> None:
    from parslflow import doctor
    from parslflow import driver
    from parslflow import experiment as experiments
    from parslflow.rundir import RunDir

    experiment = experiments.load(options.experiment)
    executable = driver.find_program(experiment, options.experiment)
    run = RunDir.new(options.runs, "doctor")
    site = driver.find_site(place.choice(options), run, experiment)
    problems = 0
    for finding in doctor.examine(experiment, site, run, executable, options.patience):
        print(f"{'ok  ' if not finding.cure else 'FAIL'}  {finding.check}: {finding.found}")
        if finding.cure:
            problems += 1
            print(f"      {finding.cure}")
    if problems:
        raise ParslflowError(f"{problems} findings at {options.site}; logs are in {run.root}.")
    shutil.rmtree(run.root)
