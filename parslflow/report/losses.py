"""The losses of every training of a run, read from its journal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parslflow.errors import ParslflowError
from parslflow.finished import INPUTS
from parslflow.provenance import journal as journals

Array = NDArray[np.float64]
_Event = dict[str, Any]


@dataclass(frozen=True)
class LossHistory:
    """One network over all iterations: mean squared errors of ln(1 + EKE).

    Attributes:
        train: (epochs,), the iterations one after the other.
        validation: (epochs,)
        ends: (iterations,), how many epochs had gone by at the end of each iteration.
        test: (iterations,), the loss on the withheld cluster at the end of each iteration.
    """

    train: Array
    validation: Array
    ends: NDArray[np.int64]
    test: Array


@dataclass(frozen=True)
class _Training:
    """One network in one iteration."""

    epochs: list[dict[str, Any]]
    test: float


def read_losses(journal: Path) -> dict[str, LossHistory]:
    """The loss histories by network, networks in alphabetical order.

    An execution of context ``train`` says in its properties ``network`` and ``iteration`` what it
    trained. Of those that trained the same, the last that completed counts, with the epochs of
    those that it went on from.

    Raises:
        ParslflowError: there is none.
    """
    found: dict[tuple[str, int], list[list[_Event]]] = {}
    for paths in journals.files(journal).values():
        events = journals.read_file(paths[0])
        if events and events[0].get("context") == "train":
            properties = events[0]["properties"]
            key = str(properties["network"]), int(properties["iteration"])
            found.setdefault(key, []).append(events)
    networks: dict[str, list[_Training]] = {}
    for (network, _), executions in sorted(found.items(), key=lambda item: item[0]):
        training = _whole(executions)
        if training is not None:
            networks.setdefault(network, []).append(training)
    if not networks:
        raise ParslflowError(f"{journal} holds no completed training: wait until one has ended.")
    return {network: _history(trainings) for network, trainings in networks.items()}


def _whole(executions: list[list[_Event]]) -> _Training | None:
    """The training that the last completed one of some executions ended; None if none has."""
    executions = sorted(executions, key=lambda events: str(events[0]["time"]))
    while executions and executions[-1][-1].get("status") != "completed":
        executions.pop()
    if not executions:
        return None
    last = executions.pop()
    epochs = _epochs(last)
    for earlier in reversed(executions):
        if earlier[0]["properties"].get(INPUTS) == last[0]["properties"].get(INPUTS):
            # From a checkpoint on, epochs were trained again.
            first = min(epochs, default=0)
            before = {epoch: row for epoch, row in _epochs(earlier).items() if epoch < first}
            epochs = before | epochs
    test = [
        event["values"]["test_loss"]
        for event in last
        if event["event"] == "result" and "test_loss" in event["values"]
    ]
    return _Training(list(epochs.values()), float(test[-1]) if test else math.nan)


def _epochs(events: list[_Event]) -> dict[int, dict[str, Any]]:
    """The rows of one execution by their epochs."""
    return {
        int(event["values"]["epoch"]): event["values"]
        for event in events
        if event.get("series") == "epoch"
    }


def _history(trainings: list[_Training]) -> LossHistory:
    """The history of one network's trainings, given in the order of the iterations."""
    rows = [row for training in trainings for row in training.epochs]
    return LossHistory(
        train=np.array([float(row["train_loss"]) for row in rows]),
        validation=np.array([float(row["validation_loss"]) for row in rows]),
        ends=np.cumsum([len(training.epochs) for training in trainings]),
        test=np.array([training.test for training in trainings]),
    )
