from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from parslflow.provenance import events
from parslflow.provenance.journal import has_ended
from parslflow.provenance.journal import read_checked
from parslflow.provenance.journal import read_file
from parslflow.provenance.schema import Ended


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "journal").mkdir()
    with events.execution(tmp_path / "journal", pipeline="p", context="c", name="n") as run:
        run.result({"x": 1})
    return tmp_path / "journal" / f"{run.id}.jsonl"


def test_a_last_line_that_was_cut_anywhere_is_left_out(path: Path) -> None:
    whole = path.read_bytes()
    end = whole.rstrip().rfind(b"\n") + 1
    for cut in range(end, len(whole)):
        path.write_bytes(whole[:cut])
        found, problems = read_checked(path)
        assert [event.event for event in found] == ["started", "result"]
        assert problems == []
        assert not has_ended([path])
        assert [event["event"] for event in read_file(path)] == ["started", "result"]
    path.write_bytes(whole)
    assert isinstance(read_checked(path)[0][-1], Ended)
    assert has_ended([path])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schema": 1}, r"line 2 is no event: result.schema: Input should be 2"),
        ({"event": "guessed"}, r"line 2 is no event: the line: .*'guessed'"),
        ({"extra": 1}, r"line 2 is no event: result.extra: Extra inputs are not permitted"),
        ({"sequence": -1}, r"line 2 is no event: result.sequence"),
        (None, r"line 2 is no event: the line: Invalid JSON"),
    ],
)
def test_a_line_that_is_no_event_is_named_and_the_rest_is_read(
    path: Path, change: dict[str, object] | None, sentence: str
) -> None:
    lines = path.read_bytes().splitlines()
    lines[1] = b"?" if change is None else json.dumps(json.loads(lines[1]) | change).encode()
    path.write_bytes(b"\n".join(lines) + b"\n")
    found, problems = read_checked(path)
    assert [event.event for event in found] == ["started", "ended"]
    (problem,) = problems
    assert problem.startswith(str(path))
    assert re.search(sentence, problem)


def test_the_end_is_found_behind_much_else(path: Path) -> None:
    with events.execution(path.parent, pipeline="p", context="c", name="long") as run:
        for _ in range(100):
            run.metric("s", {"text": "x" * 1000})
        long = path.parent / f"{run.id}.jsonl"
        assert not has_ended([long])
    assert has_ended([long])
    long.write_bytes(b"")
    assert not has_ended([long])
