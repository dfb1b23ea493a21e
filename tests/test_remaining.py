from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from parslflow import experiment as experiments
from parslflow import sites
from parslflow import stages
from parslflow import workflow
from parslflow.apps import Stages
from parslflow.experiment import Experiment
from parslflow.experiment import SpinupStep
from parslflow.finished import Finished
from parslflow.records import Artifact
from parslflow.records import Record
from parslflow.remaining import remaining
from parslflow.rundir import RunDir
from parslflow.simulation.settings import DAILY
from parslflow.simulation.settings import RESTART
from parslflow.simulation.settings import STREAM

DEMO = Path(__file__).resolve().parents[1] / "configs" / "experiments" / "demo.toml"
NETWORKS = ("EKE-ResNet", "EKE-Bottleneck")


def experiment(control_seeds: int = 2) -> Experiment:
    """Two iterations with all kinds of steps, the last of which has a model that is good enough."""
    demo = experiments.load(DEMO)
    steps = [
        SpinupStep(grid=cells, time_step=1800.0, layout=(1, 2), days=9)
        for cells in ((30, 40), (60, 80))
    ]
    return demo.model_copy(
        update={
            "high": demo.high.model_copy(update={"spinup": tuple(steps)}),
            "loop": demo.loop.model_copy(update={"iterations": 2}),
            "training": demo.training.model_copy(update={"control_seeds": control_seeds}),
        }
    )


DECISIONS = {
    "evaluate-0": {"best": "EKE-ResNet-0", "good_enough": 0},
    "evaluate-1": {"best": "EKE-ResNet-0", "good_enough": 0},
    "evaluate-2": {"best": "EKE-Bottleneck-2", "good_enough": 1},
}


class Noted(Stages):
    """The real steps, all of which were done before; keeps their names."""

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        run = RunDir(folder / "run")
        run.create()
        site = sites.load(sites.Choice("local"), run.root)
        super().__init__(experiment, site, run, Path("/bin/true"), folder, Finished(run))
        self.names: list[str] = []

    def _done(self, call: stages.Call) -> Record:
        self.names.append(call.name)
        files = (DAILY, RESTART, STREAM, "base.h5", "clusters.h5")
        return Record(
            wrote=tuple(Artifact(Path(name), "dataset", {"batches": 1}) for name in files)
        )

    def _send(self, app: Callable[[Path], Future[Record]], call: stages.Call) -> Future[Record]:
        sent: Future[Record] = Future()
        sent.set_result(self._done(call))
        return sent


def all_names() -> list[str]:
    """What remains in each turn if all of it is done in each."""
    completed: list[str] = []
    decisions: dict[str, dict[str, str | int]] = {}
    while left := remaining(experiment(), completed, decisions, {}):
        assert not set(left) & set(completed)
        completed += left
        decisions |= {name: DECISIONS[name] for name in left if name in DECISIONS}
    return completed


def test_the_names_are_those_of_the_stages(tmp_path: Path) -> None:
    noted = Noted(experiment(), tmp_path)

    def evaluate(iteration: int, trained: dict[str, Record]) -> workflow.Decision:
        noted.names.append(f"evaluate-{iteration}")
        values = DECISIONS[f"evaluate-{iteration}"]
        return workflow.Decision(
            iteration, {}, 1.0, str(values["best"]), bool(values["good_enough"])
        )

    workflow.run(experiment(), noted, evaluate)
    walked = all_names()
    assert sorted(walked) == sorted(set(noted.names))
    assert len(walked) == len(set(walked)) == 47


def test_it_begins_with_what_can_start_at_once() -> None:
    assert remaining(experiment(), [], {}, {}) == ["spinup-high-30x40"]
    spun_up = [name for name in all_names() if name.startswith(("spinup-high", "interpolate"))]
    assert remaining(experiment(), spun_up, {}, {}) == ["base", "spinup-low"]


def done_until(last: str) -> list[str]:
    names = all_names()
    return names[: names.index(last) + 1]


def test_a_run_that_was_stopped_in_its_trainings() -> None:
    before = done_until("assemble-1")
    trainings = [f"train-{network}-1" for network in NETWORKS]
    assert remaining(experiment(), before, DECISIONS, {}) == [*trainings, "baselines-1"]
    one_left = remaining(experiment(), [*before, trainings[0]], DECISIONS, {})
    assert one_left == [trainings[1], "baselines-1"]
    # A decision follows both.
    both = remaining(experiment(), [*before, *trainings, "baselines-1"], {}, {})
    assert both == ["evaluate-0"]


def test_tiles_are_streamed_and_sampled_together() -> None:
    names = set(all_names()) - {"sample-1"}
    assert remaining(experiment(), names, DECISIONS, {}) == ["generate-1", "sample-1"]


def test_what_diverged_is_tried_again_and_holds_nothing_up() -> None:
    names = set(all_names()) - {"train-EKE-ResNet-1"}
    rejected = {"train-EKE-ResNet-1": "DivergedError: it diverged"}
    assert remaining(experiment(), names, DECISIONS, rejected) == ["train-EKE-ResNet-1"]
    assert remaining(experiment(), names, DECISIONS, {}) == ["train-EKE-ResNet-1"]
    all_rejected = {f"train-{network}-0": "DivergedError: it diverged" for network in NETWORKS}
    names -= set(all_rejected)
    assert remaining(experiment(), names, DECISIONS, all_rejected) == list(all_rejected)


def test_a_decision_for_a_model_that_is_not_there_is_made_again() -> None:
    names = set(all_names()) - {"train-EKE-ResNet-0"}
    rejected = {"train-EKE-ResNet-0": "DivergedError: it diverged"}
    left = remaining(experiment(control_seeds=0), names, DECISIONS, rejected)
    assert left == ["train-EKE-ResNet-0", "evaluate-0"]


@pytest.mark.parametrize("model", ["EKE-ResNet-1", "EKE-Bottleneck-0"])
def test_after_a_rollback_its_model_is_deployed(model: str) -> None:
    left = remaining(experiment(control_seeds=0), all_names(), DECISIONS, {}, model)
    assert left == [f"deploy-{model}"]
    names = [*all_names(), f"deploy-{model}"]
    left = remaining(experiment(control_seeds=0), names, DECISIONS, {}, model)
    assert left == [f"low-{model}"]
