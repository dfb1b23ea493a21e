"""What a run and its executions were given: settings by dotted names, from the run's files."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from parslflow.provenance.events import Value
from parslflow.provenance.graph import Execution
from parslflow.rundir import RunDir


def of_experiment(run: RunDir) -> dict[str, Value]:
    """The settings of the whole run, such as ``high.spinup_days``."""
    if not run.experiment.is_file():
        return {}
    return dict(flat(tomllib.loads(run.experiment.read_text(encoding="utf-8"))))


def of_execution(run: RunDir, execution: Execution) -> dict[str, Value]:
    """What an execution's stage was given but files, such as ``settings.learning_rate``."""
    path = run.stages / f"{execution.name}.json"
    if not path.is_file():
        return {}
    inputs = json.loads(path.read_text(encoding="utf-8"))["inputs"]
    return {
        name: value
        for name, value in flat(inputs)
        if not (isinstance(value, str) and value.startswith("/"))
    }


def flat(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Value]]:
    """The values of nested tables; a list is its JSON text."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}.")
        elif isinstance(value, list):
            yield f"{above}{key}", json.dumps(value)
        elif value is not None:
            yield f"{above}{key}", value
