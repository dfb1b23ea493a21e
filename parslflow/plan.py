"""What a run would do: every stage, where, on what, and about how long its cores are busy."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from parslflow import stages
from parslflow import workflow
from parslflow.apps import Stages
from parslflow.experiment import Experiment
from parslflow.finished import Finished
from parslflow.records import Artifact
from parslflow.records import Record
from parslflow.report.tables import NONE
from parslflow.report.tables import columns
from parslflow.rundir import RunDir
from parslflow.simulation.settings import DAILY
from parslflow.simulation.settings import RESTART
from parslflow.simulation.settings import STREAM
from parslflow.sites import Site

DAY = 86400.0

# Of one core of an AMD EPYC: benchmarks phillips_240 and phillips_in_process, and trainings of
# 100,000 rows. They are for the order of magnitude.
STEP_SECONDS = 8e-8
"""For a cell and step of the Phillips model."""
ANSWER_SECONDS = 6.5e-7
"""For a network's answer to a cell."""
ROW_SECONDS = {"EKE-ResNet": 1e-5, "EKE-Bottleneck": 2.5e-5}
"""For a row and epoch of a training."""
TRAINED_SHARE = 0.8
"""Of a training set's rows those that are learned from."""

OUTPUTS = {
    "interpolate": ("output",),
    "perturb": ("output",),
    "prepare": ("samples", "clusters_file"),
    "assemble": ("output",),
    "draw-random": ("output",),
    "sample": ("outputs",),
    "train": ("weights", "script"),
}
"""By stage the inputs that name what it writes."""

_DATA = (".nc", ".h5", ".pt")
_SIZES = re.compile(r"\b(nx|ny|dt|days)\s*=\s*([0-9.eE+-]+)")


@dataclass(frozen=True)
class Step:
    """One stage of the plan.

    Attributes:
        name: of the execution.
        executor: the label of where it runs.
        cores: how many it keeps busy.
        reads: names of the files that it starts from.
        seconds: about how long; 0 if that is not worth telling.
    """

    name: str
    executor: str
    cores: int
    reads: tuple[str, ...]
    seconds: float


class Plan(Stages):
    """Stages that are written down, not sent; each answers at once with what it would write."""

    def __init__(
        self,
        experiment: Experiment,
        site: Site,
        run: RunDir,
        executable: Path,
        cache: Path,
    ) -> None:
        super().__init__(experiment, site, run, executable, cache, Finished(run))
        self.steps: list[Step] = []

    def _send(self, app: Callable[[Path], Future[Record]], call: stages.Call) -> Future[Record]:
        self.steps.append(
            Step(
                name=call.name,
                executor=getattr(app, "executors")[0],  # noqa: B009 - Parsl's type hides it
                cores=call.inputs.get("ranks") or call.inputs.get("threads") or 1,
                reads=tuple(_reads(call)),
                seconds=self._seconds(call),
            )
        )
        answer: Future[Record] = Future()
        answer.set_result(Record(wrote=tuple(_writes(call))))
        return answer

    def _seconds(self, call: stages.Call) -> float:
        if call.stage == "train":
            rows = TRAINED_SHARE * self._experiment.training.rows
            network, epochs = call.inputs["network"], call.inputs["settings"]["epochs"]
            return float(rows * epochs * ROW_SECONDS[network])
        if call.stage != "simulate":
            return 0.0
        sizes = {key: float(value) for key, value in _SIZES.findall(call.inputs["namelist"])}
        steps = sizes["days"] * DAY / sizes["dt"]
        each = STEP_SECONDS + (ANSWER_SECONDS if call.inputs["network"] else 0.0)
        return float(sizes["nx"] * sizes["ny"] * steps * each / call.inputs["ranks"])


def make(experiment: Experiment, plan: Plan) -> list[Step]:
    """All steps of the experiment if no network is good enough before the last iteration."""

    def evaluate(iteration: int, trained: dict[str, Record]) -> workflow.Decision:
        losses = {workflow.version(network, iteration): 1.0 for network in trained}
        last = iteration == experiment.loop.iterations
        return workflow.decide(iteration, losses, 1.0 if last else 0.0)

    workflow.run(experiment, plan, evaluate)
    return plan.steps


def to_text(steps: list[Step]) -> str:
    """The plan as a table, with the core hours."""
    hours = [step.cores * step.seconds / 3600 for step in steps]
    rows = [
        (
            step.name,
            step.executor,
            str(step.cores),
            f"{hour:.2f}" if step.seconds else NONE,
            " ".join(step.reads) or NONE,
        )
        for step, hour in zip(steps, hours, strict=True)
    ]
    header = ("stage", "executor", "cores", "core hours", "reads")
    table = "\n".join(columns(header, rows, left=(0, 1, 4)))
    return (
        f"{table}\n\nAbout {sum(hours):.2f} core hours, of a core of an AMD EPYC, if no network is "
        "good enough before the last iteration; cores that wait are not counted."
    )


def _reads(call: stages.Call) -> Iterator[str]:
    """The names of the files of the run that a stage starts from."""
    outputs = OUTPUTS.get(call.stage, ())
    for key, value in call.inputs.items():
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, Path) and path.suffix in _DATA and key not in outputs:
                # A restart is called alike in all folders.
                yield str(Path(path.parent.name) / path.name)


def _writes(call: stages.Call) -> Iterator[Artifact]:
    """What a stage would write."""
    if call.stage == "simulate":
        for name in (RESTART, DAILY, STREAM):
            yield Artifact(call.inputs["folder"] / name, "dataset")
    for key in OUTPUTS.get(call.stage, ()):
        batches = len(call.inputs.get("batches", ()))
        path = call.inputs[key]
        if key == "outputs":
            path = path[call.inputs["sampler"]]
        yield Artifact(Path(path), "dataset", {"batches": batches})
