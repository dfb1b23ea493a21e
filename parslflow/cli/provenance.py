"""The commands that ask the metadata: where a model came from, why it was chosen, what it saw."""

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
        help="show where a model or any file came from, and where it went",
        description="Read a lineage from CMF and print it; that of the deployed model is also "
        "drawn to RUN/report/lineage.svg.",
    )
    add_run(lineage)
    lineage.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="a file (path or end of it, SHA-256 or beginning of it), an execution or a model "
        "version (default: the deployed model)",
    )
    direction = lineage.add_mutually_exclusive_group()
    direction.add_argument(
        "--up", action="store_const", const="up", dest="direction", help="only where it came from"
    )
    direction.add_argument(
        "--down", action="store_const", const="down", dest="direction", help="only where it went"
    )
    lineage.add_argument(
        "--format", choices=("tree", "json"), default="tree", help="what to print (default: tree)"
    )
    lineage.set_defaults(command=_lineage, direction="both")

    diff = commands.add_parser(
        "diff",
        help="show how two model versions differ",
        description="Compare two model versions: data, samples, settings, code and metrics.",
    )
    add_run(diff)
    for version in ("a", "b"):
        diff.add_argument(
            version, metavar=version.upper(), help="a model version such as EKE-ResNet-1"
        )
    add_format(diff)
    diff.set_defaults(command=_diff)

    why = commands.add_parser(
        "why",
        help="show why a model was chosen",
        description="Show the decisions about a model with the values that they saw, compare these "
        "with what CMF holds now, and make each decision again.",
    )
    add_run(why)
    why.add_argument(
        "model", nargs="?", metavar="MODEL", help="a model version (default: the deployed one)"
    )
    add_format(why)
    why.set_defaults(command=_why)

    batches = commands.add_parser(
        "batches",
        help="show which batches each model saw",
        description="Show which batches of new samples each model version saw, and how its test "
        "loss moved against the version before.",
    )
    add_run(batches)
    add_format(batches)
    batches.set_defaults(command=_batches)

    samples = commands.add_parser(
        "samples",
        help="show where the samples of a batch came from",
        description="Count the samples of a batch by rank of the simulation, day or place.",
    )
    add_run(samples)
    samples.add_argument("batch", metavar="BATCH", help="a file of samples, such as batch-1.h5")
    samples.add_argument(
        "--by", choices=("rank", "day", "place"), required=True, help="what to count by"
    )
    add_format(samples)
    samples.set_defaults(command=_samples)

    search = commands.add_parser(
        "search",
        help="find executions and files by property and metric",
        description="Find the executions and files of which all expressions are true: KEY=VALUE, "
        "or with != < <= > >= in place of =, or with ~ for 'contains'. Put each into quotation "
        "marks.",
    )
    add_run(search)
    search.add_argument(
        "expressions", nargs="+", metavar="EXPRESSION", help="such as 'test_loss<0.7'"
    )
    add_format(search)
    search.set_defaults(command=_search)


def add_run(command: argparse.ArgumentParser) -> None:
    """The run that is asked."""
    command.add_argument("run", type=Path, metavar="RUN", help="the run directory")


def add_format(command: argparse.ArgumentParser) -> None:
    """What the answer is printed as."""
    command.add_argument(
        "--format",
        choices=("table", "json"),
        default="table",
        help="what to print (default: table)",
    )


def root(options: argparse.Namespace) -> Path:
    """The run directory that was given, or a folder with a journal of its own.

    Raises:
        UsageError: it is neither.
    """
    from parslflow.rundir import RunDir

    run = RunDir(options.run.resolve())
    return run.root if run.journal.is_dir() else RunDir.open(options.run).root


# Each command imports what it needs: an answer must be there in less than a second.


def _lineage(options: argparse.Namespace) -> None:
    from parslflow.provenance import lineage
    from parslflow.provenance import queries

    if options.name is None and options.direction == "both":
        found = draw_lineage(root(options))
    else:
        found = queries.lineage(root(options), options.name, options.direction)
    print(lineage.tree(found) if options.format == "tree" else lineage.to_json(found))


def draw_lineage(path: Path) -> Lineage:
    """Read the deployed model's lineage from CMF, and draw it into the report and its page."""
    from parslflow.provenance import drawing
    from parslflow.provenance import queries
    from parslflow.report import page
    from parslflow.rundir import RunDir

    run = RunDir(path)
    found = queries.lineage(run.root)
    drawing.svg(found, run.report / "lineage.svg")
    page.write(run)
    return found


def _diff(options: argparse.Namespace) -> None:
    from parslflow.provenance import answers
    from parslflow.provenance import comparison

    found = comparison.compare(root(options), options.a, options.b)
    print(answers.of_comparison(found) if options.format == "table" else answers.to_json(found))


def _why(options: argparse.Namespace) -> None:
    from parslflow.provenance import answers
    from parslflow.provenance import decisions

    found = decisions.why(root(options), options.model)
    print(answers.of_why(found) if options.format == "table" else answers.to_json(found))


def _batches(options: argparse.Namespace) -> None:
    from parslflow.provenance import answers
    from parslflow.provenance import models

    found = models.batches(root(options))
    print(answers.of_batches(found) if options.format == "table" else answers.to_json(found))


def _samples(options: argparse.Namespace) -> None:
    from parslflow.provenance import answers
    from parslflow.provenance import placement

    found = placement.samples(root(options), options.batch, options.by)
    print(answers.of_samples(found) if options.format == "table" else answers.to_json(found))


def _search(options: argparse.Namespace) -> None:
    from parslflow.provenance import answers
    from parslflow.provenance import searching

    found = searching.search(root(options), options.expressions)
    print(answers.of_search(found) if options.format == "table" else answers.to_json(found))
