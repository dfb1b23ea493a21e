from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from parslflow.provenance import answers
from parslflow.provenance import models

from .loop import LOSSES

pytestmark = pytest.mark.timeout(300)


def test_the_versions_with_their_losses_and_which_is_deployed(loop_run: Path) -> None:
    found = models.models(loop_run)
    assert {one.version: one.losses["test"] for one in found} == LOSSES
    assert [one.version for one in found if one.deployed] == ["EKE-ResNet-1"]
    assert {one.version: [each.name for each in one.deployments] for one in found} == {
        **{version: [] for version in LOSSES},
        "EKE-ResNet-1": ["rollback-1"],
        "EKE-ResNet-2": ["deploy"],
    }
    assert [one.before for one in found] == [
        None,
        None,
        "EKE-ResNet-0",
        "EKE-Bottleneck-0",
        "EKE-ResNet-1",
        "EKE-Bottleneck-1",
    ]


def test_what_each_saw_and_how_its_loss_moved(loop_run: Path) -> None:
    found = {one.version: one for one in models.batches(loop_run)}
    last = found["EKE-ResNet-2"]
    assert [batch.path for batch in last.batches] == ["samples/batch-1.h5", "samples/batch-2.h5"]
    assert [batch.path for batch in last.new] == ["samples/batch-2.h5"]
    assert last.new_samples == 300
    assert last.change == pytest.approx(-0.1)
    assert found["EKE-Bottleneck-1"].change == pytest.approx(0.05)
    assert found["EKE-ResNet-0"].batches == ()
    assert math.isnan(found["EKE-ResNet-0"].change)


def test_as_tables_and_json(loop_run: Path) -> None:
    lines = answers.of_models(models.models(loop_run)).split("\n")
    assert lines[3].split() == [
        *("EKE-ResNet-1", "1", "1", "0.4000", "-", "-", "0.6500", "deployed"),
    ]
    assert lines[5].endswith("was deployed")
    assert "samples/batch-2.h5" in answers.of_batches(models.batches(loop_run))
    written = json.loads(answers.to_json(models.batches(loop_run)))
    assert written[0]["change"] is None
    assert written[4]["new"][0]["path"] == "samples/batch-2.h5"
