from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from parslflow.errors import UsageError
from parslflow.learning.assemble import PARTS
from parslflow.learning.assemble import TrainingSet
from parslflow.learning.assemble import read_training_set
from parslflow.learning.assemble import write_training_set
from parslflow.learning.baselines import BaselinesInputs
from parslflow.learning.baselines import baselines
from parslflow.learning.clusters import Clusters
from parslflow.learning.samples import Samples
from parslflow.records import Record

from .conftest import Prepared
from .synthetic import make_samples
from .synthetic import silent


def fit(prepared: Prepared, training_set: Path) -> Record:
    inputs = BaselinesInputs(
        training_set=training_set, clusters_file=prepared.clusters_file, seed=4
    )
    return baselines(inputs, silent)


def written(prepared: Prepared, path: Path, *, linear: bool) -> TrainingSet:
    """A training set of all clusters: its target linear in the transformed features, or not."""
    clusters = Clusters.load(prepared.clusters_file)
    samples = make_samples(3000)
    x = clusters.transform(samples.features)
    centred = x - np.median(x, axis=0)
    target = 20 + x @ [1.0, -0.5, 0.25, 2.0]
    if not linear:
        target = 3 + np.sign(centred[:, 0] * centred[:, 3])
    samples = Samples(**{**vars(samples), "eke": np.expm1(target)})
    split = np.arange(3000, dtype=np.int8) % len(PARTS)
    training_set = TrainingSet(samples, split, clusters.id)
    write_training_set(path, training_set, {})
    return training_set


def test_the_constant_is_the_mean_of_the_training_part(prepared: Prepared) -> None:
    record = fit(prepared, prepared.training_set)
    training_set = read_training_set(prepared.training_set)
    mean = np.log1p(training_set.part("train").eke).mean()
    for part in ("train", "validation", "test"):
        target = np.log1p(training_set.part(part).eke)
        expected = ((target - mean) ** 2).mean()
        assert record.metrics[f"constant_{part}_loss"] == pytest.approx(expected)
    # In the first iteration no row of the withheld cluster is trained on.
    assert "withheld_variance" not in record.metrics
    assert record.wrote == ()


def test_a_line_is_found_by_the_linear_regression(prepared: Prepared, tmp_path: Path) -> None:
    training_set = written(prepared, tmp_path / "line.h5", linear=True)
    metrics = fit(prepared, tmp_path / "line.h5").metrics
    assert float(metrics["linear_test_loss"]) < 1e-12
    assert float(metrics["constant_test_loss"]) > 1
    train = training_set.part("train")
    withheld = train.eke[train.cluster == Clusters.load(prepared.clusters_file).withheld]
    assert metrics["withheld_variance"] == pytest.approx(np.log1p(withheld).var())


def test_what_is_not_linear_is_found_by_the_trees_alone(prepared: Prepared, tmp_path: Path) -> None:
    written(prepared, tmp_path / "signs.h5", linear=False)
    metrics = fit(prepared, tmp_path / "signs.h5").metrics
    assert float(metrics["boosted_trees_test_loss"]) < 0.1
    assert float(metrics["linear_test_loss"]) > 0.5


def test_the_same_inputs_give_the_same_losses(prepared: Prepared) -> None:
    first, again = (fit(prepared, prepared.training_set).metrics for _ in range(2))
    for key in first.keys() - {"seconds"}:
        assert first[key] == again[key]


def test_a_training_set_of_other_clusters_is_named(prepared: Prepared, tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    write_training_set(path, TrainingSet(make_samples(4), np.arange(4, dtype=np.int8), "other"), {})
    with pytest.raises(UsageError, match=r"other\.h5 was made with other clusters"):
        fit(prepared, path)
