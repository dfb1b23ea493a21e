"""The command that logs a journal to CMF."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from parslflow.errors import UsageError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: Commands) -> None:
    """Add the command."""
    record = commands.add_parser(
        "record",
        help="log a folder's journal to CMF",
        description="Log every execution of FOLDER/journal that CMF does not have yet, such as "
        "those of a simulation that was started by hand, or of a run whose writer could not work. "
        "All must be over: what has not ended is logged as lost. Settings are those of "
        "[provenance] in FOLDER/experiment.toml, if it is there.",
    )
    record.add_argument("folder", type=Path, metavar="FOLDER", help="the folder, such as a run's")
    record.set_defaults(command=_record)


def _record(options: argparse.Namespace) -> None:
    from parslflow.provenance.progress import logged
    from parslflow.provenance.writer import Writer
    from parslflow.rundir import RunDir

    run = RunDir(options.folder.resolve())
    if not run.journal.is_dir():
        raise UsageError(
            f"{options.folder} has no journal ({run.journal} is missing): give the folder whose "
            "folder 'journal' the events were written to."
        )
    # The writer of a run that is at work would take what has not ended for lost.
    with run.alone():
        before = logged(run)
        with Writer(run.root):
            pass
        after = logged(run)
    new = [key for name, key in after.items() if name not in before]
    unread = new.count(None)
    print(f"Logged {len(new) - unread} executions; {len(before)} were there already.")
    if unread:
        print(f"{unread} could not be read: see {run.logs / 'writer.log'}.")
    print(f"CMF's metadata: {run.provenance}")
