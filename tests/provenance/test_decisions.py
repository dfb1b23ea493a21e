from __future__ import annotations

import json
from pathlib import Path

import pytest

from parslflow.errors import UsageError
from parslflow.provenance import answers
from parslflow.provenance.database import open_metadata
from parslflow.provenance.decisions import why

from .loop import LOSSES
from .loop import REASON

pytestmark = pytest.mark.timeout(300)


def test_the_decisions_for_the_deployed_model(loop_run: Path) -> None:
    found = why(loop_run)
    assert (found.version, found.deployed) == ("EKE-ResNet-1", True)
    evaluation, rollback = found.chosen_by
    assert evaluation.execution.name == "evaluate-1"
    assert {one.version: one.then for one in evaluation.seen} == {
        version: loss for version, loss in LOSSES.items() if not version.endswith("2")
    }
    assert all(one.same for one in evaluation.seen)
    assert (evaluation.good_enough, evaluation.holds) == (False, True)
    assert (rollback.kind, rollback.before, rollback.reason) == ("rollback", "EKE-ResNet-2", REASON)
    assert rollback.holds
    assert [one.chosen for one in found.passed_by] == ["EKE-ResNet-2"]


def test_a_model_that_nobody_chose(loop_run: Path) -> None:
    found = why(loop_run, "EKE-Bottleneck-1")
    assert (found.deployed, found.deployed_by, found.chosen_by) == (False, (), ())
    assert [one.chosen for one in found.passed_by] == ["EKE-ResNet-1", "EKE-ResNet-2"]
    text = answers.of_why(found)
    assert "No decision chose it." in text
    assert "0.6500 against 0.8500" in text


def test_a_decision_is_borne_out_or_not(own_run: Path) -> None:
    before = why(own_run, "EKE-ResNet-2")
    assert [one.holds for one in before.chosen_by] == [True]
    change_loss(own_run, "EKE-Bottleneck-2", 0.75, to=0.5)
    (choice,) = why(own_run, "EKE-ResNet-2").chosen_by
    assert not choice.holds
    assert choice.replayed is not None
    assert choice.replayed.best == "EKE-Bottleneck-2"
    assert [one.version for one in choice.seen if not one.same] == ["EKE-Bottleneck-2"]
    text = answers.of_why(why(own_run, "EKE-ResNet-2"))
    assert "does NOT hold" in text
    assert "DIFFERS" in text


def test_as_json(loop_run: Path) -> None:
    written = json.loads(answers.to_json(why(loop_run)))
    assert written["chosen_by"][0]["replayed"]["best"] == "EKE-ResNet-1"
    assert written["chosen_by"][1]["threshold"] is None


def test_no_model_is_refused(loop_run: Path) -> None:
    with pytest.raises(UsageError, match=r"base\.h5"):
        why(loop_run, "base.h5")


def change_loss(root: Path, version: str, loss: float, *, to: float) -> None:
    """Change what CMF holds of a training."""
    store = open_metadata(root)
    (result,) = (
        one
        for one in store.get_artifacts_by_type("Metrics")
        if one.custom_properties["test_loss"].double_value == loss
    )
    result.custom_properties["test_loss"].double_value = to
    store.put_artifacts([result])
    assert version in LOSSES
