from __future__ import annotations

import json
import re
import tempfile
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import settings

from parslflow.errors import ParslflowError
from parslflow.provenance.export import openlineage
from parslflow.provenance.export.description import connect
from parslflow.provenance.graph import Execution
from parslflow.provenance.graph import Graph

from .graphs import content
from .graphs import graphs

pytestmark = pytest.mark.timeout(300)

# What OpenLineage 2-0-2 demands of a run event, in our words: no package ships its schema.
FACETS = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "required": ["_producer", "_schemaURL"],
        "properties": {
            "_producer": {"type": "string", "format": "uri"},
            "_schemaURL": {"type": "string", "format": "uri"},
        },
    },
}
NAMED = {
    "type": "object",
    "required": ["namespace", "name"],
    "properties": {
        "namespace": {"type": "string"},
        "name": {"type": "string"},
        "facets": FACETS,
        "inputFacets": FACETS,
        "outputFacets": FACETS,
    },
}
RUN_EVENT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["eventTime", "producer", "schemaURL", "run", "job"],
    "properties": {
        "eventTime": {"type": "string", "format": "date-time"},
        "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
        "producer": {"type": "string", "format": "uri"},
        "schemaURL": {"type": "string", "format": "uri"},
        "run": {
            "type": "object",
            "required": ["runId"],
            "properties": {"runId": {"type": "string", "format": "uuid"}, "facets": FACETS},
        },
        "job": NAMED,
        "inputs": {"type": "array", "items": NAMED},
        "outputs": {"type": "array", "items": NAMED},
    },
}
FORMATS = jsonschema.FormatChecker(())
FORMATS.checks("uri")(lambda text: re.fullmatch(r"[a-z][a-z0-9+.-]*:[^\s<>\"]+", text) is not None)
FORMATS.checks("uuid", ValueError)(lambda text: bool(uuid.UUID(text)))
FORMATS.checks("date-time", ValueError)(
    lambda text: datetime.fromisoformat(text).tzinfo is not None
)


def events(path: Path) -> list[dict[str, Any]]:
    """The events of a file, each checked."""
    validator = jsonschema.Draft202012Validator(RUN_EVENT, format_checker=FORMATS)
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    for event in found:
        validator.validate(event)
    return found


def test_the_check_finds_what_is_wrong(small_graph: Graph, small_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    openlineage.write(small_graph, small_run, path)
    good = path.read_text()
    for old, new in (("urn:", "urn "), ('"runId": "', '"runId": "x'), ("_producer", "producer")):
        path.write_text(good.replace(old, new))
        with pytest.raises(jsonschema.ValidationError):
            events(path)


def test_a_run_is_read_back_whole(small_graph: Graph, small_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "events.jsonl"
    openlineage.write(small_graph, small_run, path)
    events(path)
    assert content(openlineage.read(path)) == content(small_graph)


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_any_graph_is_read_back(graph: Graph) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "events.jsonl")
        openlineage.write(graph, Path(folder), path)
        assert len(events(path)) == 2 * len(graph.executions)
        assert content(openlineage.read(path)) == content(graph)


def test_each_execution_starts_and_ends_in_the_order_of_time(
    small_graph: Graph, small_run: Path, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    openlineage.write(small_graph, small_run, path)
    found = events(path)
    assert [event["eventTime"] for event in found] == sorted(event["eventTime"] for event in found)
    kinds: dict[str, list[str]] = {}
    names = {}
    for event in found:
        run = event["run"]["runId"]
        kinds.setdefault(run, []).append(event["eventType"])
        if "facets" in event["run"]:
            names[event["run"]["facets"]["parslflow_execution"]["name"]] = event
    assert sorted(map(tuple, kinds.values())) == [
        ("START", "ABORT"),
        *[("START", "COMPLETE")] * 5,
        ("START", "FAIL"),
    ]
    failure = names["low-network"]["run"]["facets"]["errorMessage"]
    assert failure["message"] == "RuntimeError: blew up on day 3"
    output = names["base"]["outputs"][0]
    assert output["name"] == str(small_run.resolve() / "simulations" / "base" / "daily.nc")
    assert output["outputFacets"]["outputStatistics"]["size"] == len("daily.nc") * 1000


def test_the_events_are_the_same_each_time(
    small_graph: Graph, small_run: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        openlineage.write(small_graph, small_run, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_an_execution_of_another_program_is_refused(tmp_path: Path) -> None:
    graph = connect([Execution("execution-1", "train", "mine", "completed", {})], [], [])
    with pytest.raises(ParslflowError, match="mine"):
        openlineage.write(graph, tmp_path, tmp_path / "events.jsonl")
    assert list(tmp_path.iterdir()) == []
