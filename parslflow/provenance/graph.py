"""All executions and artifacts of a run, as CMF's metadata has them.

The one place where MLMD's records become ours; queries, drawings and exports start from a
:class:`Graph`.
"""

from __future__ import annotations

import gc
import json
from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from pathlib import Path
from typing import Any
from typing import Literal

from parslflow.errors import ParslflowError
from parslflow.provenance.database import Records
from parslflow.provenance.database import read_records
from parslflow.provenance.events import Value
from parslflow.provenance.mlmd import EXACT


@dataclass(frozen=True)
class Artifact:
    """One version of a file; two files of the same content are one artifact."""

    id: str
    kind: Literal["dataset", "model"]
    path: str
    """Where it was first seen, relative to the run directory if it lies in it."""
    sha256: str
    properties: dict[str, Value]
    md5: str = ""
    """The name of its content in DVC's cache and remote."""
    other_paths: tuple[str, ...] = ()
    """Where else the same content was seen."""

    @property
    def paths(self) -> tuple[str, ...]:
        """All places where this content was seen."""
        return (self.path, *self.other_paths)


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
    journal: str = ""
    """Its name in the journal, which no other execution of the run has."""
    command: str = ""
    series: dict[str, str] = field(default_factory=dict)
    """The parquet file of each series of metrics, as a path in CMF's folder."""


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

    def completed(self, *contexts: str) -> list[Execution]:
        """The executions of these contexts that ended well, in the order of their starts."""
        return sorted(
            (
                execution
                for execution in self.executions.values()
                if execution.context in contexts and execution.status == "completed"
            ),
            # CMF gets them in the order of their ends; the times are all UTC.
            key=lambda execution: str(execution.properties.get("started", "")),
        )

    def deployments(self) -> list[tuple[Execution, str]]:
        """What deployed or rolled back to a model, and the id of that model, the last one last."""
        found = [
            (execution, self.script(self.before[execution.id]))
            for execution in self.completed("deploy", "rollback")
        ]
        return [(execution, key) for execution, key in found if key is not None]

    def script(self, keys: Iterable[str]) -> str | None:
        """Of several artifacts the model that simulations ask, or else the last model if any."""
        models = [key for key in keys if self.artifacts[key].kind == "model"]
        scripts = (
            key for key in models if self.artifacts[key].properties.get("form") == "TorchScript"
        )
        return next(scripts, models[-1] if models else None)

    def deployed(self, run_root: Path) -> str:
        """The id of the model that was deployed, or rolled back to, last."""
        deployments = self.deployments()
        if not deployments:
            raise ParslflowError(
                f"{run_root} has deployed no model so far: name an artifact, or wait until the run "
                "has come that far."
            )
        return deployments[-1][1]


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
    with _no_collections():
        return _read(read_records(run_root))


def _read(records: Records) -> Graph:
    executions = {one.id: _execution(one) for one in records.executions}
    artifacts = {
        key: _artifact(one)
        for key, one in records.artifacts.items()
        if one.type in ("Dataset", "Model")
    }
    graph = Graph({one.id: one for one in executions.values()}, {})
    others: dict[int, dict[str, None]] = {}
    for event in records.events:
        number = event.artifact_id
        execution = executions[event.execution_id]
        if number in artifacts:
            artifact = artifacts[number].id
            produced = event.type == event.OUTPUT
            source, target = (execution.id, artifact) if produced else (artifact, execution.id)
            graph.after[source].append(target)
            graph.before[target].append(source)
            # Content that CMF already had is linked with the name of the file.
            for step in event.path.steps:
                others.setdefault(number, {})[step.key] = None
            continue
        stored = records.artifacts.get(number)
        if stored is None:
            continue
        if stored.type == "Metrics":
            execution.metrics.update(to_values(stored.custom_properties))
        elif stored.type == "Step_Metrics":
            path = stored.name.partition(":")[0]
            execution.series[Path(path).name] = path
    for number, paths in others.items():
        own = (artifacts[number].path, records.artifacts[number].name.partition(":")[0])
        known = tuple(path for path in paths if path not in own)
        if known:
            artifacts[number] = replace(artifacts[number], other_paths=known)
    graph.artifacts |= {one.id: one for one in artifacts.values()}
    return graph


@contextmanager
def _no_collections() -> Iterator[None]:
    """Spare the garbage collector from looking again and again for cycles that are not there."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _execution(stored: Any) -> Execution:  # noqa: ANN401
    properties = to_values(stored.custom_properties)
    return Execution(
        id=f"execution-{stored.id}",
        context=stored.type.rsplit("/", maxsplit=1)[-1],
        name=str(properties.pop("name", stored.name)),
        status=str(properties.pop("status", "lost")),
        properties=properties,
        journal=stored.name,
        command=stored.properties["Execution"].string_value,
    )


def _artifact(stored: Any) -> Artifact:  # noqa: ANN401
    properties = to_values(stored.custom_properties)
    return Artifact(
        id=f"artifact-{stored.id}",
        kind="model" if stored.type == "Model" else "dataset",
        path=str(properties.pop("path", stored.name)),
        sha256=str(properties.pop("sha256", "")),
        properties=properties,
        md5=stored.uri,
    )


def to_values(properties: Any) -> dict[str, Value]:  # noqa: ANN401
    """MLMD's properties as Python's values, in the order of their names."""
    values: dict[str, Value] = {}
    for key, stored in sorted(properties.items()):
        value = getattr(stored, stored.WhichOneof("value"))
        # MLMD cannot hold these, so the writer stores them as text.
        values[key] = float(value) if value in ("nan", "inf", "-inf") else value
    if EXACT in values:
        values |= json.loads(str(values.pop(EXACT)))
    return values
