"""What the stages make of a small simulation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from parslflow.learning.assemble import AssembleInputs
from parslflow.learning.assemble import TrainingSet
from parslflow.learning.assemble import assemble
from parslflow.learning.assemble import write_training_set
from parslflow.learning.clusters import Clusters
from parslflow.learning.prepare import prepare
from parslflow.learning.settings import NetworkName
from parslflow.learning.settings import TrainingSettings
from parslflow.learning.settings import TrainInputs
from parslflow.records import Record

from .synthetic import make_samples
from .synthetic import prepare_inputs
from .synthetic import silent
from .synthetic import write_daily


@dataclass(frozen=True)
class Prepared:
    """What ``prepare`` and ``assemble`` made."""

    daily: Path
    base: Path
    clusters_file: Path
    training_set: Path
    record: Record


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The base data of a small simulation, and a training set of them."""
    folder = tmp_path_factory.mktemp("prepared")
    daily = write_daily(folder / "daily.nc")
    inputs = prepare_inputs(folder, daily)
    record = prepare(inputs, silent)
    assemble(
        AssembleInputs(
            base=inputs.samples,
            batches=[],
            clusters_file=inputs.clusters_file,
            rows=2000,
            seed=3,
            output=folder / "training.h5",
        ),
        silent,
    )
    return Prepared(daily, inputs.samples, inputs.clusters_file, folder / "training.h5", record)


@pytest.fixture(scope="session")
def learnable(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training set whose EKE is a function of the features, all its parts alike."""
    path = tmp_path_factory.mktemp("learnable") / "training.h5"
    clusters = Clusters.load(prepared.clusters_file)
    samples = make_samples(2000)
    split = np.searchsorted([1400, 1600, 1800], np.arange(2000), side="right").astype(np.int8)
    write_training_set(path, TrainingSet(samples, split, clusters.id), {})
    return path


def train_inputs(
    folder: Path,
    prepared: Prepared,
    training_set: Path,
    network: NetworkName = "EKE-ResNet",
    start_from: Path | None = None,
    **settings: float | str,
) -> TrainInputs:
    """Inputs of a training of a few epochs, whose files go to ``folder``."""
    values = {"epochs": 8, "batch_size": 64, "learning_rate": 5e-3, **settings}
    return TrainInputs(
        network=network,
        iteration=0,
        training_set=training_set,
        clusters_file=prepared.clusters_file,
        start_from=start_from,
        settings=TrainingSettings.model_validate(values),
        seed=4,
        threads=1,
        device="cpu",
        weights=folder / "weights.pt",
        script=folder / "script.pt",
    )
