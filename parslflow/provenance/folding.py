"""A lineage as few enough boxes and arrows to be read, however many iterations it has.

The first, the last and the asked-for iteration stay whole. What repeats between them becomes one
box a stage, and the files of one execution share a box. Where nothing is folded, they do if the
same executions used them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import Execution
from parslflow.provenance.lineage import short
from parslflow.provenance.lineage import some_metrics
from parslflow.provenance.queries import Lineage

MOST_ITERATIONS = 4
"""How many iterations are drawn whole."""
_MOST_LINES = 5
_MOST_METRICS = 3
_SHORT = 22

Key = tuple[object, ...]


@dataclass(frozen=True)
class Box:
    """Some artifacts, or some executions."""

    id: str
    """That of the artifact or execution if the box is one."""
    kind: Literal["dataset", "model", "execution"]
    lines: tuple[str, ...]
    folded: bool
    """It stands for several iterations."""
    status: str = "completed"
    """The worst of its executions."""
    chosen: bool = False
    """It is what was asked for."""


@dataclass(frozen=True)
class Arrow:
    """From cause to effect."""

    source: str
    target: str
    ahead: bool
    """From folded iterations to the respective next ones, so it may point back to its start."""


@dataclass(frozen=True)
class Folded:
    """What is to be drawn."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def fold(lineage: Lineage) -> Folded:
    """Fold the iterations of a lineage if it has more than :data:`MOST_ITERATIONS`."""
    iterations = _iterations(lineage)
    whole = _whole(iterations, lineage.artifact)
    nodes = {node.id: node for node in lineage.nodes}
    causes: defaultdict[str, set[str]] = defaultdict(set)
    effects: defaultdict[str, set[str]] = defaultdict(set)
    for edge in lineage.edges:
        causes[edge.target].add(edge.source)
        effects[edge.source].add(edge.target)

    def key(node: Artifact | Execution) -> Key:
        iteration = iterations.get(node.id)
        if iteration is not None and whole and iteration not in whole:
            span = sum(one < iteration for one in whole)
            if isinstance(node, Execution):
                return (span, node.context, _pattern(node.name, iteration))
            return (span, node.kind, frozenset(map(key, map(nodes.__getitem__, causes[node.id]))))
        if isinstance(node, Execution) or node.id == lineage.artifact or not causes[node.id]:
            return (node.id,)
        users = frozenset() if whole else frozenset(effects[node.id])
        return (node.kind, frozenset(causes[node.id]), users)

    members: dict[Key, list[Artifact | Execution]] = {}
    for node in lineage.nodes:
        members.setdefault(key(node), []).append(node)
    boxes = [
        _box(inside, iterations, lineage.artifact, number)
        for number, inside in enumerate(members.values())
    ]
    place = {
        node.id: box.id
        for box, inside in zip(boxes, members.values(), strict=True)
        for node in inside
    }
    folded = {box.id for box in boxes if box.folded}
    ahead: dict[tuple[str, str], bool] = {}
    for edge in lineage.edges:
        pair = (place[edge.source], place[edge.target])
        crosses = iterations.get(edge.source, 0) < iterations.get(edge.target, 0)
        ahead[pair] = ahead.get(pair, True) and crosses and folded.issuperset(pair)
    return Folded(tuple(boxes), tuple(Arrow(*pair, one) for pair, one in ahead.items()))


def _iterations(lineage: Lineage) -> dict[str, int]:
    """The iteration of each execution that has one, and of what it produced."""
    found = {
        node.id: iteration
        for node in lineage.nodes
        if isinstance(node, Execution)
        and isinstance(iteration := node.properties.get("iteration"), int)
    }
    executions = dict(found)
    for edge in lineage.edges:
        if edge.source in executions:
            found.setdefault(edge.target, executions[edge.source])
    return found


def _whole(iterations: dict[str, int], artifact: str) -> set[int]:
    """The iterations that stay whole while others are folded; none if all stay whole."""
    known = set(iterations.values())
    if len(known) <= MOST_ITERATIONS:
        return set()
    return {min(known), max(known), iterations.get(artifact, max(known))}


def _pattern(name: str, iteration: int) -> str:
    """What something is called in every iteration."""
    return re.sub(
        r"(?<=[-_])\d+", lambda found: "*" if int(found[0]) == iteration else found[0], name
    )


def _box(
    nodes: Sequence[Artifact | Execution], iterations: dict[str, int], chosen: str, number: int
) -> Box:
    first = nodes[0]
    numbers = sorted({iterations[node.id] for node in nodes if node.id in iterations})
    folded = len(numbers) > 1
    identity = first.id if len(nodes) == 1 else f"box-{number}"
    span = f"× {len(numbers)}, iterations {numbers[0]}–{numbers[-1]}" if folded else ""
    if isinstance(first, Artifact):
        files = [node for node in nodes if isinstance(node, Artifact)]
        if folded:
            lines = [*_names([_pattern(one.path, iterations[one.id]) for one in files]), span]
        elif len(files) == 1:
            lines = [*_names([first.path]), first.sha256[:8]]
        else:
            lines = _names([f"{one.path}  {one.sha256[:8]}" for one in files])
        return Box(identity, first.kind, tuple(lines), folded, chosen=first.id == chosen)
    executions = [node for node in nodes if isinstance(node, Execution)]
    executions.sort(key=lambda one: iterations.get(one.id, 0))
    bad = [one.status for one in executions if one.status != "completed"]
    if folded:
        lines = [_pattern(first.name, iterations[first.id]).replace("-*", ""), span]
        lines += [f"{bad.count(one)} {one}" for one in sorted(set(bad))]
        lines += _change(executions)
    else:
        lines = [first.name, *bad, *some_metrics(executions[0])[:_MOST_METRICS]]
    worst = min(bad, default="completed")
    return Box(identity, "execution", tuple(lines), folded, worst, first.id == chosen)


def _names(paths: Sequence[str]) -> list[str]:
    """The names of files, below their folder, since the drawing's width is what is scarce."""
    paths = list(dict.fromkeys(paths))
    folders = {path.rpartition("/")[0] for path in paths}
    if len(folders) > 1 or folders == {""} or (len(paths) == 1 and len(paths[0]) <= _SHORT):
        lines = paths
    else:
        lines = [f"{folders.pop()}/", *(path.rpartition("/")[2] for path in paths)]
    if len(lines) > _MOST_LINES:
        lines = [*lines[:_MOST_LINES], f"and {len(lines) - _MOST_LINES} more"]
    return lines


def _change(executions: Sequence[Execution]) -> list[str]:
    """From what to what the metric that tells most has gone."""
    first, last = (
        next((one.metrics for one in order if one.metrics), {})
        for order in (executions, executions[::-1])
    )
    for name in ("best", "test_loss", *sorted(first)):
        if name in first and name in last:
            return [f"{name} {short(first[name])} → {short(last[name])}"]
    return []
