"""The losses of every training of a run, read from its journal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parslflow.errors import ParslflowError
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


def read_losses(journal: Path) -> dict[str, LossHistory]:
    """The loss histories by network, networks in alphabetical order.

    An execution of context ``train`` says in its properties ``network`` and ``iteration`` what it
    trained. Of those that trained the same, the last that completed counts.

    Raises:
        ParslflowError: there is none.
    """
    found: dict[tuple[str, int], list[_Event]] = {}
    for paths in journals.files(journal).values():
        training = journals.read_file(paths[0])
        if not training or training[0].get("context") != "train":
            continue
        if training[-1].get("status") != "completed":
            continue
        properties = training[0]["properties"]
        key = str(properties["network"]), int(properties["iteration"])
        if key not in found or found[key][0]["time"] < training[0]["time"]:
            found[key] = training
    if not found:
        raise ParslflowError(f"{journal} holds no completed training: wait until one has ended.")
    networks: dict[str, list[list[_Event]]] = {}
    for (network, _), training in sorted(found.items(), key=lambda item: item[0]):
        networks.setdefault(network, []).append(training)
    return {network: _history(trainings) for network, trainings in networks.items()}


def _history(trainings: list[list[_Event]]) -> LossHistory:
    """The history of one network's trainings, given in the order of the iterations."""
    epochs = [
        [event["values"] for event in training if event.get("series") == "epoch"]
        for training in trainings
    ]
    results: list[dict[str, Any]] = [
        {
            key: value
            for event in training
            if event["event"] == "result"
            for key, value in event["values"].items()
        }
        for training in trainings
    ]
    rows = [row for training in epochs for row in training]
    return LossHistory(
        train=np.array([float(row["train_loss"]) for row in rows]),
        validation=np.array([float(row["validation_loss"]) for row in rows]),
        ends=np.cumsum([len(training) for training in epochs]),
        test=np.array([float(result.get("test_loss", math.nan)) for result in results]),
    )
