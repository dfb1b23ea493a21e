"""The command that gives a run's lineage to other programs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from parslflow.errors import ParslflowError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_DEFAULTS = {"ro-crate": "ro-crate", "prov": "prov.json", "openlineage": "openlineage.jsonl"}


def add(commands: Commands) -> None:
    """Add the command."""
    export = commands.add_parser(
        "export",
        help="write the lineage in a standard format",
        description="Write all executions and artifacts of a run as a Provenance Run Crate 0.5 (a "
        "folder with the files), as PROV-JSON, or as OpenLineage events (JSON lines).",
    )
    export.add_argument("run", type=Path, metavar="RUN", help="the run directory")
    export.add_argument(
        "--to", choices=tuple(_DEFAULTS), required=True, metavar="FORMAT", help="%(choices)s"
    )
    export.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="the file, or the crate's folder (default: RUN/export/ and "
        f"{', '.join(_DEFAULTS.values())})",
    )
    export.set_defaults(command=_export)


def _export(options: argparse.Namespace) -> None:
    from parslflow.provenance import graph
    from parslflow.provenance.export import openlineage
    from parslflow.provenance.export import prov
    from parslflow.provenance.export import ro_crate
    from parslflow.rundir import RunDir

    write = {"ro-crate": ro_crate.write, "prov": prov.write, "openlineage": openlineage.write}
    run = RunDir.open(options.run)
    output = options.output or run.root / "export" / _DEFAULTS[options.to]
    try:
        write[options.to](graph.read(run.root), run.root, output)
    except OSError as error:
        raise ParslflowError(
            f"{output} cannot be written: {error.strerror or error}; give another --output."
        ) from None
    print(output)
