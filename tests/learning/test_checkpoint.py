"""A training that is stopped at any moment ends with the bits of one that was not."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from parslflow import stages
from parslflow.errors import DivergedError
from parslflow.finished import Finished
from parslflow.learning import checkpoint
from parslflow.learning.networks import NETWORKS
from parslflow.learning.settings import NetworkName
from parslflow.learning.settings import TrainInputs
from parslflow.learning.training import train
from parslflow.provenance import graph as graphs
from parslflow.provenance import journal as journals
from parslflow.provenance.queries import lineage
from parslflow.provenance.writer import Writer
from parslflow.records import Value
from parslflow.report.losses import LossHistory
from parslflow.report.losses import read_losses
from parslflow.rundir import RunDir

from .conftest import Prepared
from .conftest import train_inputs
from .synthetic import silent

pytestmark = pytest.mark.timeout(400)


class Stop(BaseException):
    """The end of a training that no handler of errors knows of."""


class Rows:
    """Keeps what a training reports, and stops it after some epoch."""

    def __init__(self, stop_after: int = 0) -> None:
        self.epochs: list[dict[str, Value]] = []
        self.checkpoints: list[dict[str, Value]] = []
        self._stop_after = stop_after

    def __call__(self, series: str, /, **values: Value) -> None:
        if series == checkpoint.SERIES:
            self.checkpoints.append(values)
            return
        self.epochs.append(values)
        if values["epoch"] == self._stop_after:
            raise Stop


@pytest.fixture
def at_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)


def stop_after(epoch: int, inputs: TrainInputs) -> Path:
    """A training's checkpoint, which is that of the epoch before."""
    with pytest.raises(Stop):
        train(inputs, Rows(epoch))
    return checkpoint.path(inputs.weights)


Make = Callable[..., TrainInputs]


@pytest.fixture
def make(prepared: Prepared, learnable: Path, tmp_path: Path) -> Make:
    """Makes the inputs of a training of six epochs, with dropout, in a folder of that name."""

    def made(
        folder: str, network: NetworkName = "EKE-ResNet", **values: float | str
    ) -> TrainInputs:
        chosen = {"epochs": 6, "dropout": 0.2, **values}
        return train_inputs(tmp_path / folder, prepared, learnable, network, **chosen)

    return made


@pytest.mark.usefixtures("at_every_epoch")
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_what_was_stopped_twice_ends_as_the_undisturbed(
    make: Make, network: NetworkName, optimizer: str
) -> None:
    inputs = make("one", network, optimizer=optimizer)
    whole = Rows()
    expected = train(inputs, whole)
    weights = inputs.weights.read_bytes()
    assert whole.checkpoints == []
    assert not checkpoint.path(inputs.weights).exists()

    parts = [Rows(2), Rows(5), Rows()]
    for rows in parts[:2]:
        with pytest.raises(Stop):
            train(inputs, rows)
    again = train(inputs, parts[2])
    assert inputs.weights.read_bytes() == weights
    assert [rows.checkpoints for rows in parts] == [[], [{"epoch": 1}], [{"epoch": 4}]]
    assert [row for rows in parts for row in rows.epochs] == [
        *whole.epochs[:2], *whole.epochs[1:5], *whole.epochs[4:],
    ]  # fmt: skip
    assert again.metrics | {"seconds": 0} == expected.metrics | {"seconds": 0}
    assert again.metrics["epochs"] == 6
    assert not checkpoint.path(inputs.weights).exists()


@pytest.mark.usefixtures("at_every_epoch")
def test_retraining_goes_on_too(make: Make) -> None:
    first = make("first")
    train(first, silent)
    again = make("again").model_copy(update={"start_from": first.weights})
    train(again, silent)
    expected = again.weights.read_bytes()
    stop_after(4, again)
    rows = Rows()
    train(again, rows)
    assert rows.checkpoints == [{"epoch": 3}]
    assert again.weights.read_bytes() == expected

    # Other weights of before are another training.
    stop_after(4, again)
    train(first.model_copy(update={"seed": 5}), silent)
    rows = Rows()
    train(again, rows)
    assert (rows.checkpoints, len(rows.epochs)) == ([], 6)
    assert again.weights.read_bytes() != expected


@pytest.mark.usefixtures("at_every_epoch")
def test_a_checkpoint_of_other_inputs_is_ignored(make: Make) -> None:
    other = make("one", learning_rate=4e-3)
    path = stop_after(4, other)
    mine = make("one")
    rows = Rows()
    train(mine, rows)
    assert (rows.checkpoints, len(rows.epochs)) == ([], 6)
    elsewhere = make("two")
    train(elsewhere, silent)
    assert mine.weights.read_bytes() == elsewhere.weights.read_bytes()
    assert not path.exists()


@pytest.mark.usefixtures("at_every_epoch")
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"no checkpoint",
        lambda content: content[: len(content) // 2],
        lambda content: content[: len(content) // 3] + b"\xff" + content[len(content) // 3 + 1 :],
    ],
)
def test_from_a_damaged_checkpoint_the_training_begins_again(
    make: Make, damage: Callable[[bytes], bytes]
) -> None:
    inputs = make("one")
    train(inputs, silent)
    expected = inputs.weights.read_bytes()
    path = stop_after(4, inputs)
    path.write_bytes(damage(path.read_bytes()))
    rows = Rows()
    train(inputs, rows)
    [row] = rows.checkpoints
    assert row["epoch"] == 0
    assert f"{path} is damaged" in str(row["problem"])
    assert len(rows.epochs) == 6
    assert inputs.weights.read_bytes() == expected
    assert not path.exists()


@pytest.mark.usefixtures("at_every_epoch")
def test_a_checkpoint_whose_parts_do_not_fit_changes_nothing(make: Make) -> None:
    inputs = make("one")
    train(inputs, silent)
    expected = inputs.weights.read_bytes()
    path = stop_after(4, inputs)
    state = torch.load(path, weights_only=True)
    # The network's part is taken up before this one is found to be missing.
    del state["schedule"]
    torch.save(state, path)
    rows = Rows()
    train(inputs, rows)
    assert "KeyError" in str(rows.checkpoints[0]["problem"])
    assert inputs.weights.read_bytes() == expected


@pytest.mark.usefixtures("at_every_epoch")
def test_no_byte_can_be_wrong_unseen(make: Make) -> None:
    path = stop_after(3, make("one"))
    content = path.read_bytes()
    expected = checkpoint._read(path)
    damaged = path.with_name("damaged")

    @settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(place=st.integers(0, len(content) - 1), bit=st.integers(0, 7))
    def flip(place: int, bit: int) -> None:
        wrong = bytearray(content)
        wrong[place] ^= 1 << bit
        damaged.write_bytes(wrong)
        try:
            found = checkpoint._read(damaged)
        except Exception:  # whatever says that it is damaged
            return
        # What is between the parts of the file is nothing's.
        assert _same(found, expected)

    flip()


def _same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(_same(one[key], other[key]) for key in one)
        )
    if isinstance(one, list | tuple):
        return isinstance(other, list | tuple) and all(map(_same, one, other))
    return one == other


def test_a_short_training_writes_none(make: Make) -> None:
    assert not stop_after(5, make("one")).exists()


@pytest.mark.usefixtures("at_every_epoch")
def test_early_stopping_is_no_different(make: Make) -> None:
    inputs = make("one", epochs=50, stop_below=0.4)
    epochs = int(train(inputs, silent).metrics["epochs"])
    assert 3 <= epochs < 50
    expected = inputs.weights.read_bytes()
    stop_after(epochs, inputs)
    metrics = train(inputs, silent).metrics
    assert metrics["epochs"] == epochs
    assert inputs.weights.read_bytes() == expected


@pytest.mark.usefixtures("at_every_epoch")
def test_a_training_that_diverged_does_so_again(make: Make) -> None:
    inputs = make("one", optimizer="sgd", epochs=60, learning_rate=3.0)
    first, again = Rows(), Rows()
    for rows in (first, again):
        with pytest.raises(DivergedError, match="EKE-ResNet diverged"):
            train(inputs, rows)
    assert not inputs.weights.exists()
    # What is known already is not trained again.
    assert len(first.epochs) > 1
    assert again.epochs == []
    assert again.checkpoints == [{"epoch": len(first.epochs)}]


# A stage as a worker runs it, with a checkpoint after every epoch.
STAGE = """
import sys
from pathlib import Path
from parslflow import stages
from parslflow.learning import checkpoint
checkpoint.SECONDS = 0.0
stages.run(Path(sys.argv[1]))
"""
KILLS = 2


def stage_file(run: RunDir, inputs: TrainInputs) -> Path:
    call = stages.Call(
        stage="train",
        pipeline="p",
        context="train",
        name="train-EKE-ResNet-0",
        properties={"network": "EKE-ResNet", "iteration": 0, "version": "EKE-ResNet-0"},
        journal=run.journal,
        inputs=inputs.model_dump(mode="json"),
    )
    path = run.stages / "train-EKE-ResNet-0.json"
    path.write_text(stages.to_text(call))
    return path


def epochs_logged(journal: Path, execution: int) -> list[int]:
    """The epochs that an execution has logged so far; executions are counted as they started."""
    files = [journals.read_file(paths[0]) for paths in journals.files(journal).values()]
    if len(files := [events for events in files if events]) <= execution:
        return []
    events = sorted(files, key=lambda events: str(events[0]["time"]))[execution]
    return [event["values"]["epoch"] for event in events if event.get("series") == "epoch"]


Killed = tuple[RunDir, TrainInputs, bytes, LossHistory]


@pytest.fixture(scope="module")
def killed(prepared: Prepared, learnable: Path, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    """A training that was killed twice at a random moment and then ended.

    With it the weights and losses of the same that was not.
    """
    run = RunDir(tmp_path_factory.mktemp("killed") / "run")
    run.create()
    inputs = train_inputs(run.models, prepared, learnable, epochs=60, dropout=0.2)
    file = stage_file(run, inputs)
    stages.run(file)
    expected, losses = inputs.weights.read_bytes(), read_losses(run.journal)["EKE-ResNet"]
    inputs.weights.unlink()
    inputs.script.unlink()
    for path in run.journal.iterdir():
        path.unlink()

    seed = random.SystemRandom().getrandbits(32)
    print(f"seed of the kills: {seed}")
    chance = random.Random(seed)
    for number in range(KILLS):
        stage = subprocess.Popen([sys.executable, "-c", STAGE, str(file)])
        deadline = time.monotonic() + 120
        while not epochs_logged(run.journal, number):
            assert stage.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.4))
        stage.send_signal(signal.SIGKILL)
        assert stage.wait() == -signal.SIGKILL, "it ended before it was killed"
    subprocess.run([sys.executable, "-c", STAGE, str(file)], check=True, timeout=120)
    return run, inputs, expected, losses


def test_after_kills_the_weights_are_those_of_the_undisturbed(killed: Killed) -> None:
    run, inputs, expected, _ = killed
    assert inputs.weights.read_bytes() == expected
    assert not checkpoint.path(inputs.weights).exists()
    parts = [epochs_logged(run.journal, number) for number in range(KILLS + 1)]
    # Each goes on where the last checkpoint was: after the last epoch that was logged or before it.
    for before, after in pairwise(parts):
        assert after[0] in (before[-1], before[-1] + 1)
    assert parts[-1][-1] == 60


def test_after_kills_the_losses_are_those_of_the_undisturbed(killed: Killed) -> None:
    run, _, _, losses = killed
    history = read_losses(run.journal)["EKE-ResNet"]
    for name in ("train", "validation", "ends", "test"):
        np.testing.assert_array_equal(getattr(history, name), getattr(losses, name))
    call = json.loads((run.stages / "train-EKE-ResNet-0.json").read_text())
    inputs = stages.digest(stages.Call.model_validate(call))
    record = Finished(run).record("train-EKE-ResNet-0", inputs)
    assert record is not None
    assert record.metrics["epochs"] == 60


def test_after_kills_the_lineage_has_one_training(killed: Killed) -> None:
    run, inputs, _, _ = killed
    with Writer(run.root) as writer:
        writer.flush(timeout_s=100)
    graph = graphs.read(run.root)
    executions = [one for one in graph.executions.values() if one.context == "train"]
    assert sorted(one.status for one in executions) == ["completed", *["lost"] * KILLS]
    found = lineage(run.root, inputs.weights.name)
    assert [node.name for node in found.nodes if isinstance(node, graphs.Execution)] == [
        "train-EKE-ResNet-0"
    ]
