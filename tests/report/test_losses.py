from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from parslflow.errors import ParslflowError
from parslflow.provenance import events
from parslflow.report.losses import read_losses


def train(
    journal: Path, network: str, iteration: int, losses: list[tuple[float, float]], test: float
) -> None:
    with events.execution(
        journal,
        pipeline="demo",
        context="train",
        name=f"train-{network}-{iteration}",
        properties={"network": network, "iteration": iteration},
    ) as run:
        for epoch, (training, validation) in enumerate(losses, start=1):
            run.metric(
                "epoch",
                {
                    "epoch": epoch,
                    "epochs": len(losses),
                    "train_loss": training,
                    "validation_loss": validation,
                },
            )
        run.result({"test_loss": test})


def train_and_fail(journal: Path) -> None:
    with events.execution(
        journal,
        pipeline="demo",
        context="train",
        name="train-A-1",
        properties={"network": "A", "iteration": 1},
    ) as run:
        run.metric("epoch", {"train_loss": 0.0, "validation_loss": 0.0})
        raise RuntimeError("the node was lost")


def test_iterations_follow_one_another(tmp_path: Path) -> None:
    # Written out of order, and ten iterations so that a sort by text would fail.
    for iteration in reversed(range(11)):
        train(tmp_path, "B", iteration, [(iteration, iteration + 0.5)] * 2, 10.0 - iteration)
    train(tmp_path, "A", 0, [(3.0, 4.0), (2.0, 3.0), (1.0, 2.0)], 1.5)
    histories = read_losses(tmp_path)
    assert list(histories) == ["A", "B"]
    np.testing.assert_array_equal(histories["A"].train, [3, 2, 1])
    np.testing.assert_array_equal(histories["A"].validation, [4, 3, 2])
    np.testing.assert_array_equal(histories["A"].ends, [3])
    np.testing.assert_array_equal(histories["A"].test, [1.5])
    np.testing.assert_array_equal(histories["B"].train, np.repeat(np.arange(11.0), 2))
    np.testing.assert_array_equal(histories["B"].ends, np.arange(2, 23, 2))
    np.testing.assert_array_equal(histories["B"].test, 10 - np.arange(11.0))


def test_failed_unfinished_and_other_executions_do_not_count(tmp_path: Path) -> None:
    train(tmp_path, "A", 0, [(9.0, 9.0)], 9.0)
    train(tmp_path, "A", 0, [(1.0, 2.0)], 3.0)
    with pytest.raises(RuntimeError, match="lost"):
        train_and_fail(tmp_path)
    with events.execution(tmp_path, pipeline="demo", context="sample", name="sample-1") as run:
        run.metric("epoch", {"train_loss": 0.0, "validation_loss": 0.0})
    (tmp_path / "cut.jsonl").write_bytes(b'{"schema": 1, "event": "star')
    histories = read_losses(tmp_path)
    assert list(histories) == ["A"]
    np.testing.assert_array_equal(histories["A"].train, [1])
    np.testing.assert_array_equal(histories["A"].test, [3])


def train_part(journal: Path, epochs: range, loss: float, inputs: str, *, completed: bool) -> None:
    """A training of four epochs that went on from a checkpoint, and was stopped or not."""
    with (
        suppress(KeyboardInterrupt),
        events.execution(
            journal,
            pipeline="demo",
            context="train",
            name="train-A-0",
            properties={"network": "A", "iteration": 0, "inputs": inputs},
        ) as run,
    ):
        for epoch in epochs:
            row = {"epoch": epoch, "epochs": 4, "train_loss": loss, "validation_loss": loss + epoch}
            run.metric("epoch", row)
        if not completed:
            raise KeyboardInterrupt
        run.result({"test_loss": loss})


def test_a_training_that_was_stopped_is_whole(tmp_path: Path) -> None:
    train_part(tmp_path, range(1, 5), 9.0, "other", completed=True)
    # The last epoch that was logged is after the checkpoint, so it was trained again.
    train_part(tmp_path, range(1, 3), 1.0, "same", completed=False)
    train_part(tmp_path, range(2, 4), 2.0, "same", completed=False)
    train_part(tmp_path, range(3, 5), 3.0, "same", completed=True)
    train_part(tmp_path, range(1, 2), 9.0, "same", completed=False)
    history = read_losses(tmp_path)["A"]
    np.testing.assert_array_equal(history.train, [1, 2, 3, 3])
    np.testing.assert_array_equal(history.validation, [2, 4, 6, 7])
    np.testing.assert_array_equal(history.ends, [4])
    np.testing.assert_array_equal(history.test, [3])


def test_a_training_from_the_beginning_has_no_epochs_of_a_longer_one(tmp_path: Path) -> None:
    train_part(tmp_path, range(1, 5), 1.0, "same", completed=False)
    train_part(tmp_path, range(1, 3), 2.0, "same", completed=True)
    np.testing.assert_array_equal(read_losses(tmp_path)["A"].train, [2, 2])


def test_a_journal_without_a_completed_training_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="lost"):
        train_and_fail(tmp_path)
    with pytest.raises(ParslflowError, match=f"{tmp_path.name} holds no completed training"):
        read_losses(tmp_path)


def test_a_training_without_a_test_loss_has_nan(tmp_path: Path) -> None:
    with events.execution(
        tmp_path,
        pipeline="demo",
        context="train",
        name="train-A-0",
        properties={"network": "A", "iteration": 0},
    ) as run:
        run.result({"train_loss": 1.0})
    history = read_losses(tmp_path)["A"]
    assert history.train.size == 0
    np.testing.assert_array_equal(history.ends, [0])
    np.testing.assert_array_equal(history.test, [np.nan])
