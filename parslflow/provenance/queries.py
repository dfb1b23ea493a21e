"""Questions to CMF: losses, model versions, and where an artifact came from and went.

The answers come from the metadata alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from parslflow.provenance.finding import find
from parslflow.provenance.finding import trainings
from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import Edge
from parslflow.provenance.graph import Execution
from parslflow.provenance.graph import reach
from parslflow.provenance.graph import read

Direction = Literal["both", "up", "down"]


@dataclass(frozen=True)
class Lineage:
    """What stands behind an artifact or an execution, and what it went into.

    Of what it went into, the other inputs and what stands behind those are there too: a network's
    lineage shows the networks that it was compared with, and that they saw the same data.
    """

    artifact: str
    """The id of the artifact that was asked for, or of the execution."""
    nodes: tuple[Artifact | Execution, ...]
    """In the order in which CMF got them, so causes stand before effects of their kind."""
    edges: tuple[Edge, ...]


def test_losses(run_root: Path) -> dict[str, float]:
    """The loss on the withheld cluster of every model version.

    Returns:
        The loss by the name of the version, in the order in which their trainings started.
    """
    return {
        version: float(training.metrics["test_loss"])
        for version, training in trainings(read(run_root)).items()
        if "test_loss" in training.metrics
    }


def lineage(run_root: Path, name: str | None = None, direction: Direction = "both") -> Lineage:
    """The lineage of an artifact or an execution.

    Args:
        run_root: the run directory.
        name: what it is called, see :func:`parslflow.provenance.finding.find`; by default the
            model that was deployed last.
        direction: ``up`` for what stands behind it, ``down`` for what it went into alone, or both.

    Raises:
        UsageError: nothing is called so, or several artifacts are.
        ParslflowError: the run has no metadata, or deployed no model.
    """
    graph = read(run_root)
    root = graph.deployed(run_root) if name is None else find(graph, name)
    forward = {root} if direction == "up" else reach([root], graph.after)
    known = forward if direction == "down" else reach(forward, graph.before)
    nodes: dict[str, Artifact | Execution] = {**graph.artifacts, **graph.executions}
    return Lineage(
        root,
        tuple(node for key, node in nodes.items() if key in known),
        tuple(
            Edge(source, target)
            for source in nodes
            for target in graph.after[source]
            if source in known and target in known
        ),
    )
