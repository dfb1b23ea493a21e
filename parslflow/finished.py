"""What of a run is done: records and decisions of its completed executions, from the journal.

A run that is resumed asks here first, so that nothing is done twice whose inputs, settings and
outputs are as they were.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from parslflow.provenance import journal as journals
from parslflow.provenance.events import Content
from parslflow.provenance.events import has_content
from parslflow.provenance.schema import ArtifactEvent
from parslflow.provenance.schema import Decision
from parslflow.provenance.schema import Ended
from parslflow.provenance.schema import Event
from parslflow.provenance.schema import Result
from parslflow.provenance.schema import Started
from parslflow.records import Artifact
from parslflow.records import Record
from parslflow.records import Value
from parslflow.rundir import RunDir

INPUTS = "inputs"
"""The property of an execution that has the SHA-256 of its stage file."""

_CLOCK_SECONDS = 60.0
"""By so much may the clock have been set since; no number of a process comes again so soon."""


class Finished:
    """The executions of a run that had completed when this object was made.

    Of several executions of one name the last counts.
    """

    def __init__(self, run: RunDir) -> None:
        self._root = run.root
        self._completed: dict[str, list[Event]] = {}
        self._running: list[Started] = []
        # What ranks add is no part of what the stage answered.
        own = (paths[:1] for paths in journals.files(run.journal).values())
        read = (journals.read_execution(paths)[0] for paths in own)
        for events in sorted(filter(None, read), key=lambda events: events[0].time):
            started, ended = events[0], events[-1]
            assert isinstance(started, Started)  # noqa: S101 - as read_execution promises
            if not isinstance(ended, Ended):
                self._running.append(started)
            elif ended.status == "completed":
                self._completed[started.name] = events

    def __len__(self) -> int:
        """How many executions have completed, those of one name counted once."""
        return len(self._completed)

    def record(self, name: str, inputs: str) -> Record | None:
        """What a stage answered, if it would answer the same again.

        Args:
            name: the execution's.
            inputs: the SHA-256 of its stage file.

        Returns:
            None if it has not completed, or its settings, what it read or what it wrote differ.
        """
        events = self._completed.get(name)
        if events is None or _started(events).properties.get(INPUTS) != inputs:
            return None
        if not self._unchanged(events):
            return None
        return Record(
            read=self._artifacts(events, "used"),
            wrote=self._artifacts(events, "produced"),
            metrics=_metrics(events),
        )

    def decision(self, name: str, scripts: list[Path]) -> dict[str, Content] | None:
        """The values of a decision that was made about these very files."""
        events = self._completed.get(name)
        if events is None or not self._unchanged(events):
            return None
        if [artifact.path for artifact in self._artifacts(events, "used")] != scripts:
            return None
        return next(event.values for event in events if isinstance(event, Decision))

    def test_losses(self) -> dict[str, float]:
        """The test loss of every model version, in the order in which their trainings started."""
        return {
            str(_started(events).properties["version"]): float(_metrics(events)["test_loss"])
            for events in self._completed.values()
            if _started(events).context == "train"
        }

    def rolled_back(self) -> str | None:
        """The model version that the last rollback chose."""
        chosen = None
        for events in self._completed.values():
            if _started(events).context == "rollback":
                chosen = next(
                    str(event.values["best"]) for event in events if isinstance(event, Decision)
                )
        return chosen

    def still_running(self) -> list[Started]:
        """Executions without an end whose process lives on this machine."""
        return [started for started in self._running if lives(started)]

    def _unchanged(self, events: list[Event]) -> bool:
        """Whether all files of an execution are as it said."""
        return all(
            has_content(self._root / event.path, event.sha256)
            for event in events
            if isinstance(event, ArtifactEvent)
        )

    def _artifacts(self, events: list[Event], direction: str) -> tuple[Artifact, ...]:
        return tuple(
            Artifact(self._root / event.path, event.kind, _plain(event.properties))
            for event in events
            if isinstance(event, ArtifactEvent) and event.event == direction
        )


def lives(started: Started) -> bool:
    """Whether the process that began an execution is here, and no later one of its number."""
    if started.host != socket.gethostname():
        return False
    try:
        fields = Path(f"/proc/{started.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    # The times of the folder itself are those of the first look at it.
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    born = time.time() - age
    # One that was killed stays in the table until its parent asks for it.
    return born <= started.time.timestamp() + _CLOCK_SECONDS and fields[0] != "Z"


def _started(events: list[Event]) -> Started:
    started = events[0]
    assert isinstance(started, Started)  # noqa: S101 - as read_execution promises
    return started


def _metrics(events: list[Event]) -> dict[str, Value]:
    metrics: dict[str, Value] = {}
    for event in events:
        if isinstance(event, Result):
            metrics |= _plain(event.values)
    return metrics


def _plain(values: dict[str, Content]) -> dict[str, Value]:
    """What a record can hold; no stage writes arrays into one."""
    return {key: value for key, value in values.items() if not isinstance(value, list)}
