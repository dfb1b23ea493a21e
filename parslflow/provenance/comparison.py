"""The difference between two model versions: data, settings, code, metrics."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from parslflow.errors import ParslflowError
from parslflow.provenance.events import Value
from parslflow.provenance.finding import find_version
from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import Execution
from parslflow.provenance.graph import Graph
from parslflow.provenance.graph import reach
from parslflow.provenance.graph import read
from parslflow.provenance.inputs import flat
from parslflow.provenance.models import ModelVersion
from parslflow.provenance.models import versions
from parslflow.rundir import RunDir

Pair = tuple[Value | None, Value | None]
"""What two versions have; None where one has nothing."""

_CODE = ("commit", "environment", "host", "job")


@dataclass(frozen=True)
class Input:
    """A file that only one of two models stands on."""

    role: str
    """``training set``, ``batch``, ``weights``, or the context of the execution that made it."""
    artifact: Artifact


@dataclass(frozen=True)
class Comparison:
    """How the model version ``b`` differs from ``a``."""

    a: ModelVersion
    b: ModelVersion
    only_a: tuple[Input, ...]
    """The data and models behind ``a`` alone."""
    only_b: tuple[Input, ...]
    """The data and models behind ``b`` alone."""
    shared: int
    """How many files stand behind both."""
    samples: dict[str, Pair]
    """Numbers of samples: what their training sets were made of, where they differ."""
    settings: dict[str, Pair]
    """Settings of their trainings by ``table.key``, where they differ."""
    code: dict[str, Pair]
    """Git commit, hash of the environment, command and the like, where they differ."""
    metrics: dict[str, Pair]
    """All metrics of their trainings, side by side."""


def compare(run_root: Path, a: str, b: str) -> Comparison:
    """Compare two model versions.

    Args:
        run_root: the run directory.
        a: a version such as ``EKE-ResNet-0``, or what its weights or script is called.
        b: the other one.

    Raises:
        UsageError: one of them is no model version of the run.
        ParslflowError: the run has no metadata, or the settings of a training are gone.
    """
    graph = read(run_root)
    found = {model.version: model for model in versions(graph)}
    one, other = (found[find_version(graph, name)] for name in (a, b))
    inputs = [_inputs(graph, model) for model in (one, other)]
    return Comparison(
        a=one,
        b=other,
        only_a=_only(inputs[0], inputs[1]),
        only_b=_only(inputs[1], inputs[0]),
        shared=len(inputs[0].keys() & inputs[1].keys()),
        samples=_differing(*(_samples(graph, model) for model in (one, other))),
        settings=_differing(*(_settings(run_root, model.training) for model in (one, other))),
        code=_code(one.training, other.training),
        metrics=_pairs(one.training.metrics, other.training.metrics),
    )


def _inputs(graph: Graph, model: ModelVersion) -> dict[str, Input]:
    """Every file that stands behind a model, by its id."""
    direct = set(graph.before[model.training.id])
    batches = {batch.id for batch in model.batches}
    inputs = {}
    for key in reach([model.training.id], graph.before):
        if (artifact := graph.artifacts.get(key)) is None:
            continue
        makers = [graph.executions[one].context for one in graph.before[key]]
        if artifact.kind == "model":
            role = "weights"
        elif key in batches:
            role = "batch"
        elif key in direct and "assemble" in makers:
            role = "training set"
        else:
            role = makers[0] if makers else "input"
        inputs[key] = Input(role, artifact)
    return inputs


def _only(inputs: Mapping[str, Input], others: Mapping[str, Input]) -> tuple[Input, ...]:
    order = ("training set", "batch", "weights")
    return tuple(
        sorted(
            (one for key, one in inputs.items() if key not in others),
            key=lambda one: (
                order.index(one.role) if one.role in order else len(order),
                one.role,
                one.artifact.path,
            ),
        )
    )


def _samples(graph: Graph, model: ModelVersion) -> dict[str, Value]:
    """The numbers of samples that a training set was made of."""
    makers = [
        graph.executions[one]
        for key in graph.before[model.training.id]
        for one in graph.before[key]
        if graph.executions[one].context == "assemble"
    ]
    numbers: dict[str, Value] = {
        "batches": len(model.batches),
        "samples in batches": sum(int(one.properties.get("samples", 0)) for one in model.batches),
    }
    for maker in makers:
        numbers |= maker.metrics
    return numbers


def _settings(run_root: Path, training: Execution) -> dict[str, Value]:
    """The inputs of a training's stage, flat; paths are relative to the run directory."""
    path = RunDir(run_root).stages / f"{training.name}.json"
    try:
        stage = json.loads(path.read_text(encoding="utf-8"))
        inputs, root = stage["inputs"], Path(stage["journal"]).parent
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ParslflowError(
            f"{path}, which has the settings of {training.name}, cannot be read ({error}): bring "
            "it back from where the run was copied from."
        ) from None
    return {
        key: value.removeprefix(f"{root}/") if isinstance(value, str) else value
        for key, value in flat(inputs)
    }


def _code(a: Execution, b: Execution) -> dict[str, Pair]:
    code = _differing(
        *({key: one.properties.get(key, "") for key in _CODE} for one in (a, b)),
    )
    commands = [Counter(one.command.split()) for one in (a, b)]
    only = [" ".join((commands[n] - commands[1 - n]).elements()) for n in (0, 1)]
    if any(only):
        code["command"] = (only[0], only[1])
    return code


def _pairs(a: Mapping[str, Value], b: Mapping[str, Value]) -> dict[str, Pair]:
    return {key: (a.get(key), b.get(key)) for key in dict.fromkeys([*a, *b])}


def _differing(a: Mapping[str, Value], b: Mapping[str, Value]) -> dict[str, Pair]:
    return {key: pair for key, pair in _pairs(a, b).items() if pair[0] != pair[1]}
