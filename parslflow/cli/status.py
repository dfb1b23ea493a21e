"""The command that says where a run stands."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from parslflow.cli.provenance import add_run

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: Commands) -> None:
    """Add the command."""
    status = commands.add_parser(
        "status",
        help="say where a run stands",
        description="Say where a run stands, whether or not it is at work: its driver, what of "
        "each stage is done, running, failed or interrupted, its losses so far, and what "
        "'parslflow resume' would begin with. Reads the journal alone.",
    )
    add_run(status)
    status.set_defaults(command=_status)


def _status(options: argparse.Namespace) -> None:
    from parslflow import status

    print(status.to_text(status.read(options.run)))
