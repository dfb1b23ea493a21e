from __future__ import annotations

import io
import json
import re
import time
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from pathlib import Path

import pytest

from parslflow.provenance import events
from parslflow.report.progress import Progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal, and can show what would be on its screen."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        lines: list[str] = []
        for part in re.split(r"(\x1b\[\d+A\x1b\[J)", self.getvalue()):
            up = re.fullmatch(r"\x1b\[(\d+)A\x1b\[J", part)
            if up:
                del lines[len(lines) - int(up[1]) :]
            else:
                lines += part.splitlines()
        return lines


class Journalled:
    """A journal file whose events have the times that a test gives them."""

    def __init__(self, journal: Path, name: str, context: str = "train") -> None:
        self._path = journal / f"{name}-00000000.jsonl"
        self._name, self._context = name, context
        self._sequence = 0
        self._zero = datetime.now(UTC)

    def line(self, seconds: float, event: str, **fields: object) -> bytes:
        head = {
            "schema": 2,
            "event": event,
            "execution": self._path.stem,
            "sequence": self._sequence,
            "time": (self._zero + timedelta(seconds=seconds)).isoformat(),
        }
        self._sequence += 1
        return json.dumps(head | fields).encode() + b"\n"

    def append(self, data: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(data)

    def started(self, seconds: float) -> None:
        self.append(
            self.line(
                seconds,
                "started",
                pipeline="demo",
                context=self._context,
                name=self._name,
                properties={},
                host="node",
                pid=1,
                command=[],
            )
        )

    def metric(self, seconds: float, series: str, /, **values: float) -> None:
        self.append(self.line(seconds, "metric", series=series, values=values))

    def result(self, seconds: float, /, **values: float | str) -> None:
        self.append(self.line(seconds, "result", values=values))

    def ended(self, seconds: float, wall: float, error: str = "") -> None:
        self.append(
            self.line(
                seconds,
                "ended",
                status="failed" if error else "completed",
                error=error,
                wall_seconds=wall,
                cpu_seconds=1.0,
                peak_memory_bytes=1,
            )
        )


def lines_since(stream: io.StringIO) -> list[str]:
    """What was printed since the last call, tenths of seconds (the machine's delays) cut off."""
    text = stream.getvalue()
    stream.seek(0)
    stream.truncate()
    return re.sub(r"(?m)^(\[ *\d+)\.\d s\]", r"\1 s]", text).splitlines()


def test_a_log_has_starts_ends_and_rows_ten_seconds_apart(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = Progress(tmp_path, stream)
    training = Journalled(tmp_path, "train-A-0")
    training.started(3.3)
    progress.poll()
    assert lines_since(stream) == ["[   3 s] train-A-0  started"]

    training.metric(12.9, "epoch", epoch=11, epochs=40, train_loss=0.4, validation_loss=0.42)
    progress.poll()
    assert lines_since(stream) == []

    training.metric(13.6, "epoch", epoch=12, epochs=40, train_loss=0.4, validation_loss=0.4132)
    training.metric(14.5, "epoch", epoch=13, epochs=40, train_loss=0.4, validation_loss=0.41)
    progress.poll()
    assert lines_since(stream) == ["[  13 s] train-A-0  epoch 12/40  validation_loss 0.413"]

    training.result(44.5, train_loss=0.31, validation_loss=0.35, test_loss=0.9, script="a.pt")
    training.ended(44.5, wall=41.24)
    progress.poll()
    assert lines_since(stream) == [
        "[  44 s] train-A-0  completed in 41.2 s  train_loss 0.31  validation_loss 0.35"
        "  test_loss 0.9"
    ]
    progress.poll()
    assert lines_since(stream) == []


def test_days_times_decisions_and_failures_have_their_words(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = Progress(tmp_path, stream)
    high = Journalled(tmp_path, "generate-1", "generate")
    sampler = Journalled(tmp_path, "sample-1", "sample")
    driver = Journalled(tmp_path, "evaluate-1", "evaluate")
    high.started(0.2)
    high.metric(20.5, "day", day=12.0, days=30.0, kinetic_energy=0.0312345, cfl=0.2)
    sampler.started(1.5)
    sampler.metric(30.5, "time", day=12.0, times=5, seen=76800, kept=5123)
    driver.started(31.5)
    driver.append(driver.line(32.5, "decision", values={"best": "A-1", "test_loss A-1": 0.9}))
    high.ended(33.5, wall=63.2, error="ParslflowError: the model stopped.\nAnd more.")
    progress.poll()
    assert lines_since(stream) == [
        "[   0 s] generate-1  started",
        "[   1 s] sample-1  started",
        "[  20 s] generate-1  day 12/30  kinetic_energy 0.0312",
        "[  30 s] sample-1  times 5  seen 76,800  kept 5,123",
        "[  31 s] evaluate-1  started",
        "[  32 s] evaluate-1  best A-1  test_loss A-1 0.9",
        "[  33 s] generate-1  failed after 1 min 03 s: ParslflowError: the model stopped.",
    ]


def test_a_cut_line_waits_and_a_wrong_one_is_passed_over(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = Progress(tmp_path, stream)
    training = Journalled(tmp_path, "train-A-0")
    training.started(0.5)
    row = training.line(
        20.5, "metric", series="epoch", values={"epoch": 1, "epochs": 2, "validation_loss": 1.5}
    )
    training.append(b"no event\n" + row[:25])
    progress.poll()
    assert lines_since(stream) == ["[   0 s] train-A-0  started"]
    training.append(row[25:-1])
    progress.poll()
    assert lines_since(stream) == []
    training.append(b"\n")
    progress.poll()
    assert lines_since(stream) == ["[  20 s] train-A-0  epoch 1/2  validation_loss 1.5"]


def test_executions_of_an_earlier_run_are_not_shown(tmp_path: Path) -> None:
    with events.execution(tmp_path, pipeline="demo", context="train", name="train-A-0"):
        pass
    stream = io.StringIO()
    progress = Progress(tmp_path, stream)
    progress.poll()
    assert stream.getvalue() == ""


def test_a_terminal_keeps_ends_above_one_live_line_per_running_execution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "24")
    terminal = Terminal()
    progress = Progress(tmp_path, terminal)
    high = Journalled(tmp_path, "generate-1")
    high.started(0.0)
    progress.poll()
    sampler = Journalled(tmp_path, "sample-1")
    sampler.started(0.0)
    sampler.metric(0.1, "time", day=1.0, times=1, seen=10, kept=2)
    high.metric(0.1, "day", day=1, days=30, kinetic_energy=0.02)
    progress.poll()
    bodies = sorted(line.split("] ", 1)[1] for line in terminal.screen())
    assert bodies == [
        "generate-1  day 1/30  kinetic_energy 0.02",
        "sample-1  times 1  seen 10  kept 2",
    ]
    high.metric(0.2, "day", day=2, days=30, kinetic_energy=0.03)
    sampler.result(0.3, times=1, seen=10, kept=2, rejected=8, long=5, seconds=0.1)
    sampler.ended(0.3, wall=0.3)
    progress.poll()
    assert [line.split("] ", 1)[1] for line in terminal.screen()] == [
        "sample-1  completed in 0.3 s  times 1  seen 10  kept 2  rejected 8",
        "generate-1  day 2/30  kinetic_energy 0.03",
    ]


def test_live_lines_fit_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("LINES", "4")
    terminal = Terminal()
    progress = Progress(tmp_path, terminal)
    for number in range(6):
        Journalled(tmp_path, f"simulate-with-a-long-name-{number}").started(0.0)
    progress.poll()
    progress.poll()
    assert len(terminal.screen()) == 3
    assert {len(line) for line in terminal.screen()} == {29}


def test_the_thread_follows_a_real_execution_and_its_end_is_flushed(tmp_path: Path) -> None:
    stream = io.StringIO()
    with (
        Progress(tmp_path, stream),
        events.execution(tmp_path, pipeline="demo", context="train", name="train-A-0") as run,
    ):
        deadline = time.monotonic() + 10
        while "started" not in stream.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        run.result({"test_loss": 0.5})
    started, ended = stream.getvalue().splitlines()
    assert re.fullmatch(r"\[ +\d+\.\d s\] train-A-0  started", started)
    assert re.fullmatch(r"\[ +\d+\.\d s\] train-A-0  completed in \d+\.\d s  test_loss 0\.5", ended)


def test_a_closed_stream_does_not_fail_the_run(tmp_path: Path) -> None:
    stream = io.StringIO()
    with Progress(tmp_path, stream):
        stream.close()
        with events.execution(tmp_path, pipeline="demo", context="train", name="train-A-0"):
            pass
