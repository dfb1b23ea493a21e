"""The command line."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from parslflow import __version__
from parslflow.errors import ParslflowError

if TYPE_CHECKING:
    from parslflow.provenance.queries import Lineage

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

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
    _add_place(run)
    run.set_defaults(command=_run)

    lineage = commands.add_parser(
        "lineage",
        help="show where the deployed model came from",
        description="Read the lineage of the deployed model from CMF, print it, and draw it to "
        "RUN/report/lineage.svg.",
    )
    lineage.add_argument("run", type=Path, metavar="RUN", help="the run directory")
    lineage.add_argument(
        "--format", choices=("tree", "json"), default="tree", help="what to print (default: tree)"
    )
    lineage.set_defaults(command=_lineage)

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
    _add_place(bench)
    bench.set_defaults(command=_bench)
    _add_store(commands)
    return parser


def _add_store(commands: Commands) -> None:
    """The commands for a store that outlives the shell."""
    store = commands.add_parser(
        "store",
        help="start, look at and stop an in-memory store",
        description="An in-memory store for SmartRedis clients and ours, on this machine.",
    ).add_subparsers(title="commands", metavar="COMMAND", required=True)

    start = store.add_parser(
        "start",
        help="start a store in the background",
        description="Start a store that runs until it is stopped, wait until it answers, and print "
        "what simulations need to find it.",
    )
    _add_folder(start)
    start.add_argument(
        "--listen",
        choices=("unix", "loopback", "network"),
        default="unix",
        help="a socket that you alone can reach (default), a port of this machine with a password, "
        "or a port that other machines reach, with a password",
    )
    start.add_argument(
        "--memory-mb",
        type=_positive,
        default=1024,
        metavar="N",
        help="what it may hold, in MiB; when it is full, writers wait (default: 1024)",
    )
    start.add_argument(
        "--shards",
        type=_positive,
        default=1,
        metavar="N",
        help="a Redis Cluster of N servers, three or more, on loopback ports (default: 1, none)",
    )
    start.add_argument(
        "--no-password",
        action="store_true",
        help="ask for no password on loopback ports, as the stock SmartRedis client needs: EVERY "
        "user of this machine can then read and change the store",
    )
    start.add_argument(
        "--persist",
        action="store_true",
        help="keep the data in the folder, to be there when a store is started in it again",
    )
    start.set_defaults(command=_store_start)

    status = store.add_parser(
        "status",
        help="say how a store is",
        description="Say where a store is, whether it answers, and what it holds.",
    )
    _add_folder(status)
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(command=_store_status)

    stop = store.add_parser(
        "stop", help="stop a store", description="Stop a store, and wait until it is gone."
    )
    _add_folder(stop)
    stop.set_defaults(command=_store_stop)

    install = store.add_parser(
        "install-smartsim",
        help="let SmartSim start databases with our module",
        description="Put server, command line client and module where SmartSim looks for them.",
    )
    install.set_defaults(command=_install_smartsim)


def _add_folder(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--folder",
        type=Path,
        default=Path("parslflow-store"),
        metavar="DIR",
        help="the folder that the store's files are in (default: parslflow-store)",
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number of 1 or more")
    return int(text)


def _add_place(command: argparse.ArgumentParser) -> None:
    """The options that say where something runs."""
    command.add_argument(
        "--site",
        default="local",
        metavar="NAME|FILE.py",
        help="where the stages run: a file of configs/sites or one of your own (default: local)",
    )
    command.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        metavar="DIR",
        help="the folder for run directories (default: runs)",
    )


# Each command imports what it needs: '--help' and a wrong option must answer at once.


def _run(options: argparse.Namespace) -> None:
    from parslflow import driver
    from parslflow.report.summary import to_text

    summary = driver.run(options.experiment, options.site, options.runs)
    print(f"\n{to_text(summary)}")
    if summary.chosen:
        _draw_lineage(summary.run)
    print(f"Figures and lineage graph: {summary.run / 'report'}")
    print(f"Where the model came from: parslflow lineage {summary.run}")


def _lineage(options: argparse.Namespace) -> None:
    from parslflow.provenance import lineage

    found = _draw_lineage(options.run)
    print(lineage.tree(found) if options.format == "tree" else lineage.to_json(found))


def _draw_lineage(path: Path) -> Lineage:
    """Read the deployed model's lineage from CMF and draw it into the report."""
    from parslflow.provenance import lineage
    from parslflow.provenance import queries
    from parslflow.rundir import RunDir

    run = RunDir.open(path)
    found = queries.lineage(run.root)
    lineage.svg(found, run.report / "lineage.svg")
    return found


def _stage(options: argparse.Namespace) -> None:
    from parslflow import stages

    record = stages.run(options.file)
    for artifact in record.wrote:
        print(f"wrote {artifact.path}")
    for name, value in record.metrics.items():
        print(f"{name} = {value}")


def _install_smartsim(options: argparse.Namespace) -> None:
    from parslflow.store import smartsim

    print("\n".join(smartsim.install()))


def _bench(options: argparse.Namespace) -> None:
    from parslflow import bench

    print(f"Figures: {bench.at_site(options.names, options.site, options.runs)}")


def _store_start(options: argparse.Namespace) -> None:
    from parslflow.store import background

    published = background.start(
        options.folder,
        options.listen,
        options.memory_mb,
        options.shards,
        password=not options.no_password,
        persist=options.persist,
    )
    variables = " ".join(
        f"{name}={shlex.quote(value)}" for name, value in published.environment().items()
    )
    print(f"Store: {published.address}")
    print(f"For simulations: export {variables}")
    print(f"To stop it: parslflow store stop --folder {shlex.quote(str(options.folder))}")


def _store_status(options: argparse.Namespace) -> None:
    from parslflow.store import background

    status = background.status(options.folder)
    if options.json:
        print(json.dumps(dataclasses.asdict(status)))
    else:
        print(background.to_text(status))
    if not status.answers:
        raise ParslflowError(f"The store in {options.folder} runs but gives no answer.")


def _store_stop(options: argparse.Namespace) -> None:
    from parslflow.store import background

    print(f"Stopped the store at {background.stop(options.folder).address}")


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(f"parslflow: stopped by signal {signal.Signals(signum).name}")
