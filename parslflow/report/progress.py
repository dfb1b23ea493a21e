"""Shows a run's progress while it runs, from its journal alone."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from datetime import UTC
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from typing import TextIO

from pydantic import ValidationError

from parslflow.provenance.events import Content
from parslflow.provenance.journal import PART
from parslflow.provenance.journal import Follower
from parslflow.provenance.schema import Decision
from parslflow.provenance.schema import Ended
from parslflow.provenance.schema import Event
from parslflow.provenance.schema import Metric
from parslflow.provenance.schema import Result
from parslflow.provenance.schema import Started
from parslflow.provenance.schema import parser
from parslflow.report.summary import duration

POLL_SECONDS = 0.5
QUIET_SECONDS = 10.0
"""In a log, an execution has at most one line of progress in so many seconds."""
KEY_METRICS = 4
"""How many of its results an execution's last line shows."""

_SHOWN = {
    "epoch": ("validation_loss",),
    "day": ("kinetic_energy",),
    "time": ("times", "seen", "kept"),
    "rejected": ("day", "flaw"),
}
_COUNTED = {"epoch": "epochs", "day": "days"}


@dataclass
class _Execution:
    """What is known of one execution's file."""

    started: Started | None = None
    row: str = ""
    shown: float = 0.0
    """When its last line was printed, s since the epoch."""
    results: dict[str, Content] = field(default_factory=dict)
    ended: bool = False


class Progress:
    """Follows a journal and prints its executions' starts, rows and ends.

    Used as a context manager, it polls in a thread of its own. On a terminal, running executions
    are live lines below the finished ones; elsewhere each line stands for itself. Executions that
    were in the journal before are of an earlier run of the driver and not shown.

    Args:
        journal: the folder of the run's events.
        stream: what to print on.
    """

    def __init__(self, journal: Path, stream: TextIO) -> None:
        self._follower = Follower(journal)
        self._stream = stream
        self._live = stream.isatty()
        self._live_lines = 0
        self._began = datetime.now(UTC)
        self._executions: dict[Path, _Execution] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Print what is left, and end."""
        self._stop.set()
        self._thread.join()

    def poll(self) -> None:
        """Read what is new in the journal and print it."""
        timed: list[tuple[datetime, str]] = []
        for path, text in self._follower.new_lines():
            # Of a simulation the stage says how far it is, not each rank.
            if PART in path.name:
                continue
            try:
                event = parser.validate_json(text)
            except ValidationError:
                # What is wrong with it, the writer says.
                continue
            line = self._line(self._executions.setdefault(path, _Execution()), event)
            if line:
                timed.append((event.time, line))
        lines = [self._stamp(time) + line for time, line in sorted(timed)]
        if self._live:
            self._redraw(lines)
        elif lines:
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()

    def _follow(self) -> None:
        try:
            while not self._stop.wait(POLL_SECONDS):
                self.poll()
            self.poll()
        except (OSError, ValueError):
            # The stream is closed, as by `parslflow run | head`. The run itself goes on.
            return

    def _line(self, execution: _Execution, event: Event) -> str:
        """Take the event in; what it adds to the lines that stay, empty if nothing."""
        if isinstance(event, Started):
            execution.started = event
            execution.shown = event.time.timestamp()
            return "" if self._live else f"{event.name}  started"
        if execution.started is None:
            return ""
        name = execution.started.name
        if isinstance(event, Metric):
            execution.row = row(event)
            if self._live or event.time.timestamp() - execution.shown < QUIET_SECONDS:
                return ""
            execution.shown = event.time.timestamp()
            return f"{name}  {execution.row}"
        if isinstance(event, Decision):
            return f"{name}  {_pairs(event.values)}"
        if isinstance(event, Result):
            execution.results |= event.values
        if isinstance(event, Ended):
            execution.ended = True
            took = duration(event.wall_seconds)
            if event.status == "failed":
                return f"{name}  failed after {took}: {event.error.partition(chr(10))[0]}"
            numbers = {
                key: value
                for key, value in execution.results.items()
                if not isinstance(value, str) and key != "seconds"
            }
            key_metrics = dict(list(numbers.items())[:KEY_METRICS])
            return f"{name}  completed in {took}  {_pairs(key_metrics)}".rstrip()
        return ""

    def _redraw(self, lines: list[str]) -> None:
        """Print ``lines`` to stay, and the running executions' lines below them."""
        width, height = shutil.get_terminal_size()
        now = self._stamp(datetime.now(UTC))
        live = [
            f"{now}{execution.started.name}  {execution.row or 'running'}"[: width - 1]
            for execution in self._executions.values()
            if execution.started is not None and not execution.ended
        ][: height - 1]
        # Up to the first live line, then clear to the end of the screen.
        back = f"\x1b[{self._live_lines}A\x1b[J" if self._live_lines else ""
        self._stream.write(back + "".join(f"{line}\n" for line in [*lines, *live]))
        self._stream.flush()
        self._live_lines = len(live)

    def _stamp(self, time: datetime) -> str:
        return f"[{max(0.0, (time - self._began).total_seconds()):6.1f} s] "


def row(event: Metric) -> str:
    """A row of metrics in words, such as ``epoch 12/40  validation_loss 0.41``."""
    series, values = event.series, event.values
    shown = _SHOWN.get(series, tuple(values)[:KEY_METRICS])
    words = _pairs({key: values[key] for key in shown if key in values})
    total = _COUNTED.get(series)
    if total in values and series in values:
        return f"{series} {_text(values[series])}/{_text(values[total])}  {words}".rstrip()
    return f"{series}  {words}" if series not in _SHOWN else words


def _pairs(values: Mapping[str, Content]) -> str:
    return "  ".join(f"{key} {_text(value)}" for key, value in values.items())


def _text(value: Content) -> str:
    """Strings as they are, integers with thousands separated, other numbers with three digits."""
    if isinstance(value, list):
        return f"[{', '.join(_text(item) for item in value)}]"
    if isinstance(value, str):
        return value
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.3g}"
