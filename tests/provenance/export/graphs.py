"""Any graph that CMF can hold, and what must be equal of two graphs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from parslflow.provenance.export.description import connect
from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import Edge
from parslflow.provenance.graph import Execution
from parslflow.provenance.graph import Graph

_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=12)
_NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=12)
_VALUES = st.one_of(_TEXTS, st.integers(-(2**63), 2**63 - 1), st.floats())
_PROPERTIES = st.dictionaries(_NAMES, _VALUES, max_size=4)
_TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    executions = [
        Execution(
            f"execution-{number}",
            draw(_NAMES),
            draw(_NAMES),
            status,
            draw(_PROPERTIES) | times(status, draw),
            draw(_PROPERTIES),
            draw(_TEXTS),
            draw(_TEXTS),
            draw(st.dictionaries(_NAMES, _TEXTS, max_size=2)),
        )
        for number, status in enumerate(
            draw(st.lists(st.sampled_from(["completed", "failed", "lost"]), min_size=1, max_size=4))
        )
    ]
    digests = st.lists(st.binary(min_size=32, max_size=32), unique=True, max_size=5)
    artifacts = [
        Artifact(
            f"artifact-{number}",
            draw(st.sampled_from(["dataset", "model"])),
            draw(_NAMES),
            digest.hex(),
            draw(_PROPERTIES) | {"size": draw(st.integers(0, 2**40))},
            draw(st.text("0123456789abcdef", min_size=3, max_size=32)),
            tuple(draw(st.lists(_NAMES, unique=True, max_size=3))),
        )
        for number, digest in enumerate(draw(digests))
    ]
    edges = []
    for artifact in artifacts:
        # An artifact that no execution had to do with is in no run.
        for execution in draw(st.lists(st.sampled_from(executions), min_size=1, max_size=3)):
            if draw(st.booleans()):
                edges.append(Edge(artifact.id, execution.id))
            else:
                edges.append(Edge(execution.id, artifact.id))
    return connect(executions, artifacts, edges)


def times(status: str, draw: st.DrawFn) -> dict[str, str]:
    started = draw(_TIMES).isoformat()
    return {"started": started} if status == "lost" else {"started": started, "ended": started}


def content(graph: Graph) -> dict[str, Any]:
    """All nodes and edges; ``repr`` since NaN does not equal itself."""
    return {
        "executions": {
            key: (
                *(one.context, one.name, one.status, one.journal, one.command),
                *map(_texts, (one.properties, one.metrics, one.series)),
            )
            for key, one in graph.executions.items()
        },
        "artifacts": {
            key: (
                *(one.kind, one.path, one.sha256, one.md5, sorted(one.other_paths)),
                _texts(one.properties),
            )
            for key, one in graph.artifacts.items()
        },
        "edges": {(cause, effect) for cause in graph.after for effect in graph.after[cause]},
        "backwards": {(cause, effect) for effect in graph.before for cause in graph.before[effect]},
    }


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {key: repr(value) for key, value in values.items()}
