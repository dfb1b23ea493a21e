"""What passes between the driver and its stages: validated inputs in, a small record out.

A stage is a function ``stage(inputs, report) -> Record``. It knows neither Parsl nor CMF, so it
runs alone from the JSON text of its inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Literal
from typing import Protocol

from pydantic import BaseModel
from pydantic import ConfigDict

Value = str | int | float
"""What a property or a metric can be."""


@dataclass(frozen=True)
class Artifact:
    """A file that a stage read or wrote."""

    path: Path
    kind: Literal["dataset", "model"]
    properties: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """What a stage read, what it wrote, and how it went."""

    read: tuple[Artifact, ...] = ()
    wrote: tuple[Artifact, ...] = ()
    metrics: dict[str, Value] = field(default_factory=dict)


class Report(Protocol):
    """Takes one row of a metric series while a stage runs: an epoch, a model day."""

    def __call__(self, series: str, /, **values: Value) -> None:
        """Send the row ``values`` of ``series``."""


class Inputs(BaseModel):
    """Base of every stage's inputs: plain JSON, no unknown key, not changed after the check."""

    model_config = ConfigDict(extra="forbid", frozen=True)
