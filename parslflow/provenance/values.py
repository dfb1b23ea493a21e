"""What the events of an execution say, as CMF's metadata holds it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from cmflib.metadata_helper import value_to_mlmd_value

from parslflow.provenance.events import Content
from parslflow.provenance.events import Value
from parslflow.provenance.mlmd import EXACT
from parslflow.provenance.schema import Decision
from parslflow.provenance.schema import Ended
from parslflow.provenance.schema import Event
from parslflow.provenance.schema import Metric
from parslflow.provenance.schema import Properties
from parslflow.provenance.schema import Result
from parslflow.provenance.schema import Started


def properties(events: Sequence[Event]) -> dict[str, Content]:
    """What CMF keeps of an execution besides its artifacts and metrics."""
    started, ended = events[0], events[-1]
    assert isinstance(started, Started)  # noqa: S101 - what who reads the journal promises
    found: dict[str, Content] = dict(started.properties)
    for event in events:
        if isinstance(event, Properties):
            found |= event.values
    found |= {
        "name": started.name,
        "started": started.time.isoformat(),
        "host": started.host,
        "pid": started.pid,
        "job": started.job,
        "commit": started.commit,
        "environment": started.environment,
        "status": "lost",
    }
    if isinstance(ended, Ended):
        found |= {
            "status": ended.status,
            "error": ended.error,
            "ended": ended.time.isoformat(),
            "wall_seconds": ended.wall_seconds,
            "cpu_seconds": ended.cpu_seconds,
            "peak_memory_bytes": ended.peak_memory_bytes,
        }
    return found


def series(events: Sequence[Event]) -> dict[str, list[Mapping[str, Content]]]:
    """The rows of each series of metrics."""
    found: dict[str, list[Mapping[str, Content]]] = {}
    for event in events:
        if isinstance(event, Metric):
            rank = {} if event.rank is None else {"rank": event.rank}
            found.setdefault(event.series, []).append(rank | event.values)
    return found


def results(events: Sequence[Event]) -> dict[str, dict[str, Content]]:
    """The metrics of the execution as a whole: its ``result``, its ``decision``."""
    found: dict[str, dict[str, Content]] = {}
    for event in events:
        if isinstance(event, Result | Decision):
            found.setdefault(event.event, {}).update(event.values)
    return found


def put(fields: Any, values: Mapping[str, Content]) -> None:  # noqa: ANN401
    """Put values into properties of MLMD's."""
    rounded: dict[str, float] = json.loads(fields[EXACT].string_value) if EXACT in fields else {}
    for key, value in values.items():
        storable = _storable(value)
        fields[key].CopyFrom(value_to_mlmd_value(storable))
        if isinstance(storable, float) and _is_rounded(storable):
            rounded[key] = storable
        else:
            rounded.pop(key, None)
    if rounded:
        fields[EXACT].string_value = json.dumps(rounded)
    elif EXACT in fields:
        del fields[EXACT]


def _storable(value: Content) -> Value:
    """What MLMD cannot hold becomes a string."""
    if isinstance(value, list):
        return json.dumps(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return value


def _is_rounded(value: float) -> bool:
    """Whether MLMD, which writes six decimals and reads 15 digits, gives another number back."""
    return float(f"{value:.6f}") != value or float(f"{value:.15g}") != value
