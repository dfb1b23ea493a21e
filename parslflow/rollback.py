"""Takes a run back to an earlier model."""

from __future__ import annotations

from pathlib import Path

from parslflow import experiment as experiments
from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.provenance import events
from parslflow.provenance import graph as graphs
from parslflow.provenance.finding import trainings
from parslflow.provenance.finding import version_of
from parslflow.provenance.writer import Writer
from parslflow.rundir import RunDir

CONTEXT = "rollback"
FLUSH_SECONDS = 60.0


def rollback(root: Path, version: str, reason: str) -> str:
    """Make ``version`` the deployed model of the run.

    The decision is an execution of context ``rollback``. A run that is resumed then puts the model
    into the coarse simulation, and learns nothing after it.

    Args:
        root: the run directory.
        version: a model of the run, such as ``EKE-ResNet-1``.
        reason: why, for the record.

    Returns:
        The model that was deployed before; empty if there was none.

    Raises:
        UsageError: ``root`` is no run directory, it has no such model, or the model is deployed.
        ParslflowError: the run is at work, or the model's files are not as they were logged.
    """
    run = RunDir.open(root)
    experiment = experiments.load(run.experiment)
    with run.alone():
        graph = graphs.read(run.root)
        made = trainings(graph)
        if version not in made:
            raise UsageError(f"{run.root} has no model '{version}': choose from {', '.join(made)}.")
        deployments = graph.deployments()
        before = version_of(graph, deployments[-1][1]) if deployments else ""
        if version == before:
            raise UsageError(f"'{version}' is the deployed model of {run.root} already.")
        files = [graph.artifacts[key] for key in graph.after[made[version].id]]
        for file in files:
            path = run.root / file.path
            if not events.has_content(path, file.sha256):
                raise ParslflowError(
                    f"{path} is not as it was logged: 'parslflow checkout {run.root} {file.path} "
                    f"--to FILE' brings version {file.sha256[:8]} back; put it in its place."
                )
        number = 1 + sum(execution.context == CONTEXT for execution in graph.executions.values())
        with Writer(run.root) as writer:
            with events.execution(
                run.journal,
                pipeline=experiment.name,
                context=CONTEXT,
                name=f"{CONTEXT}-{number}",
                properties={"version": version},
            ) as execution:
                for file in files:
                    execution.used(run.root / file.path, kind="model")
                execution.decision({"best": version, "before": before, "reason": reason})
            writer.flush(FLUSH_SECONDS)
    return before
