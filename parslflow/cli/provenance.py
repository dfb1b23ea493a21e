"""The commands that ask the metadata: where a model came from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parslflow.provenance.queries import Lineage

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: Commands) -> None:
    """Add the commands."""
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


def _lineage(options: argparse.Namespace) -> None:
    from parslflow.provenance import lineage

    found = draw_lineage(options.run)
    print(lineage.tree(found) if options.format == "tree" else lineage.to_json(found))


def draw_lineage(path: Path) -> Lineage:
    """Read the deployed model's lineage from CMF, and draw it into the report and its page."""
    from parslflow.provenance import drawing
    from parslflow.provenance import queries
    from parslflow.report import page
    from parslflow.rundir import RunDir

    run = RunDir.open(path)
    found = queries.lineage(run.root)
    drawing.svg(found, run.report / "lineage.svg")
    page.write(run)
    return found
