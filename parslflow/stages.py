"""Runs one stage from the JSON file that describes it, here or on any node.

The file is written before the stage is sent anywhere, so that a stage that failed on a node can be
run again by hand: ``parslflow stage FILE``.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import ValidationError

from parslflow.errors import UsageError
from parslflow.finished import INPUTS
from parslflow.provenance import events
from parslflow.records import Inputs
from parslflow.records import Record
from parslflow.records import Report
from parslflow.records import Value
from parslflow.rundir import full_disk_said

STAGES = {
    "simulate": ("parslflow.simulation.phillips", "simulate", "SimulateInputs"),
    "interpolate": ("parslflow.simulation.interpolation", "interpolate", "InterpolateInputs"),
    "perturb": ("parslflow.simulation.perturbation", "perturb", "PerturbInputs"),
    "sample": ("parslflow.sampling.sampler", "sample", "SampleInputs"),
    "prepare": ("parslflow.learning.prepare", "prepare", "PrepareInputs"),
    "assemble": ("parslflow.learning.assemble", "assemble", "AssembleInputs"),
    "draw-random": ("parslflow.learning.control", "draw_random", "DrawRandomInputs"),
    "baselines": ("parslflow.learning.baselines", "baselines", "BaselinesInputs"),
    "train": ("parslflow.learning.training", "train", "TrainInputs"),
    "serve": ("parslflow.store.serve", "serve", "ServeInputs"),
    "deploy": ("parslflow.store.deploy", "deploy", "DeployInputs"),
    "draw": ("parslflow.report.figures", "draw", "DrawInputs"),
}
"""Each stage: its module, its function and the class of its inputs."""


Stage = Callable[[Any, Report], Record]


class Call(BaseModel):
    """One execution of one stage: all that is needed to run it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: str
    """A key of ``STAGES``."""
    pipeline: str
    context: str
    """The step of the workflow that the stage serves, as CMF names it."""
    name: str
    """The execution's name, unique in the run."""
    properties: dict[str, Value]
    journal: Path
    """The folder that the events go to."""
    inputs: dict[str, Any]


def to_text(call: Call) -> str:
    """The text of a stage's file."""
    return call.model_dump_json(indent=2)


def digest(call: Call) -> str:
    """What a completed stage is known by: the SHA-256 of its file."""
    return hashlib.sha256(to_text(call).encode()).hexdigest()


def read(path: Path) -> Call:
    """The call in a stage's file.

    Raises:
        UsageError: the file is not a stage's.
    """
    try:
        call = Call.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error}): give a file of RUN/stages.") from None
    except ValidationError as error:
        raise _wrong(path, error) from None
    if call.stage not in STAGES:
        raise UsageError(f"{path}: there is no stage '{call.stage}': give a file of RUN/stages.")
    return call


def load(path: Path, call: Call) -> tuple[Stage, Inputs]:
    """The function of a call, and its checked inputs.

    Raises:
        UsageError: an input is wrong.
    """
    module_name, function, inputs_name = STAGES[call.stage]
    module = importlib.import_module(module_name)
    inputs_class: type[Inputs] = getattr(module, inputs_name)
    try:
        return getattr(module, function), inputs_class.model_validate(call.inputs)
    except ValidationError as error:
        raise _wrong(path, error) from None


def run(path: Path) -> Record:
    """Run the stage that the file at ``path`` describes, and send its events.

    Raises:
        UsageError: the file is not a stage's, or an input is wrong.
        ParslflowError: the stage failed.
    """
    call = read(path)
    with (
        events.execution(
            call.journal,
            pipeline=call.pipeline,
            context=call.context,
            name=call.name,
            properties={**call.properties, INPUTS: digest(call)},
        ) as execution,
        full_disk_said(call.journal.parent),
    ):

        def report(series: str, /, **values: Value) -> None:
            execution.metric(series, values)

        # Here, since what some modules import takes seconds.
        stage, inputs = load(path, call)
        record = stage(inputs, report)
        for artifact in record.read:
            execution.used(artifact.path, kind=artifact.kind, properties=artifact.properties)
        for artifact in record.wrote:
            execution.produced(artifact.path, kind=artifact.kind, properties=artifact.properties)
        execution.result(record.metrics)
    return record


def _wrong(path: Path, error: ValidationError) -> UsageError:
    problem = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in problem["loc"])
    return UsageError(f"{path}: '{key}': {problem['msg']}: mend the file.")
