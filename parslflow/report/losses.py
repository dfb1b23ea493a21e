"""The losses of every training of a run, read from its journal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parslflow.provenance.schema import Ended
from parslflow.provenance.schema import Event
from parslflow.provenance.schema import Metric
from parslflow.provenance.schema import Result
from parslflow.provenance.schema import Started
from parslflow.provenance.schema import read_journal

Array = NDArray[np.float64]


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
    """
    found: dict[tuple[str, int], tuple[Started, list[Event]]] = {}
    for path in journal.glob("*.jsonl"):
        events, _ = read_journal(path)
        started = events[0] if events else None
        if not isinstance(started, Started) or started.context != "train":
            continue
        ended = events[-1]
        if not isinstance(ended, Ended) or ended.status != "completed":
            continue
        key = str(started.properties["network"]), int(started.properties["iteration"])
        if key not in found or found[key][0].time < started.time:
            found[key] = started, events
    trainings: dict[str, list[list[Event]]] = {}
    for (network, _), (_, events) in sorted(found.items(), key=lambda item: item[0]):
        trainings.setdefault(network, []).append(events)
    return {network: _history(iterations) for network, iterations in trainings.items()}


def _history(iterations: list[list[Event]]) -> LossHistory:
    epochs = [
        [event.values for event in events if isinstance(event, Metric) and event.series == "epoch"]
        for events in iterations
    ]
    test = []
    for events in iterations:
        results = [event.values for event in events if isinstance(event, Result)]
        test.append(next((float(r["test_loss"]) for r in results if "test_loss" in r), math.nan))
    rows = [row for iteration in epochs for row in iteration]
    return LossHistory(
        train=np.array([float(row["train_loss"]) for row in rows]),
        validation=np.array([float(row["validation_loss"]) for row in rows]),
        ends=np.cumsum([len(iteration) for iteration in epochs]),
        test=np.array(test),
    )
