"""Which model is best: what the driver decides, from the metadata alone."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from parslflow import workflow
from parslflow.errors import ParslflowError
from parslflow.experiment import Experiment
from parslflow.finished import Finished
from parslflow.provenance import events
from parslflow.provenance.events import Content
from parslflow.provenance.writer import Writer
from parslflow.records import Record
from parslflow.rundir import RunDir

FLUSH_SECONDS = 600.0


class Evaluation:
    """Asks CMF for the losses of all models, and decides.

    As a context manager it has the metadata written. Where that fails, the run goes on with what
    the journal says, and ``problem`` tells how to complete the metadata afterwards.

    Args:
        experiment: the settings.
        run: the run.
        finished: what was done before; decisions among it stand.
    """

    def __init__(self, experiment: Experiment, run: RunDir, finished: Finished) -> None:
        self.problem = ""
        """One sentence, if the metadata is not whole."""
        self._experiment = experiment
        self._run = run
        self._finished = finished
        self._writer = Writer(run.root)
        self._made: set[str] = set()

    def __enter__(self) -> Self:
        self._writer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._writer.close()
        except ParslflowError as problem:
            self._note(problem)

    def evaluate(self, iteration: int, trained: dict[str, Record]) -> workflow.Decision:
        """Decide after the trainings of an iteration; the decision is an execution of its own.

        Args:
            iteration: counted from 0, one after the other.
            trained: the record of each network's training; those that diverged are not there.

        Raises:
            ParslflowError: no model has a test loss.
        """
        name = f"evaluate-{iteration}"
        scripts = [record.wrote[1] for record in trained.values()]
        self._made.update(workflow.versions(trained, iteration))
        # The metadata may know of a version that this run made once and rejects now.
        losses = {
            version: loss for version, loss in self._losses().items() if version in self._made
        }
        decision = workflow.decide(iteration, losses, self._experiment.loop.test_loss)
        values: dict[str, Content] = {
            "iteration": iteration,
            "threshold": decision.threshold,
            "best": decision.best,
            "good_enough": int(decision.good_enough),
            **{f"test_loss {version}": loss for version, loss in losses.items()},
        }
        if self._finished.decision(name, [script.path for script in scripts]) == values:
            return decision
        with events.execution(
            self._run.journal,
            pipeline=self._experiment.name,
            context="evaluate",
            name=name,
            properties={"iteration": iteration},
        ) as execution:
            for script in scripts:
                execution.used(script.path, kind=script.kind, properties=script.properties)
            execution.decision(values)
        return decision

    def _losses(self) -> dict[str, float]:
        # Here, since importing CMF's library would keep the first simulation waiting.
        from parslflow.provenance import queries

        if not self.problem:
            try:
                self._writer.flush(FLUSH_SECONDS)
                return queries.test_losses(self._run.root)
            except ParslflowError as problem:
                self._note(problem)
        return Finished(self._run).test_losses()

    def _note(self, problem: ParslflowError) -> None:
        if self.problem:
            return
        self.problem = (
            f"CMF lacks a part of this run, which went on with its journal: {problem} Mend that, "
            f"then 'parslflow record {self._run.root}' completes the metadata."
        )
        print(f"parslflow: {self.problem}", file=sys.stderr, flush=True)
