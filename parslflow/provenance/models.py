"""The model versions of a run: losses, the batches that each saw, which one is deployed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from parslflow.provenance.finding import trainings
from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import Execution
from parslflow.provenance.graph import Graph
from parslflow.provenance.graph import read

LOSSES = ("train", "validation", "known", "test")


@dataclass(frozen=True)
class ModelVersion:
    """One network as one training made it."""

    version: str
    network: str
    iteration: int
    losses: dict[str, float]
    """The loss on each of ``LOSSES`` that CMF has."""
    batches: tuple[Artifact, ...]
    """The batches of new samples in its training set."""
    before: str | None
    """The version whose weights its training started from, or else the one before of its
    network."""
    script: Artifact | None
    """What simulations ask; None if its training wrote no model."""
    training: Execution
    deployed: bool
    """It is the deployed model now."""
    deployments: tuple[Execution, ...]
    """What deployed it, or rolled back to it."""


@dataclass(frozen=True)
class Exposure:
    """What a model version saw that the one before it had not, and what came of it."""

    version: str
    network: str
    batches: tuple[Artifact, ...]
    """All the batches in its training set."""
    new: tuple[Artifact, ...]
    """Those that were not in that of the version before."""
    new_samples: int
    """How many samples these hold."""
    test_loss: float
    change: float
    """Of the test loss against the version before; not a number if there is none."""


def models(run_root: Path) -> list[ModelVersion]:
    """The model versions of a run, in the order in which their trainings started.

    Raises:
        ParslflowError: the run has no metadata.
    """
    return versions(read(run_root))


def batches(run_root: Path) -> list[Exposure]:
    """Which batches each model version saw, and how its test loss moved with them.

    Raises:
        ParslflowError: the run has no metadata.
    """
    found = {model.version: model for model in models(run_root)}
    exposures = []
    for model in found.values():
        before = found[model.before] if model.before is not None else None
        seen = {batch.id for batch in before.batches} if before is not None else set()
        new = tuple(batch for batch in model.batches if batch.id not in seen)
        loss = model.losses.get("test", math.nan)
        loss_before = before.losses.get("test", math.nan) if before is not None else math.nan
        exposures.append(
            Exposure(
                version=model.version,
                network=model.network,
                batches=model.batches,
                new=new,
                new_samples=sum(int(batch.properties.get("samples", 0)) for batch in new),
                test_loss=loss,
                change=loss - loss_before,
            )
        )
    return exposures


def versions(graph: Graph) -> list[ModelVersion]:
    """The model versions of a run whose metadata were read."""
    found: list[ModelVersion] = []
    deployments = graph.deployments()
    by_weights: dict[str, str] = {}
    by_network: dict[str, str] = {}
    seen: dict[str, list[str]] = {}
    for version, training in trainings(graph).items():
        network = str(training.properties.get("network", ""))
        produced = set(graph.after[training.id])
        before = next(
            (by_weights[key] for key in graph.before[training.id] if key in by_weights),
            by_network.get(network),
        )
        sets = tuple(key for key in graph.before[training.id] if key not in by_weights)
        for key in sets:
            if key not in seen:
                seen[key] = _batches(graph, key)
        model = graph.script(graph.after[training.id])
        chosen = tuple(execution for execution, key in deployments if key in produced)
        found.append(
            ModelVersion(
                version=version,
                network=network,
                iteration=int(training.properties.get("iteration", 0)),
                losses={
                    part: float(training.metrics[f"{part}_loss"])
                    for part in LOSSES
                    if f"{part}_loss" in training.metrics
                },
                batches=tuple(
                    graph.artifacts[key]
                    for key in dict.fromkeys(batch for one in sets for batch in seen[one])
                ),
                before=before,
                script=graph.artifacts[model] if model is not None else None,
                training=training,
                deployed=bool(chosen) and chosen[-1] is deployments[-1][0],
                deployments=chosen,
            )
        )
        by_weights |= dict.fromkeys(produced, version)
        by_network[network] = version
    return found


def _batches(graph: Graph, training_set: str) -> list[str]:
    """The ids of the sampler's batches that a training set was made of."""
    parts = (
        part
        for execution in graph.before[training_set]
        if graph.executions[execution].context == "assemble"
        for part in graph.before[execution]
    )
    return [
        part
        for part in parts
        if any(graph.executions[one].context == "sample" for one in graph.before[part])
    ]
