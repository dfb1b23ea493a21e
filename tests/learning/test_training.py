from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.learning.assemble import PARTS
from parslflow.learning.assemble import TrainingSet
from parslflow.learning.assemble import write_training_set
from parslflow.learning.clusters import Clusters
from parslflow.learning.deployment import Deployable
from parslflow.learning.networks import NETWORKS
from parslflow.learning.settings import NetworkName
from parslflow.learning.settings import TrainingSettings
from parslflow.learning.settings import TrainInputs
from parslflow.learning.training import train
from parslflow.records import Value

from .conftest import Prepared
from .conftest import train_inputs
from .synthetic import make_samples
from .synthetic import silent


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_losses_fall(
    prepared: Prepared, learnable: Path, tmp_path: Path, network: NetworkName, optimizer: str
) -> None:
    rows: list[dict[str, Value]] = []

    def report(series: str, /, **values: Value) -> None:
        assert series == "epoch"
        rows.append(values)

    inputs = train_inputs(tmp_path, prepared, learnable, network=network, optimizer=optimizer)
    metrics = train(inputs, report).metrics
    of_the_best_constant = float(np.log1p(make_samples(2000).eke).var())

    assert [row["epoch"] for row in rows] == list(range(1, 9))
    assert {row["epochs"] for row in rows} == {8}
    assert set(rows[0]) == {"epoch", "epochs", "train_loss", "validation_loss"}
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"]) / 2
    for name in ("train_loss", "validation_loss", "known_loss", "test_loss"):
        assert 0 < float(metrics[name]) < 0.3 * of_the_best_constant
    assert metrics["train_loss"] == rows[-1]["train_loss"]
    assert metrics["validation_loss"] == pytest.approx(rows[-1]["validation_loss"])
    assert metrics["epochs"] == 8
    assert metrics["samples"] == 1400
    assert float(metrics["seconds"]) > 0


def test_the_files_hold_the_network_whose_losses_were_reported(
    prepared: Prepared, learnable: Path, tmp_path: Path
) -> None:
    inputs = train_inputs(tmp_path, prepared, learnable, epochs=2)
    record = train(inputs, silent)

    network = NETWORKS[inputs.network](dropout=0.0)
    network.load_state_dict(torch.load(inputs.weights, weights_only=True))
    module = Deployable(Clusters.load(prepared.clusters_file), network).eval()
    samples = make_samples(2000).take(np.arange(1800, 2000))
    features, target = torch.from_numpy(samples.features), torch.from_numpy(np.log1p(samples.eke))
    with torch.inference_mode(), pytest.warns(DeprecationWarning, match=r"torch\.jit"):
        eager, script = module(features), torch.jit.load(inputs.script)(features)
    torch.testing.assert_close(script, eager, rtol=1e-4, atol=1e-5)
    test_loss = float((eager - target).square().mean())
    assert test_loss == pytest.approx(record.metrics["test_loss"], rel=1e-5)

    assert [artifact.path for artifact in record.wrote] == [inputs.weights, inputs.script]
    for artifact in record.wrote:
        assert artifact.kind == "model"
        assert artifact.properties["network"] == "EKE-ResNet"
        assert artifact.properties["test_loss"] == record.metrics["test_loss"]
    assert [artifact.path for artifact in record.read] == [learnable, prepared.clusters_file]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_same_inputs_give_the_same_weights(
    prepared: Prepared, learnable: Path, tmp_path: Path, network: NetworkName
) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        train(train_inputs(folder, prepared, learnable, network, epochs=1, dropout=0.2), silent)
    first, again = ((folder / "weights.pt").read_bytes() for folder in folders)
    assert first == again
    other = train_inputs(tmp_path / "c", prepared, learnable, network, epochs=1, dropout=0.2)
    train(other.model_copy(update={"seed": 5}), silent)
    assert other.weights.read_bytes() != first


def test_retraining_goes_on_from_the_weights(
    prepared: Prepared, learnable: Path, tmp_path: Path
) -> None:
    first = train_inputs(tmp_path / "first", prepared, learnable, epochs=8)
    before = train(first, silent).metrics
    again = train_inputs(
        tmp_path / "again", prepared, learnable, start_from=first.weights, epochs=1,
        learning_rate=1e-6,
    )  # fmt: skip
    record = train(again, silent)
    assert record.metrics["test_loss"] == pytest.approx(before["test_loss"], rel=0.2)
    assert record.read[-1].path == first.weights
    assert record.read[-1].kind == "model"


def test_it_stops_when_the_validation_loss_is_low_enough(
    prepared: Prepared, learnable: Path, tmp_path: Path
) -> None:
    inputs = train_inputs(tmp_path, prepared, learnable, epochs=50, stop_below=0.4)
    metrics = train(inputs, silent).metrics
    assert float(metrics["validation_loss"]) < 0.4
    assert int(metrics["epochs"]) < 50


def test_a_real_training_set_trains(prepared: Prepared, tmp_path: Path) -> None:
    inputs = train_inputs(tmp_path, prepared, prepared.training_set, epochs=1)
    metrics = train(inputs, silent).metrics
    assert np.isfinite([metrics[f"{name}_loss"] for name in ("train", "known", "test")]).all()


def test_divergence_is_named_and_writes_nothing(
    prepared: Prepared, learnable: Path, tmp_path: Path
) -> None:
    inputs = train_inputs(tmp_path, prepared, learnable, optimizer="sgd", learning_rate=1e30)
    with pytest.raises(ParslflowError, match=r"EKE-ResNet diverged on .*training\.h5 in epoch 1"):
        train(inputs, silent)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_network_are_named(
    prepared: Prepared, learnable: Path, tmp_path: Path
) -> None:
    first = train_inputs(tmp_path / "first", prepared, learnable, epochs=1)
    train(first, silent)
    again = train_inputs(
        tmp_path, prepared, learnable, network="EKE-Bottleneck", start_from=first.weights
    )
    with pytest.raises(UsageError, match=r"weights\.pt does not hold the weights of EKE-Bottle"):
        train(again, silent)


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 cut"])
def test_damaged_weights_are_named(
    prepared: Prepared, learnable: Path, tmp_path: Path, content: bytes
) -> None:
    before = tmp_path / "before.pt"
    before.write_bytes(content)
    with pytest.raises(UsageError, match=r"before\.pt does not hold the weights"):
        train(train_inputs(tmp_path, prepared, learnable, start_from=before), silent)


def test_missing_weights_are_named(prepared: Prepared, learnable: Path, tmp_path: Path) -> None:
    inputs = train_inputs(tmp_path, prepared, learnable, start_from=tmp_path / "none.pt")
    with pytest.raises(UsageError, match=r"none\.pt does not exist"):
        train(inputs, silent)


def test_a_training_set_of_other_clusters_is_named(prepared: Prepared, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    split = np.zeros(10, dtype=np.int8)
    write_training_set(other, TrainingSet(make_samples(10), split, "other"), {})
    with pytest.raises(UsageError, match=r"other\.h5 was made with other clusters"):
        train(train_inputs(tmp_path, prepared, other), silent)


def test_a_device_that_is_not_there_is_named(
    prepared: Prepared, learnable: Path, tmp_path: Path
) -> None:
    inputs = train_inputs(tmp_path, prepared, learnable).model_copy(update={"device": "abacus"})
    with pytest.raises(UsageError, match="device 'abacus' is not to be had"):
        train(inputs, silent)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 1},
        {"learning_rate": 0},
        {"dropout": 1},
        {"optimizer": "lbfgs"},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float | str]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        TrainingSettings.model_validate(
            {"epochs": 1, "batch_size": 64, "learning_rate": 1e-3, **wrong}
        )


def test_inputs_survive_json(prepared: Prepared, learnable: Path, tmp_path: Path) -> None:
    inputs = train_inputs(tmp_path, prepared, learnable)
    assert TrainInputs.model_validate_json(inputs.model_dump_json()) == inputs
    assert set(PARTS) == {"train", "validation", "held", "test"}
