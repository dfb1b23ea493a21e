"""The event format, as its readers check it.

Version 2: JSON lines, one event a line; ``sequence`` counts from 0 in each file. A journal file
holds the events of one process for one execution: ``started`` first, ``ended`` last.
``docs/events.schema.json`` is this module as a JSON Schema; ``python -m
parslflow.provenance.schema`` prints it. Floats that are not finite are ``NaN``, ``Infinity`` and
``-Infinity``, as Python's ``json`` writes them.
"""

from __future__ import annotations

import json
from typing import Annotated
from typing import Literal

from pydantic import AwareDatetime
from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field
from pydantic import NonNegativeFloat
from pydantic import NonNegativeInt
from pydantic import TypeAdapter

from parslflow.provenance.events import Content

Contents = dict[str, Content]


class _Event(BaseModel):
    """What every event has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[2] = Field(alias="schema")
    execution: str
    sequence: NonNegativeInt
    time: AwareDatetime
    rank: NonNegativeInt | None = None
    """The MPI rank that says it; None where there is one process."""


class Started(_Event):
    """An execution began, or a process began to add to it."""

    event: Literal["started"]
    pipeline: str
    context: str
    name: str
    properties: Contents
    host: str
    pid: int
    command: list[str]
    job: str = ""
    """The scheduler's job, such as ``slurm 1234.0``; empty if there is none."""
    commit: str = ""
    """The git commit of the experiment, with ``-modified`` if files differ from it."""
    environment: str = ""
    """The SHA-256 of the platform, Python and the packages, as ``environment.json`` lists them."""


class Properties(_Event):
    """What else distinguishes the execution; a later value of a key replaces the former."""

    event: Literal["properties"]
    values: Contents


class ArtifactEvent(_Event):
    """A file was read or written; ``path`` is relative to the run directory if it lies in it."""

    event: Literal["used", "produced"]
    path: str
    kind: Literal["dataset", "model"]
    size: NonNegativeInt
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    properties: Contents


class Metric(_Event):
    """A row of a series of metrics."""

    event: Literal["metric"]
    series: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
    values: Contents


class Result(_Event):
    """Metrics of the execution as a whole."""

    event: Literal["result"]
    values: Contents


class Decision(_Event):
    """What a driver saw, and what it chose."""

    event: Literal["decision"]
    values: Contents


class Ended(_Event):
    """An execution ended; memory is the peak of the process or its largest child."""

    event: Literal["ended"]
    status: Literal["completed", "failed"]
    error: str
    wall_seconds: NonNegativeFloat
    cpu_seconds: NonNegativeFloat
    peak_memory_bytes: NonNegativeInt


Event = Annotated[
    Started | Properties | ArtifactEvent | Metric | Result | Decision | Ended,
    Field(discriminator="event"),
]
parser: TypeAdapter[Event] = TypeAdapter(Event)
"""Checks a line of a journal: ``parser.validate_json(line)``."""


def json_schema() -> str:
    """The JSON Schema of an event."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An event of parslflow, version 2",
        **parser.json_schema(by_alias=True),
    }
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    print(json_schema(), end="")
