"""A lineage as a tree for the terminal, as JSON, and drawn like Figure 4 of the paper."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from parslflow.errors import ParslflowError
from parslflow.provenance.events import Value
from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import Execution
from parslflow.provenance.queries import Lineage
from parslflow.rundir import atomic_path

_COLOURS = {"dataset": "#cfe3f5", "model": "#fbd9b0"}
_STATUS_COLOURS = {"completed": "#ffffff", "failed": "#f5c6c6", "lost": "#e6e6e6"}
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


def svg(lineage: Lineage, path: Path) -> None:
    """Draw the lineage with graphviz, causes above effects, the artifact in a thick frame.

    Raises:
        ParslflowError: graphviz is not installed, or it failed.
    """
    try:
        drawn = subprocess.run(
            ["dot", "-Tsvg"], input=_dot(lineage).encode(), capture_output=True, check=True
        )
    except FileNotFoundError:
        raise ParslflowError(
            f"{path} cannot be drawn, since the program 'dot' is not on PATH: install graphviz."
        ) from None
    except subprocess.CalledProcessError as error:
        raise ParslflowError(
            f"{path} cannot be drawn, since 'dot' failed: {error.stderr.decode().strip()}"
        ) from None
    with atomic_path(path) as temporary:
        temporary.write_bytes(drawn.stdout)


def _dot(lineage: Lineage) -> str:
    lines = [
        "digraph lineage {",
        'graph [rankdir=TB, nodesep=0.3, ranksep=0.35, fontname="Helvetica"]',
        'node [fontname="Helvetica", fontsize=11, style=filled, color="#555555"]',
        'edge [color="#777777", arrowsize=0.6]',
    ]
    for node in lineage.nodes:
        if isinstance(node, Artifact):
            shape = "box" if node.kind == "dataset" else "ellipse"
            colour = _COLOURS[node.kind]
            label = [node.path, node.sha256[:8]]
        else:
            shape, colour = "plain", _STATUS_COLOURS[node.status]
            label = [node.name, *_metrics(node)]
            if node.status != "completed":
                label.insert(1, node.status)
        width = 3 if node.id == lineage.artifact else 1
        text = "\\n".join(_escape(line) for line in label)
        lines.append(
            f'"{node.id}" [shape={shape}, fillcolor="{colour}", penwidth={width}, label="{text}"]'
        )
    lines += [f'"{edge.source}" -> "{edge.target}"' for edge in lineage.edges]
    return "\n".join([*lines, "}"])


def _line(node: Artifact | Execution) -> str:
    if isinstance(node, Artifact):
        return f"{node.path}  {node.sha256[:8]}"
    status = "" if node.status == "completed" else f" {node.status}"
    metrics = ", ".join(_metrics(node))
    return f"[{node.name}]{status}{'  ' if metrics else ''}{metrics}"


def _metrics(execution: Execution) -> list[str]:
    """The first few metrics: what was chosen, then losses, then the rest."""
    metrics = execution.metrics
    names = sorted(
        metrics, key=lambda name: (not isinstance(metrics[name], str), "loss" not in name, name)
    )
    return [f"{name} {_short(metrics[name])}" for name in names[:_MOST_METRICS]]


def _short(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
