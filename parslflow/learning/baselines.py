"""Stage: plain regressions on a training set, to tell what a network adds to them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt

from parslflow.learning.assemble import read_with_clusters
from parslflow.learning.settings import BASELINES
from parslflow.records import Artifact
from parslflow.records import Inputs
from parslflow.records import Record
from parslflow.records import Report
from parslflow.records import Value

PARTS = ("train", "validation", "test")
"""The parts of the training set that each has a loss on."""


class BaselinesInputs(Inputs):
    """The inputs of ``baselines``."""

    training_set: Path
    clusters_file: Path
    seed: NonNegativeInt


def baselines(inputs: BaselinesInputs, report: Report) -> Record:
    """Fit each of ``BASELINES`` to the training part, and measure its loss as a network's.

    Features and target are those that the networks see: transformed, and ln(1 + EKE). The metric
    ``withheld_variance`` is the target's variance among the training rows of the withheld cluster;
    it is left out where there are none.

    Raises:
        UsageError: A file is missing, damaged or does not go with the other.
    """
    # Here, since the driver imports this module for its inputs and needs no scikit-learn.
    from sklearn.dummy import DummyRegressor
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LinearRegression
    from threadpoolctl import threadpool_limits

    start = time.perf_counter()
    training_set, clusters = read_with_clusters(inputs.training_set, inputs.clusters_file)
    pairs: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    for part in PARTS:
        samples = training_set.part(part)
        pairs[part] = clusters.transform(samples.features), np.log1p(samples.eke)
    models: tuple[Any, ...] = (
        DummyRegressor(),
        LinearRegression(),
        # All rows and all rounds, however many rows there are; scikit-learn takes 32 bits of seed.
        HistGradientBoostingRegressor(early_stopping=False, random_state=inputs.seed % 2**32),
    )
    metrics: dict[str, Value] = {}
    # One thread: those of the trees meet thousands of times, and beside trainings that share their
    # cores each meeting waits for a core.
    with threadpool_limits(1):
        for name, model in zip(BASELINES, models, strict=True):
            model.fit(*pairs["train"])
            losses: dict[str, Value] = {
                f"{part}_loss": float(((model.predict(x) - y) ** 2).mean())
                for part, (x, y) in pairs.items()
            }
            report("baseline", baseline=name, **losses)
            metrics |= {f"{name}_{key}": loss for key, loss in losses.items()}
    trained = training_set.part("train")
    withheld = np.log1p(trained.eke[trained.cluster == clusters.withheld])
    if len(withheld):
        metrics["withheld_variance"] = float(withheld.var())
    return Record(
        read=(Artifact(inputs.training_set, "dataset"), Artifact(inputs.clusters_file, "dataset")),
        metrics={**metrics, "seconds": time.perf_counter() - start},
    )
