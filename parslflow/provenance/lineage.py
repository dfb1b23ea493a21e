"""A lineage as a tree for the terminal, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from parslflow.provenance.events import Value
from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import Execution
from parslflow.provenance.queries import Lineage

_MOST_METRICS = 4


def tree(lineage: Lineage) -> str:
    """The lineage as text: the artifact, below it what made it and of what, then where it went."""
    nodes = {node.id: node for node in lineage.nodes}
    before: dict[str, list[str]] = {key: [] for key in nodes}
    after: dict[str, list[str]] = {key: [] for key in nodes}
    for edge in lineage.edges:
        before[edge.target].append(edge.source)
        after[edge.source].append(edge.target)

    def branches(start: str, follow: dict[str, list[str]]) -> Iterator[str]:
        # A stack of our own: a long run's lineage is deeper than Python lets functions call.
        seen = {start}
        open_ = [(iter(follow[start]), len(follow[start]), "")]
        while open_:
            children, left, indent = open_.pop()
            key = next(children, None)
            if key is None:
                continue
            open_.append((children, left - 1, indent))
            text = f"{indent}{'└─' if left == 1 else '├─'} {_line(nodes[key])}"
            if key in seen and follow[key]:
                yield f"{text} (shown above)"
                continue
            seen.add(key)
            yield text
            deeper = f"{indent}{'   ' if left == 1 else '│  '}"
            open_.append((iter(follow[key]), len(follow[key]), deeper))

    root = lineage.artifact
    lines = [_line(nodes[root]), *branches(root, before)]
    if after[root]:
        lines += ["", f"{_line(nodes[root])} went into", *branches(root, after)]
    return "\n".join(lines)


def to_json(lineage: Lineage) -> str:
    """The lineage as ``{"artifact": id, "nodes": [...], "edges": [...]}``.

    A node is an artifact or an execution, as its ``node`` says; an edge goes from cause to effect.
    """
    nodes = [
        {"node": "artifact" if isinstance(node, Artifact) else "execution", **asdict(node)}
        for node in lineage.nodes
    ]
    edges = [asdict(edge) for edge in lineage.edges]
    return json.dumps({"artifact": lineage.artifact, "nodes": nodes, "edges": edges}, indent=2)


def _line(node: Artifact | Execution) -> str:
    if isinstance(node, Artifact):
        return f"{node.path}  {node.sha256[:8]}"
    status = "" if node.status == "completed" else f" {node.status}"
    metrics = ", ".join(some_metrics(node))
    return f"[{node.name}]{status}{'  ' if metrics else ''}{metrics}"


def some_metrics(execution: Execution) -> list[str]:
    """The first few metrics: what was chosen, then losses, then the rest."""
    metrics = execution.metrics
    if (best := metrics.get("best")) is not None:
        # A decision has the losses of all versions so far.
        names = ["best", f"test_loss {best}", "threshold"]
    else:
        names = sorted(metrics, key=lambda name: (name != "test_loss", "loss" not in name, name))
    known = [name for name in names if name in metrics]
    return [f"{name} {short(metrics[name])}" for name in known[:_MOST_METRICS]]


def short(value: Value) -> str:
    """A value in as many digits as a reader wants."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
