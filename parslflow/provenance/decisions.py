"""Why a model was chosen: the decision with the values that it saw, replayed and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from parslflow import workflow
from parslflow.errors import ParslflowError
from parslflow.provenance.finding import find_version
from parslflow.provenance.finding import trainings
from parslflow.provenance.finding import version_of
from parslflow.provenance.graph import Execution
from parslflow.provenance.graph import Graph
from parslflow.provenance.graph import read

_LOSS = "test_loss "
"""What a decision's values begin with that are test losses, before the version's name."""


@dataclass(frozen=True)
class Seen:
    """A test loss that a decision saw, and what CMF holds of that training now."""

    version: str
    then: float
    now: float | None
    """None if CMF has no such training any more."""

    same: bool
    """Whether they are equal."""


@dataclass(frozen=True)
class Choice:
    """One decision."""

    execution: Execution
    kind: Literal["evaluate", "rollback"]
    chosen: str
    seen: tuple[Seen, ...] = ()
    """What the driver compared; nothing in a rollback, which a user decides."""
    threshold: float = math.nan
    good_enough: bool = False
    replayed: workflow.Decision | None = None
    """What the driver's rule makes of the values that CMF holds now."""
    before: str = ""
    """In a rollback, the version that was deployed before."""
    reason: str = ""
    """In a rollback, what the user gave as the reason."""
    holds: bool = False
    """Whether CMF bears it out: the values are those that were seen and the rule makes the same
    choice of them; of a rollback, that the version before was the deployed one."""


@dataclass(frozen=True)
class Why:
    """Why a model version was chosen."""

    version: str
    chosen_by: tuple[Choice, ...]
    """The decisions for it, in their order; empty if nobody ever chose it."""
    passed_by: tuple[Choice, ...]
    """The decisions that saw it and chose another."""
    deployed_by: tuple[Execution, ...]
    """What deployed it."""
    deployed: bool
    """Whether it is the deployed model now."""


def why(run_root: Path, model: str | None = None) -> Why:
    """The decisions about a model version.

    Args:
        run_root: the run directory.
        model: a version, or what its weights or script is called; by default the deployed one.

    Raises:
        UsageError: there is no such model version.
        ParslflowError: the run has no metadata, or deployed no model.
    """
    graph = read(run_root)
    version = (
        version_of(graph, graph.deployed(run_root)) if model is None else find_version(graph, model)
    )
    choices = _choices(graph)
    deployments = [(one, version_of(graph, key)) for one, key in graph.deployments()]
    return Why(
        version=version,
        chosen_by=tuple(choice for choice in choices if choice.chosen == version),
        passed_by=tuple(
            choice
            for choice in choices
            if choice.chosen != version and version in (seen.version for seen in choice.seen)
        ),
        deployed_by=tuple(one for one, deployed in deployments if deployed == version),
        deployed=bool(deployments) and deployments[-1][1] == version,
    )


def _choices(graph: Graph) -> list[Choice]:
    deployments = graph.deployments()
    before: dict[str, str] = {}
    for (_, key), (execution, _) in pairwise(deployments):
        before[execution.id] = version_of(graph, key)
    now = {
        version: float(training.metrics["test_loss"])
        for version, training in trainings(graph).items()
        if "test_loss" in training.metrics
    }
    return [
        _rollback(execution, before.get(execution.id, ""))
        if execution.context == "rollback"
        else _evaluation(execution, now)
        for execution in graph.completed("evaluate", "rollback")
        if "best" in execution.metrics
    ]


def _evaluation(execution: Execution, now: Mapping[str, float]) -> Choice:
    """A decision of the driver, replayed with what CMF holds now."""
    values = execution.metrics
    then = {
        key.removeprefix(_LOSS): float(value)
        for key, value in values.items()
        if key.startswith(_LOSS)
    }
    # In the order of the trainings, in which the driver saw them: of equals it takes the first.
    seen = tuple(
        Seen(version, then[version], now.get(version), _same(then[version], now.get(version)))
        for version in [
            *(one for one in now if one in then),
            *(one for one in then if one not in now),
        ]
    )
    threshold = float(values.get("threshold", math.nan))
    try:
        replayed = workflow.decide(
            int(values.get("iteration", 0)),
            {one.version: one.now for one in seen if one.now is not None},
            threshold,
        )
    except ParslflowError:
        replayed = None
    chosen, good_enough = str(values["best"]), bool(values.get("good_enough", 0))
    return Choice(
        execution,
        "evaluate",
        chosen,
        seen,
        threshold,
        good_enough,
        replayed,
        holds=all(one.same for one in seen)
        and replayed is not None
        and (replayed.best, replayed.good_enough) == (chosen, good_enough),
    )


def _same(then: float, now: float | None) -> bool:
    return now is not None and (then == now or (math.isnan(then) and math.isnan(now)))


def _rollback(execution: Execution, deployed_before: str) -> Choice:
    values = execution.metrics
    before = str(values.get("before", ""))
    return Choice(
        execution,
        "rollback",
        str(values["best"]),
        before=before,
        reason=str(values.get("reason", "")),
        holds=before == deployed_before,
    )
