"""The commands for what a run keeps: models, old files, and whether all is still there."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from parslflow.cli.provenance import add_format
from parslflow.cli.provenance import add_run
from parslflow.cli.provenance import root
from parslflow.errors import ParslflowError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_QUIET_SECONDS = 10.0
"""In a log, progress has a line in so many seconds."""


def add(commands: Commands) -> None:
    """Add the commands."""
    models = commands.add_parser(
        "models",
        help="list the model versions",
        description="List the model versions of a run with their losses, how many batches each "
        "saw, and which one is deployed.",
    )
    add_run(models)
    add_format(models)
    models.set_defaults(command=_models)

    rollback = commands.add_parser(
        "rollback",
        help="make an earlier model the deployed one",
        description="Make an earlier model the deployed one, for the record; 'parslflow resume' "
        "then runs the coarse simulation with it.",
    )
    add_run(rollback)
    rollback.add_argument("model", metavar="MODEL", help="a version, such as EKE-ResNet-1")
    rollback.add_argument(
        "--reason", default="", metavar="TEXT", help="why, for the record (default: empty)"
    )
    rollback.set_defaults(command=_rollback)

    checkout = commands.add_parser(
        "checkout",
        help="bring back a version of a file",
        description="Bring a version of a file back from DVC's cache, or else from its remote, and "
        "verify it. Nothing that is there with other content is overwritten.",
    )
    add_run(checkout)
    checkout.add_argument(
        "artifact",
        metavar="ARTIFACT",
        help="a path in the run (the newest version), the beginning of a SHA-256, or PATH@SHA256",
    )
    checkout.add_argument(
        "--to",
        type=Path,
        metavar="FILE",
        help="where it goes (default: its own place in the run)",
    )
    checkout.set_defaults(command=_checkout)

    verify = commands.add_parser(
        "verify",
        help="check that all is as it was logged",
        description="Hash every file and every version in DVC again, compare them with the journal "
        "and with CMF, and name what has changed or is missing.",
    )
    add_run(verify)
    add_format(verify)
    verify.set_defaults(command=_verify)


# Each command imports what it needs: an answer must be there in less than a second.


def _models(options: argparse.Namespace) -> None:
    from parslflow.provenance import answers
    from parslflow.provenance import models

    found = models.models(root(options))
    print(answers.of_models(found) if options.format == "table" else answers.to_json(found))


def _rollback(options: argparse.Namespace) -> None:
    from parslflow.rollback import rollback

    before = rollback(options.run, options.model, options.reason)
    print(f"{options.model} is deployed{f' instead of {before}' if before else ''}.")
    print(f"To run the coarse simulation with it: parslflow resume {options.run}")


def _checkout(options: argparse.Namespace) -> None:
    from parslflow.provenance import checkout

    done = checkout.checkout(root(options), options.artifact, options.to)
    version = f"{done.artifact.path} {done.artifact.sha256[:8]}"
    if done.already_there:
        print(f"{done.path} is there already, with the content of {version}.")
    else:
        print(f"{done.path} has the content of {version} again.")


def _verify(options: argparse.Namespace) -> None:
    from parslflow.provenance import answers
    from parslflow.provenance import verification

    found = verification.verify(root(options), _Progress())
    print(answers.of_verification(found) if options.format == "table" else answers.to_json(found))
    if found.problems:
        raise ParslflowError(f"{options.run} is not as it was logged, see above.")


class _Progress:
    """Says on standard error how much has been hashed: in place on a terminal, rarely in a log."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        text = f"hashed {done / 1e6:,.0f} of {total / 1e6:,.0f} MB"
        if sys.stderr.isatty():
            end = "\n" if done == total else ""
            print(f"\r{text}", end=end, file=sys.stderr, flush=True)
        elif time.monotonic() - self._said > _QUIET_SECONDS:
            self._said = time.monotonic()
            print(text, file=sys.stderr, flush=True)
