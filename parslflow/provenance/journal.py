"""The journal: the files of all events of a run, read back as executions.

``EXECUTION.jsonl`` has the events of the process that began an execution, ``EXECUTION@PART.jsonl``
those of one that added to it, such as a rank of a simulation. Where nobody began it, as with a
program that is run by hand, the parts are the execution.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from parslflow.provenance.schema import Ended
from parslflow.provenance.schema import Event
from parslflow.provenance.schema import Started
from parslflow.provenance.schema import parser

PART = "@"
"""Stands between an execution's name and a part's in the name of a file."""
_TAIL = 1 << 16
_ENDS = 1 << 14


class Follower:
    """Reads what a journal gets while it grows.

    Args:
        journal: the folder.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._earlier = set(journal.glob("*.jsonl"))
        """Files that are there already are of an earlier run of the driver."""
        self._offsets: dict[Path, int] = {}

    def new_lines(self) -> Iterator[tuple[Path, bytes]]:
        """The whole lines that were written since it was asked last, by file."""
        for path in sorted(self._journal.glob("*.jsonl")):
            if path in self._earlier:
                continue
            offset = self._offsets.get(path, 0)
            if path.stat().st_size == offset:
                continue
            with path.open("rb") as file:
                file.seek(offset)
                # A last line without its end waits for the next time.
                for line in file.read().split(b"\n")[:-1]:
                    self._offsets[path] = self._offsets.get(path, 0) + len(line) + 1
                    yield path, line


def files(journal: Path) -> dict[str, list[Path]]:
    """The files of every execution, by its name; of several the one that began it is the first."""
    found: dict[str, list[Path]] = {}
    for path in sorted(journal.glob("*.jsonl")):
        found.setdefault(path.stem.partition(PART)[0], []).append(path)
    # '.' sorts before '@', so the beginner's file needs no looking for.
    return found


def has_ended(paths: list[Path]) -> bool:
    """Whether an execution has ended: who began it says so, or else all of its parts."""
    if PART not in paths[0].name:
        return _file_has_ended(paths[0])
    return all(_file_has_ended(path) for path in paths)


def read_execution(paths: list[Path]) -> tuple[list[Event], list[str]]:
    """The events of an execution, and one sentence for each line that is none.

    The start is the first event, and the end the last if it was written, whatever the number of
    files. A part that nobody ended, in an execution of parts alone, leaves it without an end.
    """
    problems: list[str] = []
    parts: list[list[Event]] = []
    for path in paths:
        events, wrong = read_checked(path)
        problems += wrong
        if events and isinstance(events[0], Started):
            parts.append(events)
        else:
            problems.append(
                f"{path} does not begin with the start of an execution, so it is left out."
            )
    if not parts:
        return [], problems
    begun = parts[0] if PART not in paths[0].name else None
    ends = [part[-1] for part in parts if isinstance(part[-1], Ended)]
    if begun is not None:
        end = begun[-1] if isinstance(begun[-1], Ended) else None
    else:
        end = _together(ends) if len(ends) == len(parts) else None
    between = (event for part in parts for event in part if not isinstance(event, Started | Ended))
    return [parts[0][0], *between, *([end] if end is not None else [])], problems


def read_checked(path: Path) -> tuple[list[Event], list[str]]:
    """The events of one file, and one sentence for each line that is none."""
    events: list[Event] = []
    problems: list[str] = []
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            events.append(parser.validate_json(line))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the line"
            problems.append(f"{path}, line {number} is no event: {where}: {first['msg']}.")
    return events, problems


def read_ends(path: Path) -> list[Event]:
    """The start of an execution in a file and the last of what it says, however long the file is.

    What is no event is left out; a file that does not begin with a start has none.
    """
    with path.open("rb") as file:
        head = file.readline()
        start = max(len(head), file.seek(0, 2) - _ENDS)
        file.seek(start)
        lines = file.read().split(b"\n")[:-1]
    # What was cut in two is as if it was not there.
    events = []
    for line in [head, *lines[start > len(head) :]]:
        try:
            events.append(parser.validate_json(line))
        except ValidationError:
            continue
    return events if events and isinstance(events[0], Started) else []


def read_file(path: Path) -> list[dict[str, Any]]:
    """The events of one file as they are; what is no JSON object is left out."""
    events = []
    for line in whole_lines(path):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


def whole_lines(path: Path) -> list[bytes]:
    """The lines of a file without a last one that was cut when its process was killed."""
    return path.read_bytes().split(b"\n")[:-1]


def _file_has_ended(path: Path) -> bool:
    """Whether the last whole line of a file says that its process ended; reads only the end."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        lines = file.read().split(b"\n")
    if len(lines) < 2:
        return False
    try:
        event = json.loads(lines[-2])
    except ValueError:
        return False
    return isinstance(event, dict) and event.get("event") == "ended"


def _together(ends: Iterable[Ended]) -> Ended:
    """The end of an execution of parts: failed if one failed, with what all of them cost."""
    ends = sorted(ends, key=lambda end: (end.status == "failed", end.time))
    return ends[-1].model_copy(
        update={
            "time": max(end.time for end in ends),
            "wall_seconds": max(end.wall_seconds for end in ends),
            "cpu_seconds": sum(end.cpu_seconds for end in ends),
            "peak_memory_bytes": max(end.peak_memory_bytes for end in ends),
        }
    )
