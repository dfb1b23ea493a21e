"""The event format, as its readers check it.

Version 1: JSON lines, one event a line; ``sequence`` counts from 0 in each execution. A journal
file holds the events of one execution: ``started`` first, ``ended`` last.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated
from typing import Literal

from pydantic import AwareDatetime
from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field
from pydantic import NonNegativeFloat
from pydantic import NonNegativeInt
from pydantic import TypeAdapter
from pydantic import ValidationError

from parslflow.provenance.events import Value
from parslflow.provenance.events import whole_lines

_TAIL = 1 << 16


class _Event(BaseModel):
    """What every event has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = Field(alias="schema")
    execution: str
    sequence: NonNegativeInt
    time: AwareDatetime


class Started(_Event):
    """An execution began."""

    event: Literal["started"]
    pipeline: str
    context: str
    name: str
    properties: dict[str, Value]
    host: str
    pid: int
    command: list[str]


class ArtifactEvent(_Event):
    """A file was read or written; ``path`` is relative to the run directory if it lies in it."""

    event: Literal["used", "produced"]
    path: str
    kind: Literal["dataset", "model"]
    size: NonNegativeInt
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    properties: dict[str, Value]


class Metric(_Event):
    """A row of a series of metrics."""

    event: Literal["metric"]
    series: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
    values: dict[str, Value]


class Result(_Event):
    """Metrics of the execution as a whole."""

    event: Literal["result"]
    values: dict[str, Value]


class Decision(_Event):
    """What a driver saw, and what it chose."""

    event: Literal["decision"]
    values: dict[str, Value]


class Ended(_Event):
    """An execution ended; memory is the peak of the process or its largest child."""

    event: Literal["ended"]
    status: Literal["completed", "failed"]
    error: str
    wall_seconds: NonNegativeFloat
    cpu_seconds: NonNegativeFloat
    peak_memory_bytes: NonNegativeInt


Event = Annotated[
    Started | ArtifactEvent | Metric | Result | Decision | Ended, Field(discriminator="event")
]
_event: TypeAdapter[Event] = TypeAdapter(Event)


def read_checked(path: Path) -> tuple[list[Event], list[str]]:
    """The events of one execution's file, and one sentence for each line that is none."""
    events: list[Event] = []
    problems: list[str] = []
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            events.append(_event.validate_json(line))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the line"
            problems.append(f"{path}, line {number} is no event: {where}: {first['msg']}.")
    return events, problems


def has_ended(path: Path) -> bool:
    """Whether the last whole line of an execution's file says that it ended; reads only the end."""
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
