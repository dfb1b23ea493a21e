"""What of a run is left to do, by the names of what has completed: the loop, walked through."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress

from parslflow import workflow
from parslflow.errors import DivergedError
from parslflow.errors import ParslflowError
from parslflow.experiment import Experiment
from parslflow.experiment import Grid
from parslflow.members import Generated
from parslflow.provenance.events import Content
from parslflow.records import Record


def remaining(
    experiment: Experiment,
    completed: Collection[str],
    decisions: Mapping[str, Mapping[str, Content]],
    rejected: Mapping[str, str],
    rolled_back: str | None = None,
) -> list[str]:
    """The executions that a resumed run begins with, until one has to be waited for.

    Whether the inputs and files of what has completed are as they were is not looked at.

    Args:
        experiment: the settings of the run.
        completed: the names of the executions that have completed.
        decisions: the values of each decision by its execution's name.
        rejected: why a training diverged, by its execution's name.
        rolled_back: the model version that the last rollback chose.

    Returns:
        Their names in the order in which they start; empty if all is done.
    """
    steps = _Steps(experiment, completed, rejected)
    made: set[str] = set()

    def evaluate(iteration: int, trained: dict[str, Record]) -> workflow.Decision:
        made.update(workflow.versions(trained, iteration))
        values = decisions.get(name := f"evaluate-{iteration}", {})
        if values.get("best") not in made:
            steps.left.append(name)
            raise _WaitedFor
        return workflow.Decision(
            iteration=iteration,
            losses={},
            threshold=experiment.loop.test_loss,
            best=str(values["best"]),
            good_enough=bool(values["good_enough"]),
        )

    # Nothing follows before something is done, or because every network diverged.
    with suppress(_WaitedFor, ParslflowError):
        workflow.run(experiment, steps, evaluate, rolled_back)
    return steps.left


class _WaitedFor(BaseException):
    """The answer of an execution that has not completed; no failure, so that nothing catches it."""


class _Steps:
    """The steps of the workflow: what has completed answers, what has not is noted.

    The names are those that :class:`parslflow.apps.Stages` gives.
    """

    members_at_once = 1

    def __init__(
        self, experiment: Experiment, completed: Collection[str], rejected: Mapping[str, str]
    ) -> None:
        self.left: list[str] = []
        self._experiment = experiment
        self._completed = completed
        self._rejected = rejected

    def spin_up(self, case: str, grid: Grid, start: Record | None) -> Future[Record]:
        own = grid == (self._experiment.high if case == "high" else self._experiment.low)
        return self._step(f"spinup-{case}" if own else f"spinup-{case}-{_cells(grid)}")

    def interpolate(self, case: str, grid: Grid, start: Record) -> Future[Record]:
        return self._step(f"interpolate-{case}-{_cells(grid)}")

    def run_base(self, start: Record) -> Future[Record]:
        return self._step("base")

    def prepare(self, base: Record) -> Future[Record]:
        return self._step("prepare")

    def assemble(self, iteration: int, prepared: Record, batches: list[Record]) -> Future[Record]:
        return self._step(f"assemble-{iteration}")

    def train(
        self, network: str, iteration: int, training_set: Record, before: Record | None
    ) -> Future[Record]:
        return self._step(f"train-{workflow.version(network, iteration)}")

    def baselines(self, iteration: int, training_set: Record) -> Future[Record]:
        return self._step(f"baselines-{iteration}")

    def perturb(self, member: int, start: Record) -> Future[Record]:
        return self._step(f"perturb-m{member}")

    def draw_random(self, seed: int, run: Generated, prepared: Record) -> Future[Record]:
        label = self._experiment.high.label(run.iteration, run.member)
        return self._step(f"draw-random-{seed}-{label}")

    def assemble_control(
        self, rows: str, seed: int, prepared: Record, batches: list[Record]
    ) -> Future[Record]:
        return self._step(f"assemble-{rows}-{seed}")

    def train_control(
        self,
        network: str,
        rows: str,
        seed: int,
        iteration: int,
        training_set: Record,
        before: Record,
    ) -> Future[Record]:
        return self._step(f"train-{network}-{rows}-{seed}")

    def stream(
        self, iteration: int, member: int, start: Record, prepared: Record
    ) -> tuple[Future[Record], list[Future[Record]]]:
        label = self._experiment.high.label(iteration, member)
        samplings = self._experiment.sampling.labels(label)
        names = f"generate-{label}", *(f"sample-{sampling}" for sampling in samplings)
        # All are done, or none.
        done = all(name in self._completed for name in names)
        generating, *sampling = (self._step(name, done=done) for name in names)
        return generating, sampling

    def deploy(self, version: str, model: Record) -> Future[Record]:
        return self._step(f"deploy-{version}")

    def run_low(self, start: Record, version: str | None, model: Record | None) -> Future[Record]:
        return self._step(f"low-{version or 'meke'}")

    def draw(self, *records: Record) -> Future[Record]:
        return self._step("figures")

    def _step(self, name: str, *, done: bool = True) -> Future[Record]:
        step: Future[Record] = Future()
        if done and name in self._completed:
            step.set_result(Record())
            return step
        self.left.append(name)
        reason = self._rejected.get(name)
        step.set_exception(_WaitedFor() if reason is None else DivergedError(reason))
        return step


def _cells(grid: Grid) -> str:
    return "{}x{}".format(*grid.grid)
