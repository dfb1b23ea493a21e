"""A training whose learning rate really is too high, and the loop that goes on without it."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from parslflow import experiment as experiments
from parslflow import stages
from parslflow import workflow
from parslflow.errors import ParslflowError
from parslflow.evaluation import Evaluation
from parslflow.experiment import Experiment
from parslflow.finished import Finished
from parslflow.learning.settings import NetworkName
from parslflow.learning.settings import TrainInputs
from parslflow.provenance import journal as journals
from parslflow.provenance.models import models
from parslflow.records import Artifact
from parslflow.records import Record
from parslflow.rundir import RunDir

from .conftest import Prepared
from .conftest import train_inputs

pytestmark = pytest.mark.timeout(300)

DEMO = Path(__file__).resolve().parents[2] / "configs" / "experiments" / "demo.toml"


class Trainings:
    """The workflow's stages, of which only the trainings are real.

    Args:
        run: where they run.
        inputs: what each training is given, by network and iteration.
    """

    members_at_once = 1

    def __init__(self, run: RunDir, inputs: dict[tuple[str, int], TrainInputs]) -> None:
        self._run = run
        self._inputs = inputs
        self.started_from: dict[str, Path | None] = {}

    def train(
        self, network: str, iteration: int, training_set: Record, before: Record | None
    ) -> Future[Record]:
        version = workflow.version(network, iteration)
        self.started_from[version] = before.wrote[0].path if before else None
        inputs = self._inputs[network, iteration].model_copy(
            update={
                "iteration": iteration,
                "start_from": self.started_from[version],
                "weights": self._run.models / f"{version}.pt",
                "script": self._run.models / f"{version}.script.pt",
            }
        )
        call = stages.Call(
            stage="train",
            pipeline="p",
            context="train",
            name=f"train-{version}",
            properties={"network": network, "iteration": iteration, "version": version},
            journal=self._run.journal,
            inputs=inputs.model_dump(),
        )
        file = self._run.stages / f"train-{version}.json"
        file.write_text(stages.to_text(call))
        training: Future[Record] = Future()
        try:
            training.set_result(stages.run(file))
        except ParslflowError as error:
            training.set_exception(error)
        return training

    def __getattr__(self, stage: str) -> Any:  # noqa: ANN401
        def call(*arguments: object) -> object:
            done: Future[Record] = Future()
            done.set_result(Record(wrote=(Artifact(self._run.root / stage, "dataset"),)))
            return (done, [done]) if stage == "stream" else done

        return call


def small_experiment(iterations: int) -> Experiment:
    demo = experiments.load(DEMO)
    loop = demo.loop.model_copy(
        update={"iterations": iterations, "test_loss": 1e-9, "accept_best": True}
    )
    training = demo.training.model_copy(update={"control_seeds": 0})
    return demo.model_copy(update={"loop": loop, "training": training})


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    made = RunDir(tmp_path / "run")
    made.create()
    return made


def test_the_loop_goes_on_without_a_network_that_diverges(
    prepared: Prepared, learnable: Path, run: RunDir
) -> None:
    def of(network: NetworkName, **settings: float | str) -> TrainInputs:
        return train_inputs(run.models, prepared, learnable, network, epochs=2, **settings)

    steps = {
        ("EKE-ResNet", 0): of("EKE-ResNet", optimizer="sgd", learning_rate=1e30),
        ("EKE-ResNet", 1): of("EKE-ResNet"),
        ("EKE-Bottleneck", 0): of("EKE-Bottleneck"),
        ("EKE-Bottleneck", 1): of("EKE-Bottleneck", optimizer="sgd", learning_rate=1e30),
    }
    trainings = Trainings(run, steps)
    chosen = small_experiment(iterations=1)
    with Evaluation(chosen, run, Finished(run)) as evaluation:
        outcome = workflow.run(chosen, trainings, evaluation.evaluate)
    assert evaluation.problem == ""
    assert [set(decision.losses) for decision in outcome.decisions] == [
        {"EKE-Bottleneck-0"},
        {"EKE-Bottleneck-0", "EKE-ResNet-1"},
    ]
    assert outcome.deployed == outcome.decisions[1].best
    assert trainings.started_from["EKE-ResNet-1"] is None
    assert trainings.started_from["EKE-Bottleneck-1"] == run.models / "EKE-Bottleneck-0.pt"
    assert [set(rejected) for rejected in outcome.diverged] == [{"EKE-ResNet"}, {"EKE-Bottleneck"}]

    # Journal and metadata say what became of them.
    ends = {
        events[0]["name"]: (events[-1]["status"], events[-1]["error"])
        for paths in journals.files(run.journal).values()
        for events in [journals.read_file(paths[0])]
    }
    status, error = ends["train-EKE-ResNet-0"]
    assert status == "failed"
    assert error.startswith("DivergedError: EKE-ResNet diverged on ")
    assert "lower 'learning_rate' = 1e+30" in error
    assert ends["train-EKE-ResNet-1"] == ("completed", "")
    assert {model.version for model in models(run.root)} == {"EKE-Bottleneck-0", "EKE-ResNet-1"}
    assert not (run.models / "EKE-ResNet-0.pt").exists()


def test_a_version_that_was_made_before_and_diverges_now_is_not_chosen(
    prepared: Prepared, learnable: Path, run: RunDir
) -> None:
    good = {
        (network, 0): train_inputs(run.models, prepared, learnable, network, epochs=epochs)
        for network, epochs in (("EKE-ResNet", 8), ("EKE-Bottleneck", 1))
    }
    chosen = small_experiment(iterations=0)
    for resnet_rate, expected in ((5e-3, "EKE-ResNet-0"), (1e30, "EKE-Bottleneck-0")):
        settings = good["EKE-ResNet", 0].settings.model_copy(
            update={
                "learning_rate": resnet_rate,
                "optimizer": "sgd" if resnet_rate > 1 else "adamw",
            }
        )
        resnet = good["EKE-ResNet", 0].model_copy(update={"settings": settings})
        trainings = Trainings(run, {**good, ("EKE-ResNet", 0): resnet})
        with Evaluation(chosen, run, Finished(run)) as evaluation:
            outcome = workflow.run(chosen, trainings, evaluation.evaluate)
        assert outcome.deployed == expected


def test_when_all_diverge_the_run_stops_with_the_reasons(
    prepared: Prepared, learnable: Path, run: RunDir
) -> None:
    networks: tuple[NetworkName, ...] = ("EKE-ResNet", "EKE-Bottleneck")
    steps = {
        (network, 0): train_inputs(
            run.models, prepared, learnable, network, optimizer="sgd", learning_rate=1e30
        )
        for network in networks
    }

    def evaluate(iteration: int, trained: dict[str, Record]) -> workflow.Decision:
        raise AssertionError("there is nothing to decide")

    with pytest.raises(
        ParslflowError, match=r"no network to go on with: EKE-ResNet diverged.*EKE-Bottleneck div"
    ):
        workflow.run(small_experiment(iterations=0), Trainings(run, steps), evaluate)
