"""The loop against stages that answer at once; the whole loop on real parts is in integration/."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest

from parslflow import experiment
from parslflow import workflow
from parslflow.errors import DivergedError
from parslflow.errors import ParslflowError
from parslflow.experiment import Experiment
from parslflow.experiment import Grid
from parslflow.experiment import SpinupStep
from parslflow.members import Generated
from parslflow.records import Artifact
from parslflow.records import Record
from parslflow.workflow import Decision

DEMO = Path(__file__).resolve().parents[1] / "configs" / "experiments" / "demo.toml"


class Recorder:
    """Stages that note what they were asked for and answer with a record of that name.

    Those that it is given diverge, and simulations and samplers among them fail.
    """

    members_at_once = 2

    def __init__(self, *diverges: str) -> None:
        self.asked: list[str] = []
        self._diverges = diverges

    def record(self, stage: str, arguments: tuple[object, ...]) -> Future[Record]:
        name = "-".join([stage, *(str(one) for one in arguments if isinstance(one, str | int))])
        future: Future[Record] = Future()
        if name in self._diverges:
            kind = DivergedError if "train" in name else ParslflowError
            future.set_exception(kind(f"{name} diverged."))
            return future
        future.set_result(Record(wrote=(Artifact(Path(name), "dataset"),)))
        return future

    def __getattr__(self, stage: str):  # noqa: ANN204
        def call(*arguments: object) -> object:
            words = [stage]
            for argument in arguments:
                if isinstance(argument, Record):
                    words.append(argument.wrote[0].path.name)
                elif isinstance(argument, Generated):
                    words.append(argument.high.wrote[0].path.name)
                    words.extend(batch.wrote[0].path.name for batch in argument.batches)
                elif isinstance(argument, list):
                    words.append("+".join(record.wrote[0].path.name for record in argument))
                else:
                    words.append(str(argument))
            self.asked.append(" ".join(words))
            if stage == "stream":
                return self.record("generate", arguments), [self.record("sample", arguments)]
            return self.record(stage, arguments)

        return call


def load(iterations: int, *, accept_best: bool) -> Experiment:
    demo = experiment.load(DEMO)
    loop = demo.loop.model_copy(update={"iterations": iterations, "accept_best": accept_best})
    return demo.model_copy(update={"loop": loop})


def losses_of(table: list[dict[str, float]], threshold: float = 0.5):  # noqa: ANN201
    def evaluate(iteration: int, trained: dict[str, Record]) -> Decision:
        assert set(trained) == {"EKE-ResNet", "EKE-Bottleneck"}
        return workflow.decide(iteration, table[iteration], threshold)

    return evaluate


def test_a_network_that_is_good_at_once_is_deployed_without_new_data() -> None:
    stages = Recorder()
    outcome = workflow.run(
        load(3, accept_best=False),
        stages,
        losses_of([{"EKE-ResNet-0": 0.4, "EKE-Bottleneck-0": 0.3}]),
    )
    assert outcome.deployed == "EKE-Bottleneck-0"
    assert outcome.generated == []
    assert not any(asked.startswith("stream") for asked in stages.asked)
    assert "deploy EKE-Bottleneck-0 train-EKE-Bottleneck-0" in stages.asked
    assert outcome.figures is not None
    assert outcome.figures.wrote[0].path.name == "draw"


def test_spin_up_goes_through_its_grids_and_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Grid, "__str__", lambda grid: "{}x{}".format(*grid.grid))
    steps = [
        SpinupStep(grid=cells, time_step=1800.0, layout=(1, 2), days=9)
        for cells in ((30, 40), (60, 80), (120, 160))
    ]
    demo = load(0, accept_best=False)
    case = demo.high.model_copy(update={"spinup": tuple(steps)})
    stages = Recorder()
    workflow.run(demo.model_copy(update={"high": case}), stages, losses_of([{"EKE-ResNet-0": 0.4}]))
    assert stages.asked[:8] == [
        "spin_up high 30x40 None",
        "interpolate high 60x80 spin_up-high",
        "spin_up high 60x80 interpolate-high",
        "interpolate high 120x160 spin_up-high",
        "spin_up high 120x160 interpolate-high",
        "spin_up high 120x160 spin_up-high",
        "run_base spin_up-high",
        "spin_up low 60x80 None",
    ]


def test_the_loop_generates_until_one_is_good_enough() -> None:
    stages = Recorder()
    outcome = workflow.run(
        load(3, accept_best=False),
        stages,
        losses_of(
            [
                {"EKE-ResNet-0": 0.9, "EKE-Bottleneck-0": 0.8},
                {"EKE-ResNet-0": 0.9, "EKE-Bottleneck-0": 0.8, "EKE-ResNet-1": 0.6},
                {"EKE-ResNet-0": 0.9, "EKE-ResNet-2": 0.45, "EKE-Bottleneck-2": 0.7},
            ]
        ),
    )
    assert outcome.deployed == "EKE-ResNet-2"
    # Every batch is used again, each run of High goes on from the last, and so do the weights.
    assert "assemble 2 prepare sample-1-1+sample-2-1" in stages.asked
    assert "stream 1 1 run_base prepare" in stages.asked
    assert "stream 2 1 generate-1-1 prepare" in stages.asked
    assert "train EKE-ResNet 2 assemble-2 train-EKE-ResNet-1" in stages.asked


@pytest.mark.parametrize("accept_best", [True, False])
def test_at_the_limit_the_best_of_all_is_taken_only_if_allowed(accept_best: bool) -> None:
    stages = Recorder()
    table = [{"EKE-ResNet-0": 0.6, "EKE-Bottleneck-0": 0.8}]
    table.append(table[0] | {"EKE-ResNet-1": 0.7, "EKE-Bottleneck-1": 0.75})
    outcome = workflow.run(load(1, accept_best=accept_best), stages, losses_of(table))
    assert len(outcome.decisions) == 2
    assert outcome.deployed == ("EKE-ResNet-0" if accept_best else None)
    assert any(asked.startswith("deploy") for asked in stages.asked) is accept_best


def test_a_rollback_deploys_its_model_and_learns_nothing_after_it() -> None:
    stages = Recorder()
    table = [{"EKE-ResNet-0": 0.6, "EKE-Bottleneck-0": 0.8}] * 4
    outcome = workflow.run(
        load(3, accept_best=False), stages, losses_of(table), rolled_back="EKE-Bottleneck-1"
    )
    assert outcome.deployed == "EKE-Bottleneck-1"
    assert len(outcome.decisions) == 2
    assert "deploy EKE-Bottleneck-1 train-EKE-Bottleneck-1" in stages.asked


def decided_on(seen: list[set[str]]):  # noqa: ANN201
    """Notes the networks of each decision, none of which is good enough."""

    def evaluate(iteration: int, trained: dict[str, Record]) -> Decision:
        seen.append(set(trained))
        return workflow.decide(iteration, {"EKE-ResNet-0": 0.9}, 0.5)

    return evaluate


def test_a_network_that_diverges_is_left_out_and_tried_again() -> None:
    # One has no weights to go on from, and later goes on from its last good ones.
    stages = Recorder("train-EKE-Bottleneck-0", "train-EKE-Bottleneck-2", "train-EKE-ResNet-1")
    seen: list[set[str]] = []
    outcome = workflow.run(load(3, accept_best=True), stages, decided_on(seen))
    networks = {"EKE-ResNet", "EKE-Bottleneck"}
    assert seen == [{"EKE-ResNet"}, {"EKE-Bottleneck"}, {"EKE-ResNet"}, networks]
    assert [set(models) for models in outcome.models] == seen
    assert outcome.diverged == [
        {"EKE-Bottleneck": "train-EKE-Bottleneck-0 diverged."},
        {"EKE-ResNet": "train-EKE-ResNet-1 diverged."},
        {"EKE-Bottleneck": "train-EKE-Bottleneck-2 diverged."},
        {},
    ]
    for asked in (
        "train EKE-Bottleneck 1 assemble-1 None",
        "train EKE-ResNet 2 assemble-2 train-EKE-ResNet-0",
        "train EKE-Bottleneck 3 assemble-3 train-EKE-Bottleneck-1",
    ):
        assert asked in stages.asked
    assert outcome.deployed == "EKE-ResNet-0"


def test_when_every_network_diverges_the_run_stops_with_the_reasons() -> None:
    stages = Recorder("train-EKE-ResNet-1", "train-EKE-Bottleneck-1")
    with pytest.raises(
        ParslflowError,
        match=r"Iteration 1 has no network to go on with: "
        r"train-EKE-ResNet-1 diverged\. train-EKE-Bottleneck-1 diverged\.",
    ):
        workflow.run(load(3, accept_best=True), stages, decided_on([]))


def test_a_rollback_to_what_diverges_now_stops_the_run() -> None:
    with pytest.raises(ParslflowError, match="EKE-ResNet-1 diverged"):
        workflow.run(
            load(3, accept_best=True),
            Recorder("train-EKE-ResNet-1"),
            decided_on([]),
            "EKE-ResNet-1",
        )


def test_a_control_that_diverges_is_left_out() -> None:
    demo = load(1, accept_best=True)
    training = demo.training.model_copy(update={"control_seeds": 2})
    stages = Recorder(
        "train_control-EKE-ResNet-new-0-1",
        "train_control-EKE-Bottleneck-random-0-1",
        "train_control-EKE-Bottleneck-random-1-1",
    )
    outcome = workflow.run(demo.model_copy(update={"training": training}), stages, decided_on([]))
    assert {key: len(records) for key, records in outcome.controls.items()} == {
        ("EKE-ResNet", "new"): 1,
        ("EKE-ResNet", "random"): 2,
        ("EKE-Bottleneck", "new"): 2,
    }


def test_without_any_loss_there_is_no_decision() -> None:
    with pytest.raises(ParslflowError, match="no test loss"):
        workflow.decide(0, {}, 0.5)


def test_the_control_trains_from_the_first_weights_and_is_no_model() -> None:
    stages = Recorder()
    demo = load(2, accept_best=False)
    training = demo.training.model_copy(update={"control_seeds": 3})
    losses = [{"EKE-ResNet-0": 0.9}, {"EKE-ResNet-1": 0.8}, {"EKE-ResNet-2": 0.3}]
    outcome = workflow.run(
        demo.model_copy(update={"training": training}), stages, losses_of(losses)
    )
    control = [asked for asked in stages.asked if "random" in asked or "control" in asked]
    kinds = [asked.split()[0] for asked in control]
    # What is waited for does not queue behind trainings.
    assert kinds == ["draw_random"] * 6 + ["assemble_control"] * 6 + ["train_control"] * 12
    for asked in (
        "draw_random 0 generate-1-1 sample-1-1 prepare",
        "draw_random 0 generate-2-1 sample-2-1 prepare",
        "assemble_control new 0 prepare sample-1-1+sample-2-1",
        "assemble_control random 0 prepare draw_random-0+draw_random-0",
        "train_control EKE-ResNet new 0 2 assemble_control-new-0 train-EKE-ResNet-0",
        "train_control EKE-ResNet random 2 2 assemble_control-random-2 train-EKE-ResNet-0",
        "train_control EKE-Bottleneck new 1 2 assemble_control-new-1 train-EKE-Bottleneck-0",
        "train_control EKE-Bottleneck random 0 2 assemble_control-random-0 train-EKE-Bottleneck-0",
    ):
        assert asked in control
    assert len(control) == 24
    assert {key: len(records) for key, records in outcome.controls.items()} == {
        (network, rows): 3
        for network in ("EKE-ResNet", "EKE-Bottleneck")
        for rows in ("new", "random")
    }
    assert outcome.deployed == "EKE-ResNet-2"
    assert len(outcome.models) == 3


def test_without_new_data_there_is_no_control() -> None:
    stages = Recorder()
    demo = load(2, accept_best=False)
    training = demo.training.model_copy(update={"control_seeds": 3})
    outcome = workflow.run(
        demo.model_copy(update={"training": training}), stages, losses_of([{"EKE-ResNet-0": 0.3}])
    )
    assert outcome.controls == {}
    assert not any("control" in asked or "random" in asked for asked in stages.asked)


def test_every_training_set_has_its_baselines() -> None:
    stages = Recorder()
    outcome = workflow.run(
        load(1, accept_best=True), stages, losses_of([{"EKE-ResNet-0": 0.9}] * 2)
    )
    asked = [asked for asked in stages.asked if asked.startswith("baselines")]
    assert asked == ["baselines 0 assemble-0", "baselines 1 assemble-1"]
    assert len(outcome.baselines) == 2


def with_members(members: int) -> Experiment:
    settings = load(2, accept_best=True)
    return settings.model_copy(
        update={"high": settings.high.model_copy(update={"members": members})}
    )


def test_each_member_goes_on_from_its_own_state() -> None:
    stages = Recorder()
    outcome = workflow.run(with_members(3), stages, decided_on([]))
    asked = sorted(one for one in stages.asked if one.startswith(("stream", "perturb")))
    assert asked == [
        "perturb 2 run_base",
        "perturb 3 run_base",
        "stream 1 1 run_base prepare",
        "stream 1 2 perturb-2 prepare",
        "stream 1 3 perturb-3 prepare",
        "stream 2 1 generate-1-1 prepare",
        "stream 2 2 generate-1-2 prepare",
        "stream 2 3 generate-1-3 prepare",
    ]
    assert "assemble 1 prepare sample-1-1+sample-1-2+sample-1-3" in stages.asked
    assert outcome.failed == [{}, {}]
    assert [run.member for run in outcome.generated[1]] == [1, 2, 3]


@pytest.mark.parametrize("failing", ["generate-1-2", "sample-1-2"])
def test_a_member_that_fails_is_left_out_and_tried_again(failing: str) -> None:
    stages = Recorder(failing)
    outcome = workflow.run(with_members(3), stages, decided_on([]))
    assert "assemble 1 prepare sample-1-1+sample-1-3" in stages.asked
    assert "stream 2 2 perturb-2 prepare" in stages.asked
    assert "assemble 2 prepare sample-1-1+sample-1-3+sample-2-1+sample-2-2+sample-2-3" in (
        stages.asked
    )
    assert outcome.failed == [{2: f"{failing} diverged."}, {}]


def test_without_any_member_the_run_stops_with_the_reasons() -> None:
    every = [f"generate-1-{member}" for member in (1, 2, 3)]
    with pytest.raises(
        ParslflowError, match=r"Iteration 1 has no member .*generate-1-1 .*generate-1-3 diverged"
    ):
        workflow.run(with_members(3), Recorder(*every), decided_on([]))
    with pytest.raises(ParslflowError, match=r"^sample-1-1 diverged\.$"):
        workflow.run(with_members(1), Recorder("sample-1-1"), decided_on([]))


class Rejecting(Recorder):
    """Stages whose samplers reject so many of the three times of a run."""

    def __init__(self, rejected: int) -> None:
        super().__init__()
        self._rejected = rejected

    def record(self, stage: str, arguments: tuple[object, ...]) -> Future[Record]:
        future = super().record(stage, arguments)
        if stage == "sample":
            metrics = {"times": 3, "rejected": self._rejected}
            future = Future()
            future.set_result(Record(wrote=(Artifact(Path(stage), "dataset"),), metrics=metrics))
        return future


def test_when_all_times_are_rejected_the_run_stops() -> None:
    table = [{"EKE-ResNet-0": 0.9, "EKE-Bottleneck-0": 0.8}] * 2
    outcome = workflow.run(load(1, accept_best=True), Rejecting(2), losses_of(table))
    assert outcome.deployed == "EKE-Bottleneck-0"
    with pytest.raises(ParslflowError, match="All 3 times of sample were rejected"):
        workflow.run(load(1, accept_best=True), Rejecting(3), losses_of(table))
