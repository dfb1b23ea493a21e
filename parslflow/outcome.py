"""What a run came to, from the records and the journal."""

from __future__ import annotations

from datetime import UTC
from datetime import datetime
from datetime import timedelta
from pathlib import Path

from parslflow import workflow
from parslflow.experiment import Experiment
from parslflow.learning.settings import BASELINES
from parslflow.provenance import journal as journals
from parslflow.records import Record
from parslflow.report.comparison import ZonalRow
from parslflow.report.summary import ControlRow
from parslflow.report.summary import IterationRow
from parslflow.report.summary import Losses
from parslflow.report.summary import Summary
from parslflow.rundir import RunDir


def summarise(
    experiment: Experiment, run_dir: RunDir, outcome: workflow.Outcome, seconds: float
) -> Summary:
    """The summary of a run.

    Args:
        experiment: its settings.
        run_dir: its directory.
        outcome: how the loop ended.
        seconds: how long this driver took.
    """
    rows = []
    for iteration, trained in enumerate(outcome.models):
        made = outcome.generated[iteration - 1] if iteration else []
        lost = outcome.failed[iteration - 1] if iteration else {}
        batches = [batch for run in made for batch in run.batches]
        rows.append(
            IterationRow(
                iteration=iteration,
                samples_seen=sum(int(batch.metrics["seen"]) for batch in batches),
                samples_kept=sum(int(batch.metrics["kept"]) for batch in batches),
                batch=", ".join(batch.wrote[0].path.name for batch in batches),
                times_rejected=sum(int(batch.metrics.get("rejected", 0)) for batch in batches),
                losses={
                    network: Losses(
                        *(float(record.metrics[f"{part}_loss"]) for part in Losses._fields)
                    )
                    for network, record in trained.items()
                },
                baselines=_baselines(outcome.baselines[iteration]),
                diverged=outcome.diverged[iteration],
                failed={str(member): reason for member, reason in lost.items()},
            )
        )
    last = outcome.decisions[-1]
    loss = f"{last.best} has test loss {last.losses[last.best]:.3f}"
    if last.good_enough:
        sentence = f"{loss}, which is good enough."
    elif outcome.deployed:
        sentence = f"No network reached the threshold; the best was deployed: {loss}."
    else:
        sentence = f"No network reached the threshold, so none was deployed; the best: {loss}."
    return Summary(
        experiment=experiment.name,
        run=run_dir.root,
        outcome=sentence,
        iterations=rows,
        chosen=outcome.deployed or "",
        threshold=last.threshold,
        controls=[
            ControlRow.of(
                network,
                rows,
                [float(record.metrics["validation_loss"]) for record in records],
                [float(record.metrics["test_loss"]) for record in records],
            )
            for (network, rows), records in outcome.controls.items()
        ],
        zonal=ZonalRow.of_metrics(outcome.figures.metrics) if outcome.figures else [],
        stage_seconds=_stage_seconds(run_dir.journal, seconds),
        total_seconds=seconds,
    )


def _baselines(record: Record) -> dict[str, Losses]:
    """The losses of each plain regression."""
    return {
        name: Losses(*(float(record.metrics[f"{name}_{part}_loss"]) for part in Losses._fields))
        for name in BASELINES
    }


def _stage_seconds(journal: Path, seconds: float) -> dict[str, float]:
    """Wall time of what each context's executions did in the last ``seconds``.

    The contexts stand in the order in which they first started.
    """
    since = datetime.now(UTC) - timedelta(seconds=seconds)
    spent: dict[str, tuple[datetime, float]] = {}
    for paths in journals.files(journal).values():
        found = journals.read_file(paths[0])
        # A process that was killed, or whose disk was full, leaves a part, or nothing.
        if not found or found[0]["event"] != "started" or found[-1]["event"] != "ended":
            continue
        started, ended = found[0], found[-1]
        began = datetime.fromisoformat(started["time"])
        if started["context"] == "store" or began < since:
            continue
        first, total = spent.get(started["context"], (began, 0.0))
        spent[started["context"]] = (min(first, began), total + ended["wall_seconds"])
    return {context: spent[context][1] for context in sorted(spent, key=lambda key: spent[key][0])}
