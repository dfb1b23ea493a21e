from __future__ import annotations

import json
from pathlib import Path

import pytest

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.provenance import answers
from parslflow.provenance.comparison import compare

pytestmark = pytest.mark.timeout(300)


def test_data_settings_and_metrics(loop_run: Path) -> None:
    found = compare(loop_run, "EKE-ResNet-0", "models/EKE-ResNet-2.script.pt")
    # Its training set stands behind the later model too, by the weights that it started from.
    assert found.only_a == ()
    assert [(one.role, one.artifact.path) for one in found.only_b][:5] == [
        ("training set", "samples/training-2.h5"),
        ("batch", "samples/batch-1.h5"),
        ("batch", "samples/batch-2.h5"),
        ("weights", "models/EKE-ResNet-0.pt"),
        ("weights", "models/EKE-ResNet-1.pt"),
    ]
    assert found.shared == 3
    assert found.samples == {
        "batches": (0, 2),
        "samples in batches": (0, 700),
        "withheld_rows": (0, 2000),
    }
    assert found.settings == {
        "training_set": ("samples/training-0.h5", "samples/training-2.h5"),
        "settings.epochs": (20, 10),
        "start_from": (None, "models/EKE-ResNet-1.pt"),
    }
    assert found.code == {}
    assert found.metrics == {"test_loss": (0.9, 0.55), "train_loss": (0.4, 0.4)}


def test_a_version_does_not_differ_from_itself(loop_run: Path) -> None:
    found = compare(loop_run, "EKE-ResNet-1", "EKE-ResNet-1")
    assert found.only_a == found.only_b == ()
    assert found.samples == found.settings == found.code == {}
    assert "Settings: no difference" in answers.of_comparison(found)


def test_as_text_and_json(loop_run: Path) -> None:
    found = compare(loop_run, "EKE-ResNet-1", "EKE-Bottleneck-1")
    text = answers.of_comparison(found)
    assert "test_loss" in text
    assert "+0.2" in text
    assert json.loads(answers.to_json(found))["metrics"]["test_loss"] == [0.65, 0.85]


def test_what_is_no_version_or_has_no_settings_is_named(own_run: Path) -> None:
    with pytest.raises(UsageError, match=r"samples/base\.h5"):
        compare(own_run, "EKE-ResNet-1", "samples/base.h5")
    stage = own_run / "stages" / "train-EKE-ResNet-1.json"
    stage.write_text("{")
    with pytest.raises(ParslflowError, match=r"train-EKE-ResNet-1\.json"):
        compare(own_run, "EKE-ResNet-0", "EKE-ResNet-1")
