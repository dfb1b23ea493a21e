"""Where a run stands, live or dead, from its journal alone."""

from __future__ import annotations

import socket
from collections import Counter
from dataclasses import dataclass
from dataclasses import field
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import Literal
from typing import get_args

from parslflow import experiment as experiments
from parslflow.errors import DivergedError
from parslflow.finished import lives
from parslflow.provenance import journal as journals
from parslflow.provenance.events import Content
from parslflow.provenance.schema import Decision
from parslflow.provenance.schema import Ended
from parslflow.provenance.schema import Event
from parslflow.provenance.schema import Metric
from parslflow.provenance.schema import Result
from parslflow.provenance.schema import Started
from parslflow.remaining import remaining
from parslflow.report.progress import row
from parslflow.report.summary import duration
from parslflow.report.tables import NONE
from parslflow.report.tables import columns
from parslflow.rundir import RunDir

State = Literal["done", "running", "failed", "interrupted"]

MOST_OPEN = 6
"""So many executions that are not done are listed, the newest."""
MOST_TRAININGS = 6
"""So many trainings are listed, the newest."""


@dataclass(frozen=True)
class Execution:
    """One execution, as far as it has come.

    Attributes:
        started: its start.
        state: ``interrupted`` if it has not ended and its process is gone.
        seen: when it last said something.
        error: one sentence if it failed.
        row: the last row of its metrics; None if there is none at the end of what it said.
        values: its results, and what it decided.
    """

    started: Started
    state: State
    seen: datetime
    error: str
    row: Metric | None
    values: dict[str, Content] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the execution does."""
        return self.started.name


@dataclass(frozen=True)
class Status:
    """Where a run stands.

    Attributes:
        run: its directory.
        now: when this was found out.
        driver: what the driver that is at work says of itself; None if there is none.
        executions: the last execution of every name, in the order of their starts.
        iteration: what the loop is at, counted from 0; None before the first training set.
        iterations: how often new data is generated at most.
        deployed: the model version that was deployed last; empty if none was.
        left: what a resumed run begins with; empty if all is done.
    """

    run: Path
    now: datetime
    driver: str | None
    executions: list[Execution]
    iteration: int | None
    iterations: int
    deployed: str
    left: list[str]


def read(root: Path) -> Status:
    """Where the run in ``root`` stands.

    Raises:
        UsageError: ``root`` is no run directory, or its experiment is wrong.
    """
    run = RunDir.open(root)
    experiment = experiments.load(run.experiment)
    now, driver = datetime.now(UTC), run.driver()
    # What ranks add is no part of what the stage says.
    ends = (journals.read_ends(paths[0]) for paths in journals.files(run.journal).values())
    found = [_execution(events, driver) for events in ends if events]
    found.sort(key=lambda one: one.started.time)
    done = [one for one in found if one.state == "done"]
    last = {one.name: one for one in found}
    # A name's place is that of its last start.
    executions = sorted(last.values(), key=lambda one: one.started.time)

    def latest(context: str, key: str) -> str:
        chosen = [one for one in done if one.started.context == context]
        said = chosen[-1].values | chosen[-1].started.properties if chosen else {}
        return str(said.get(key, ""))

    diverged = f"{DivergedError.__name__}: "
    return Status(
        run=run.root,
        now=now,
        driver=driver,
        executions=executions,
        iteration=max(
            (
                iteration
                for one in found
                if isinstance(iteration := one.started.properties.get("iteration"), int)
            ),
            default=None,
        ),
        iterations=experiment.loop.iterations,
        deployed=latest("deploy", "version"),
        left=remaining(
            experiment,
            {one.name for one in done},
            {one.name: one.values for one in done},
            {one.name: one.error for one in executions if one.error.startswith(diverged)},
            latest("rollback", "best") or None,
        ),
    )


def to_text(status: Status) -> str:
    """The status on one screen."""
    parts = [
        _heading(status),
        *(part for part in (_stages(status), _open(status), _losses(status)) if part),
    ]
    return "\n\n".join(parts)


def _execution(events: list[Event], driver: str | None) -> Execution:
    started, last = events[0], events[-1]
    assert isinstance(started, Started)  # noqa: S101 - as read_ends promises
    values: dict[str, Content] = {}
    for event in events:
        if isinstance(event, Result | Decision):
            values |= event.values
    state: State = "interrupted"
    if isinstance(last, Ended):
        state = "done" if last.status == "completed" else "failed"
    elif lives(started) or (driver is not None and started.host != socket.gethostname()):
        state = "running"
    return Execution(
        started=started,
        state=state,
        seen=last.time,
        error=last.error.partition("\n")[0] if isinstance(last, Ended) else "",
        row=next((event for event in reversed(events) if isinstance(event, Metric)), None),
        values=values,
    )


def _heading(status: Status) -> str:
    lines = {"Run": str(status.run), "Driver": status.driver or "none is at work"}
    if status.iteration is not None:
        lines["Iteration"] = f"{status.iteration} of at most {status.iterations}"
    lines["Deployed"] = status.deployed or "no model so far"
    if status.driver is None:
        lines["Next"] = _next(status)
    return "\n".join(f"{key:<11}{value}" for key, value in lines.items())


def _next(status: Status) -> str:
    """What a resumed run would do."""
    alive = [one for one in status.executions if one.state == "running"]
    if alive:
        process = f"{alive[0].name} (process {alive[0].started.pid})"
        return f"{process} still runs; wait until it has ended, or end it, then resume"
    if status.left:
        return f"'parslflow resume' begins with {', '.join(status.left)}"
    return "nothing is left to do"


def _stages(status: Status) -> str:
    """How many executions of each stage are in which state."""
    counts: dict[str, Counter[str]] = {}
    for one in status.executions:
        counts.setdefault(one.started.context, Counter())[one.state] += 1
    states = get_args(State)
    rows = [
        (stage, *(str(count[state]) if count[state] else NONE for state in states))
        for stage, count in counts.items()
    ]
    return "\n".join(columns(("stage", *states), rows, left=(0,))) if rows else ""


def _open(status: Status) -> str:
    """What is not done, the newest last."""
    found = [one for one in status.executions if one.state != "done"]
    lines = [_line(one, status.now) for one in found[-MOST_OPEN:]]
    if len(found) > MOST_OPEN:
        lines.insert(0, f"{len(found) - MOST_OPEN} more that are not done, and")
    return "\n".join(lines)


def _line(one: Execution, now: datetime) -> str:
    """One execution that is not done."""
    ago = duration(max(0.0, (now - one.seen).total_seconds()))
    if one.state == "failed":
        return f"{one.name}  failed {ago} ago: {one.error}"
    since = f"{one.started.time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    words = row(one.row) if one.row is not None else ""
    return f"{one.name}  {one.state}, begun {since}, last heard of {ago} ago  {words}".rstrip()


def _losses(status: Status) -> str:
    """What the trainings came to so far, the newest last."""
    trainings = [one for one in status.executions if one.started.context == "train"]
    rows = [
        (
            str(one.started.properties.get("iteration", NONE)),
            str(one.started.properties.get("network", one.name)),
            str((one.row.values if one.row else {}).get("epoch", NONE)),
            *(_loss(one, part) for part in ("train", "validation", "test")),
        )
        for one in trainings[-MOST_TRAININGS:]
    ]
    header = ("iteration", "network", "epoch", "train", "validation", "test")
    return "\n".join(["Losses", *columns(header, rows, left=(1,))]) if rows else ""


def _loss(one: Execution, part: str) -> str:
    """A loss of a training: its last, or that of the epoch that it is at."""
    values = one.values or (one.row.values if one.row else {})
    loss = values.get(f"{part}_loss")
    return f"{loss:.3f}" if isinstance(loss, float) else NONE
