"""How far the writer is: which executions of a run are in CMF."""

from __future__ import annotations

import json
from pathlib import Path

from parslflow.rundir import RunDir


def state_file(run: RunDir) -> Path:
    """Where the writer keeps what it has done."""
    return run.provenance.parent / "state.json"


def logged(run: RunDir) -> dict[str, int | None]:
    """The id in CMF of every execution that was dealt with, None if it could not be read."""
    try:
        text = state_file(run).read_text()
    except FileNotFoundError:
        return {}
    executions: dict[str, int | None] = json.loads(text)["executions"]
    return executions
