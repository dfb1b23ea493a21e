from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from parslflow.provenance import events
from parslflow.provenance.journal import Follower
from parslflow.provenance.journal import files
from parslflow.provenance.journal import has_ended
from parslflow.provenance.journal import read_checked
from parslflow.provenance.journal import read_ends
from parslflow.provenance.journal import read_execution
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


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(0, 40), length=st.integers(0, 3000), cut=st.integers(0, 300))
def test_both_ends_of_a_file_are_read_however_long_it_is(
    path: Path, rows: int, length: int, cut: int
) -> None:
    with events.execution(path.parent, pipeline="p", context="c", name="long") as run:
        for _ in range(rows):
            run.metric("s", {"text": "x" * length})
        run.result({"y": 2})
    long = path.parent / f"{run.id}.jsonl"
    long.write_bytes(long.read_bytes()[: long.stat().st_size - cut])
    every, _ = read_checked(long)
    found = read_ends(long)
    assert found[0] == every[0]
    # The last of them follow, without a gap, and the last two lines in any case.
    last = found[1:]
    assert last == every[len(every) - len(last) :]
    assert len(last) >= min(2, len(every) - 1)
    assert len(found) == len(every) or sum(len(str(event)) for event in last) > 8000


def test_a_file_without_a_start_has_no_ends(path: Path) -> None:
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])
    assert read_ends(path) == []
    path.write_bytes(b"")
    assert read_ends(path) == []
    path.write_bytes(b'{"schema": 2, "event": "star')
    assert read_ends(path) == []


def write_part(journal: Path, execution: str, part: str, status: str | None, cpu: float) -> None:
    """What a rank writes: a row of its own, and an end unless it was killed."""
    common = {"schema": 2, "execution": execution, "time": "2026-01-01T00:00:00Z", "rank": 1}
    lines: list[dict[str, object]] = [
        {
            **common, "event": "started", "sequence": 0, "pipeline": "p", "context": "c",
            "name": "n", "properties": {}, "host": "h", "pid": 1, "command": [],
        },
        {**common, "event": "metric", "sequence": 1, "series": "s", "values": {"part": part}},
    ]  # fmt: skip
    if status is not None:
        lines.append(
            {
                **common, "event": "ended", "sequence": 2, "status": status, "error": "",
                "wall_seconds": 2, "cpu_seconds": cpu, "peak_memory_bytes": 10,
            }
        )  # fmt: skip
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (journal / f"{execution}@{part}.jsonl").write_text(text)


def test_the_parts_of_an_execution_are_read_with_it(path: Path) -> None:
    write_part(path.parent, path.stem, "r0", "failed", 1)
    write_part(path.parent, path.stem, "r10", None, 1)
    [(name, paths)] = files(path.parent).items()
    assert (name, paths[0]) == (path.stem, path)
    assert has_ended(paths)
    found, problems = read_execution(paths)
    assert problems == []
    assert [event.event for event in found] == ["started", "result", "metric", "metric", "ended"]
    assert isinstance(found[-1], Ended)
    assert found[-1].status == "completed"
    assert [event.rank for event in found] == [None, None, 1, 1, None]


def test_parts_that_nobody_began_end_together(tmp_path: Path) -> None:
    write_part(tmp_path, "alone-0000", "r0", "completed", 1)
    write_part(tmp_path, "alone-0000", "r1", None, 2)
    [paths] = files(tmp_path).values()
    assert not has_ended(paths)
    assert [event.event for event in read_execution(paths)[0]] == ["started", "metric", "metric"]
    write_part(tmp_path, "alone-0000", "r1", "failed", 2)
    assert has_ended(paths)
    end = read_execution(paths)[0][-1]
    assert isinstance(end, Ended)
    assert (end.status, end.wall_seconds, end.cpu_seconds) == ("failed", 2, 3)


def test_a_file_without_a_start_is_told_and_left_out(tmp_path: Path) -> None:
    write_part(tmp_path, "n-0000", "r0", "completed", 1)
    broken = tmp_path / "n-0000@r1.jsonl"
    broken.write_bytes((tmp_path / "n-0000@r0.jsonl").read_bytes().split(b"\n", 1)[1])
    [paths] = files(tmp_path).values()
    found, problems = read_execution(paths)
    assert len(found) == 3
    assert problems == [
        f"{broken} does not begin with the start of an execution, so it is left out."
    ]


def test_a_growing_journal_is_followed_line_by_line(path: Path) -> None:
    follower = Follower(path.parent)
    with events.execution(path.parent, pipeline="p", context="c", name="new") as run:
        new = path.parent / f"{run.id}.jsonl"
        assert [found for found, _ in follower.new_lines()] == [new]
        assert list(follower.new_lines()) == []
        whole = new.read_bytes()
        new.write_bytes(whole + b'{"cut')
        assert list(follower.new_lines()) == []
        new.write_bytes(whole + b'{"cut": 1}\n')
        assert list(follower.new_lines()) == [(new, b'{"cut": 1}')]
