from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from parslflow.provenance import events
from parslflow.provenance.journal import whole_lines
from parslflow.provenance.schema import json_schema
from parslflow.provenance.schema import parser

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def lines(tmp_path: Path) -> list[bytes]:
    """One event of every kind."""
    (tmp_path / "journal").mkdir()
    file = tmp_path / "file"
    file.write_text("content")
    with events.execution(
        tmp_path / "journal", pipeline="p", context="c", name="n", properties={"layers": [1, 2]}
    ) as run:
        run.properties({"text": "x", "number": 1.5})
        run.used(file, kind="dataset")
        run.produced(file, kind="model", properties={"names": ["a", "b"]})
        run.metric("series", {"energy": [0.5, 1e-30]})
        run.result({"loss": 1})
        run.decision({"best": "a"})
    return whole_lines(tmp_path / "journal" / f"{run.id}.jsonl")


def test_the_schema_in_the_docs_is_that_of_the_code() -> None:
    assert (DOCS / "events.schema.json").read_text(encoding="utf-8") == json_schema()


def test_events_satisfy_the_schema(lines: list[bytes]) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(json_schema()))
    found = [json.loads(line) for line in lines]
    assert [event["event"] for event in found] == [
        "started", "properties", "used", "produced", "metric", "result", "decision", "ended",
    ]  # fmt: skip
    for event in found:
        assert list(validator.iter_errors(event)) == []
        parser.validate_python(event)
        assert list(validator.iter_errors(event | {"more": 1})) != []
        del event["execution"]
        assert list(validator.iter_errors(event)) != []


@pytest.mark.parametrize("value", [None, {"a": 1}, [[1]], ["a", 1.5]])
def test_other_values_are_refused(lines: list[bytes], value: object) -> None:
    event = json.loads(lines[5]) | {"values": {"loss": value}}
    with pytest.raises(ValidationError):
        parser.validate_python(event)
