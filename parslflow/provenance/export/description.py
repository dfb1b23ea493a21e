"""What every format says of a run besides its graph: names, times, owner; and a graph of edges."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from parslflow.errors import ParslflowError
from parslflow.provenance.events import Value
from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import Edge
from parslflow.provenance.graph import Execution
from parslflow.provenance.graph import Graph

VOCABULARY = "urn:parslflow:"
"""What the names that parslflow made begin with; nothing is to be found under them."""


def name_of(run_root: Path) -> str:
    """The IRI of a run, of which the IRIs of its executions and artifacts are made."""
    return f"{VOCABULARY}run:{quote(run_root.resolve().name, safe='')}:"


def owner(run_root: Path) -> str:
    """Whose the run's files are: a user's name, or number where no name is known."""
    try:
        return run_root.owner()
    except KeyError:
        return str(run_root.stat().st_uid)


def started(execution: Execution) -> datetime:
    """When an execution began.

    Raises:
        ParslflowError: the metadata does not say.
    """
    found = _time(execution, "started")
    if found is None:
        raise ParslflowError(
            f"The metadata does not say when the execution {execution.name} ({execution.id}) "
            "began: was it logged by parslflow?"
        )
    return found


def ended(execution: Execution) -> datetime | None:
    """When an execution ended; None if that was never seen."""
    return _time(execution, "ended")


def last_time(graph: Graph) -> datetime | None:
    """The last time that the metadata know of; None if there is no execution."""
    times = [ended(one) or started(one) for one in graph.executions.values()]
    return max(times, default=None)


def edges(graph: Graph) -> list[Edge]:
    """All edges, each once, however often an execution used an artifact."""
    pairs = {(source, target): None for source in graph.after for target in graph.after[source]}
    return [Edge(source, target) for source, target in pairs]


def connect(
    executions: Iterable[Execution], artifacts: Iterable[Artifact], links: Iterable[Edge]
) -> Graph:
    """The graph of what was read from a file."""
    graph = Graph({one.id: one for one in executions}, {one.id: one for one in artifacts})
    for edge in links:
        graph.after[edge.source].append(edge.target)
        graph.before[edge.target].append(edge.source)
    return graph


def non_finite(value: Value) -> str | None:
    """``NaN``, ``INF`` or ``-INF`` (XML Schema's words) for what JSON cannot hold; else None."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "INF" if value > 0 else "-INF"
    return None


def _time(execution: Execution, key: str) -> datetime | None:
    text = execution.properties.get(key)
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None
