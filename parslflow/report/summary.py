"""What a run came to, for reading at a glance in a terminal, and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from statistics import mean
from statistics import stdev
from typing import NamedTuple

from parslflow.report.comparison import HEADER
from parslflow.report.comparison import NUMBERS
from parslflow.report.comparison import ZonalRow
from parslflow.report.comparison import verdict
from parslflow.report.tables import NONE
from parslflow.report.tables import columns
from parslflow.report.tables import finite


class Losses(NamedTuple):
    """The last losses of one training: mean squared error of ln(1 + EKE)."""

    train: float
    validation: float
    test: float


@dataclass(frozen=True)
class IterationRow:
    """One turn of the loop: the batch it trained on besides the base data, and how that went.

    Attributes:
        iteration: counted from 0.
        samples_seen: samples that the sampler looked at; 0 where the base data alone were used.
        samples_kept: samples that it kept.
        batch: names of the files that samplers wrote; empty where there are none.
        losses: by network.
        baselines: losses of the plain regressions on the same training set, by name.
        diverged: why a network's training was rejected, by network.
        failed: why a member of High made no data, by member.
        times_rejected: times of the simulation of which nothing was kept, since a field was not
            finite.
    """

    iteration: int
    samples_seen: int
    samples_kept: int
    batch: str
    losses: dict[str, Losses]
    baselines: dict[str, Losses] = field(default_factory=dict)
    diverged: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    times_rejected: int = 0

    @property
    def problems(self) -> list[str]:
        """A sentence for each member that made no data, and one about rejected times."""
        found = [
            f"Iteration {self.iteration} is without member {member}: {reason}"
            for member, reason in self.failed.items()
        ]
        if self.times_rejected:
            found.append(
                f"Iteration {self.iteration}: of {self.times_rejected} times nothing was kept, "
                "since a field was not finite: see the series 'rejected' of the sampler."
            )
        return found


@dataclass(frozen=True)
class ControlRow:
    """How a network did over the seeds of the control, on one choice of rows.

    Attributes:
        network: its name.
        rows: what was added to the base data: ``new`` for the batches, ``random`` for as many
            random rows of the same days.
        seeds: how many trainings.
        validation: mean validation loss.
        validation_spread: standard deviation of it over the seeds; NaN for a single one.
        test: mean loss on the withheld cluster of the base data.
        test_spread: standard deviation of it.
    """

    network: str
    rows: str
    seeds: int
    validation: float
    validation_spread: float
    test: float
    test_spread: float

    @staticmethod
    def of(network: str, rows: str, validation: list[float], test: list[float]) -> ControlRow:
        """The row of the losses of each seed's training."""
        return ControlRow(network, rows, len(test), *_spread(validation), *_spread(test))


@dataclass(frozen=True)
class Summary:
    """One run.

    Attributes:
        experiment: its name.
        run: its directory.
        outcome: one sentence.
        iterations: in order.
        chosen: name of the deployed model; empty if none was good enough.
        threshold: test loss that a network had to reach.
        controls: for each network the trainings on new and on random rows; empty without control.
        zonal: the zonal mean EKE of High and both Lows; empty if no network was deployed.
        stage_seconds: wall-clock time by stage, summed over its executions, in the order to print.
            Executions overlap, so that the sum can be more than the total.
        total_seconds: wall-clock time of the whole run, or of its last part if it was resumed.
        problem: one sentence if the metadata is not whole.
    """

    experiment: str
    run: Path
    outcome: str
    iterations: list[IterationRow]
    chosen: str
    threshold: float
    controls: list[ControlRow] = field(default_factory=list)
    zonal: list[ZonalRow] = field(default_factory=list)
    stage_seconds: dict[str, float] = field(default_factory=dict)
    total_seconds: float = 0.0
    problem: str = ""


def to_text(summary: Summary) -> str:
    """The summary as tables of fixed width, ending in a newline."""
    parts = [
        _heading(summary),
        _samples(summary),
        _training(summary),
        _controls(summary),
        _zonal(summary),
        _stages(summary),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def to_json(summary: Summary) -> str:
    """The summary as JSON text; a number that is not finite becomes null."""
    content = asdict(summary)
    content["run"] = str(summary.run)
    for row, iteration in zip(content["iterations"], summary.iterations, strict=True):
        row["losses"] = {network: x._asdict() for network, x in iteration.losses.items()}
        row["baselines"] = {name: x._asdict() for name, x in iteration.baselines.items()}
    return json.dumps(finite(content), indent=2, allow_nan=False) + "\n"


def from_json(text: str) -> Summary:
    """The summary that :func:`to_json` wrote; what became null is NaN again."""
    content = json.loads(text)
    iterations = [
        IterationRow(
            **{
                **row,
                "losses": _losses(row["losses"]),
                "baselines": _losses(row.get("baselines", {})),
            }
        )
        for row in content["iterations"]
    ]
    controls = [
        ControlRow(
            **{**row, **{key: _number(row[key]) for key in ("validation_spread", "test_spread")}}
        )
        for row in content.get("controls", [])
    ]
    zonal = [
        ZonalRow(**{**row, **{key: _number(row[key]) for key in NUMBERS}})
        for row in content.get("zonal", [])
    ]
    return Summary(
        **{
            **content,
            "run": Path(content["run"]),
            "iterations": iterations,
            "controls": controls,
            "zonal": zonal,
        }
    )


def duration(seconds: float) -> str:
    """A time span as ``8.3 s``, ``4 min 07 s`` or ``2 h 05 min``."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    if round(seconds) < 3600:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours} h {rest:02d} min"


def _heading(summary: Summary) -> str:
    lines = {
        "Experiment": summary.experiment,
        "Run": str(summary.run),
        "Outcome": summary.outcome,
        "Chosen model": summary.chosen or "none",
        "Threshold": f"test loss at most {summary.threshold:g}",
        "Total time": duration(summary.total_seconds),
    }
    return "\n".join(f"{key:<14}{value}" for key, value in lines.items())


def _samples(summary: Summary) -> str:
    rows = [
        (
            str(row.iteration),
            row.batch,
            f"{row.samples_seen:,}",
            f"{row.samples_kept:,}",
            f"{row.samples_kept / row.samples_seen:.1%}" if row.samples_seen else NONE,
        )
        for row in summary.iterations
        if row.batch
    ]
    header = ("iteration", "batch", "seen", "kept", "share")
    problems = [problem for row in summary.iterations for problem in row.problems]
    table = _table("New samples", header, rows, left=(1,))
    return "\n".join([table, *problems]) if rows else ""


def _training(summary: Summary) -> str:
    rows = []
    before: dict[str, float] = {}
    for iteration in summary.iterations:
        for network, losses in iteration.losses.items():
            rows.append(
                (
                    str(iteration.iteration),
                    network,
                    _loss(losses.train),
                    _loss(losses.validation),
                    _loss(before.get(network, math.nan)),
                    _loss(losses.test),
                    "yes" if losses.test <= summary.threshold else "no",
                )
            )
            before[network] = losses.test
        for network in iteration.diverged:
            number = str(iteration.iteration)
            last = _loss(before.get(network, math.nan))
            rows.append((number, network, NONE, NONE, last, NONE, "diverged"))
        for name, losses in iteration.baselines.items():
            rows.append(
                (
                    str(iteration.iteration),
                    name,
                    _loss(losses.train),
                    _loss(losses.validation),
                    _loss(before.get(name, math.nan)),
                    _loss(losses.test),
                    NONE,
                )
            )
            before[name] = losses.test
    header = ("iteration", "network", "train", "validation", "test before", "test after", "enough")
    reasons = [reason for row in summary.iterations for reason in row.diverged.values()]
    return "\n".join([_table("Training (loss)", header, rows, left=(1,)), *reasons]) if rows else ""


def _controls(summary: Summary) -> str:
    rows = [
        (
            row.network,
            row.rows,
            str(row.seeds),
            mean_and_spread(row.validation, row.validation_spread),
            mean_and_spread(row.test, row.test_spread),
        )
        for row in summary.controls
    ]
    header = ("network", "rows", "seeds", "validation", "test")
    return _table("New and random rows (loss)", header, rows, left=(0, 1)) if rows else ""


def _zonal(summary: Summary) -> str:
    if not summary.zonal:
        return ""
    rows = [row.cells() for row in summary.zonal]
    table = _table("Zonal mean EKE (m³/s²)", HEADER, rows, left=(0,))
    return f"{table}\n{verdict(summary.zonal)}"


def _stages(summary: Summary) -> str:
    total = summary.total_seconds
    rows = [
        (stage, duration(seconds), f"{seconds / total:.0%}" if total > 0 else NONE)
        for stage, seconds in summary.stage_seconds.items()
    ]
    return _table("Time", ("stage", "time", "of total"), rows, left=(0,)) if rows else ""


def mean_and_spread(average: float, spread: float) -> str:
    """A mean with its standard deviation, as ``0.512 ± 0.004``."""
    return f"{_loss(average)} ± {_loss(spread)}"


def _spread(losses: list[float]) -> tuple[float, float]:
    """Mean and standard deviation."""
    return mean(losses), stdev(losses) if len(losses) > 1 else math.nan


def _losses(content: dict[str, dict[str, float | None]]) -> dict[str, Losses]:
    return {
        name: Losses(**{part: _number(value) for part, value in losses.items()})
        for name, losses in content.items()
    }


def _loss(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else NONE


def _table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int]
) -> str:
    """A titled table; columns in ``left`` are aligned to the left, the others to the right."""
    lines = columns(header, rows, left)
    rule = "-" * (
        sum(max(map(len, cells)) for cells in zip(header, *rows, strict=True))
        + 2 * (len(header) - 1)
    )
    return "\n".join((title, rule, lines[0], rule, *lines[1:]))


def _number(value: float | None) -> float:
    return math.nan if value is None else value
