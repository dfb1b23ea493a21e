"""The command line."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from parslflow import __version__
from parslflow.cli import doctor
from parslflow.cli import export
from parslflow.cli import interpolate
from parslflow.cli import place
from parslflow.cli import provenance
from parslflow.cli import record
from parslflow.cli import sites
from parslflow.cli import status
from parslflow.cli import store
from parslflow.cli import versions
from parslflow.errors import ParslflowError
from parslflow.errors import UsageError

if TYPE_CHECKING:
    from parslflow.report.summary import Summary

DESCRIPTION = """\
Neural networks inside simulations that keep learning.

  parslflow run configs/experiments/demo.toml --site local
  parslflow lineage runs/demo-20261123-101500
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 (done), 1 (failed) or 2 (wrong usage)."""
    options = _parser().parse_args(arguments)
    # Ending by SystemExit lets every service that was started be stopped.
    signal.signal(signal.SIGTERM, _terminate)
    try:
        options.command(options)
    except ParslflowError as error:
        print(f"parslflow: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("parslflow: interrupted", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="parslflow",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"parslflow {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run", help="run an experiment", description="Run an experiment to its end."
    )
    run.add_argument("experiment", type=Path, metavar="EXPERIMENT", help="the TOML file")
    place.add_site(run)
    place.add_runs(run)
    run.add_argument(
        "--dry-run", action="store_true", help="show what would run, where, and what it costs"
    )
    run.set_defaults(command=_run)

    resume = commands.add_parser(
        "resume",
        help="go on with a run that was stopped or rolled back",
        description="Do what is not done yet of a run. What has completed with the same inputs and "
        "settings is not done again.",
    )
    resume.add_argument("run", type=Path, metavar="RUN", help="the run directory")
    place.add_site(resume, default=None)
    resume.set_defaults(command=_resume)

    stage = commands.add_parser(
        "stage",
        help="run one stage again by hand",
        description="Run one stage from the file that describes it, here and now.",
    )
    stage.add_argument("file", type=Path, metavar="FILE", help="a file of RUN/stages")
    stage.set_defaults(command=_stage)

    bench = commands.add_parser(
        "bench",
        help="measure the hot paths at a site",
        description="Run the benchmarks on a node of the site, see benchmarks/README.md.",
    )
    bench.add_argument("names", nargs="*", metavar="NAME", help="what to measure (default: all)")
    place.add_site(bench)
    place.add_runs(bench)
    bench.set_defaults(command=_bench)
    sites.add(commands)
    doctor.add(commands)
    status.add(commands)
    provenance.add(commands)
    versions.add(commands)
    record.add(commands)
    export.add(commands)
    interpolate.add(commands)
    store.add(commands)
    return parser


# Each command imports what it needs: '--help' and a wrong option must answer at once.


def _run(options: argparse.Namespace) -> None:
    from parslflow import driver
    from parslflow import plan

    if options.dry_run:
        print(plan.to_text(driver.plan(options.experiment, place.choice(options), options.runs)))
        return
    _show(driver.run(options.experiment, place.choice(options), options.runs))


def _resume(options: argparse.Namespace) -> None:
    from parslflow import driver

    if options.site_option and options.site is None:
        raise UsageError("--site-option: give --site, too; without both a run stays where it was.")
    _show(driver.resume(options.run, place.choice(options) if options.site else None))


def _show(summary: Summary) -> None:
    from parslflow.report import page
    from parslflow.report.summary import to_text
    from parslflow.rundir import RunDir

    print(f"\n{to_text(summary)}")
    if summary.problem:
        raise ParslflowError(summary.problem)
    if summary.chosen:
        provenance.draw_lineage(summary.run)
    else:
        page.write(RunDir.open(summary.run))
    print(f"Report: {summary.run / 'report' / 'index.html'}")
    print(f"Where the model came from: parslflow lineage {summary.run}")


def _stage(options: argparse.Namespace) -> None:
    from parslflow import stages

    record = stages.run(options.file)
    for artifact in record.wrote:
        print(f"wrote {artifact.path}")
    for name, value in record.metrics.items():
        print(f"{name} = {value}")


def _bench(options: argparse.Namespace) -> None:
    from parslflow import bench

    print(f"Figures: {bench.at_site(options.names, place.choice(options), options.runs)}")


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(f"parslflow: stopped by signal {signal.Signals(signum).name}")
