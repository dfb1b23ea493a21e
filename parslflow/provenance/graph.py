"""All executions and artifacts of a run, as CMF's metadata has them.

The one place where MLMD's records become ours; queries, drawings and exports start from a
:class:`Graph`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import Literal

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.provenance.database import read_records
from parslflow.provenance.events import Value


@dataclass(frozen=True)
class Artifact:
    """One version of a file; two files of the same content are one artifact."""

    id: str
    kind: Literal["dataset", "model"]
    path: str
    """Where it was first seen, relative to the run directory if it lies in it."""
    sha256: str
    properties: dict[str, Value]


@dataclass(frozen=True)
class Execution:
    """One run of one stage."""

    id: str
    context: str
    name: str
    status: str
    """``completed``, ``failed``, or ``lost`` if its end was never seen."""
    properties: dict[str, Value]
    metrics: dict[str, Value] = field(default_factory=dict)
    """Its results; of a decision what was seen and chosen."""


@dataclass(frozen=True)
class Edge:
    """From an artifact to an execution that used it, or from an execution to what it produced."""

    source: str
    target: str


@dataclass
class Graph:
    """All executions and artifacts of a run but CMF's own (environment, metrics)."""

    executions: dict[str, Execution]
    artifacts: dict[str, Artifact]
    before: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    after: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def completed(self, context: str) -> list[Execution]:
        """The executions of a context that ended well, in the order of their starts."""
        return [
            execution
            for execution in self.executions.values()
            if execution.context == context and execution.status == "completed"
        ]

    def deployed(self, run_root: Path) -> str:
        """The model that was deployed last."""
        for execution in reversed(self.completed("deploy")):
            for key in self.before[execution.id]:
                if self.artifacts[key].kind == "model":
                    return key
        raise ParslflowError(
            f"{run_root} has deployed no model so far, so there is no lineage to show: name an "
            "artifact, or wait until the run has come that far."
        )

    def find(self, name: str) -> str:
        """The one artifact that is called so."""
        found = [
            key
            for key, artifact in self.artifacts.items()
            if f"/{artifact.path}".endswith(f"/{name}") or artifact.sha256.startswith(name)
        ]
        if len(found) != 1:
            paths = ", ".join(self.artifacts[key].path for key in found)
            raise UsageError(
                f"Several artifacts are called '{name}' ({paths}): give more of the path, or the "
                "beginning of the SHA-256."
                if found
                else f"No artifact of this run is called '{name}': give its path in the run "
                "directory, or the beginning of its SHA-256."
            )
        return found[0]


def reach(start: Iterable[str], neighbours: dict[str, list[str]]) -> set[str]:
    """What can be reached from ``start``, itself included."""
    reached = set(start)
    frontier = list(reached)
    while frontier:
        for key in neighbours[frontier.pop()]:
            if key not in reached:
                reached.add(key)
                frontier.append(key)
    return reached


def read(run_root: Path) -> Graph:
    """All that CMF has of a run."""
    records = read_records(run_root)
    executions, events, stored = records.executions, records.events, records.artifacts

    graph = Graph(
        {f"execution-{one.id}": _execution(one) for one in executions},
        {
            f"artifact-{one.id}": _artifact(one)
            for one in stored.values()
            if one.type in ("Dataset", "Model")
        },
    )
    for event in events:
        execution, artifact = f"execution-{event.execution_id}", f"artifact-{event.artifact_id}"
        if artifact in graph.artifacts:
            produced = event.type == event.OUTPUT
            source, target = (execution, artifact) if produced else (artifact, execution)
            graph.after[source].append(target)
            graph.before[target].append(source)
        elif stored[event.artifact_id].type == "Metrics":
            graph.executions[execution].metrics.update(
                _values(stored[event.artifact_id].custom_properties)
            )
    return graph


def _execution(stored: Any) -> Execution:  # noqa: ANN401
    properties = _values(stored.custom_properties)
    return Execution(
        id=f"execution-{stored.id}",
        context=stored.type.rsplit("/", maxsplit=1)[-1],
        name=str(properties.pop("name", stored.name)),
        status=str(properties.pop("status", "lost")),
        properties=properties,
    )


def _artifact(stored: Any) -> Artifact:  # noqa: ANN401
    properties = _values(stored.custom_properties)
    return Artifact(
        id=f"artifact-{stored.id}",
        kind="model" if stored.type == "Model" else "dataset",
        path=str(properties.pop("path", stored.name)),
        sha256=str(properties.pop("sha256", "")),
        properties=properties,
    )


def _values(properties: Any) -> dict[str, Value]:  # noqa: ANN401
    """MLMD's properties as Python's values, in the order of their names."""
    values: dict[str, Value] = {}
    for key in sorted(properties):
        value = getattr(properties[key], properties[key].WhichOneof("value"))
        # MLMD cannot hold these, so the writer stores them as text.
        values[key] = float(value) if value in ("nan", "inf", "-inf") else value
    return values
