"""``parslflow record``: the journal of any folder, of several pipelines."""

from __future__ import annotations

from pathlib import Path

import pytest

from parslflow.cli import main
from parslflow.provenance import events
from parslflow.provenance.database import open_metadata
from parslflow.provenance.graph import read
from parslflow.provenance.mlmd import MetadataStore
from parslflow.rundir import RunDir


def log(folder: Path, pipeline: str, name: str) -> None:
    with events.execution(folder / "journal", pipeline=pipeline, context="c", name=name) as run:
        run.used(folder / "data", kind="dataset")
        run.metric("rows", {"mixed": 1})
        run.metric("rows", {"mixed": "text", "list": [1.5, 2.5]})
        run.metric("rows", {"large": 2**70})
        run.result({"large": -(2**70), "list": [1, 2], "text": "é"})


def test_a_folder_is_recorded_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / "data").write_text("data")
    log(tmp_path, "one", "first")
    log(tmp_path, "two", "second")
    for said in ("Logged 2 executions; 0 were there already.", "Logged 0 executions; 2 were there"):
        assert main(["record", str(tmp_path)]) == 0
        assert said in capsys.readouterr().out
    log(tmp_path, "two", "third")
    (tmp_path / "journal" / "broken-00000000.jsonl").write_text("?\n")
    assert main(["record", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "Logged 1 executions; 2 were there already." in out
    assert f"1 could not be read: see {tmp_path}/logs/writer.log." in out
    graph = read(tmp_path)
    assert [one.name for one in graph.executions.values()] == ["first", "second", "third"]
    assert len(graph.artifacts) == 1
    (first, *_) = graph.executions.values()
    assert first.metrics == {"large": str(-(2**70)), "list": "[1, 2]", "text": "é"}
    store: MetadataStore = open_metadata(tmp_path)
    assert [one.name for one in store.get_contexts_by_type("Parent_Context")] == ["one", "two"]
    import pandas  # type: ignore[import-untyped]

    table = pandas.read_parquet(next((tmp_path / "provenance/cmf").glob("cmf_artifacts/*/*/rows")))
    assert list(table["mixed"][:2]) == ["1", "text"]
    assert list(table["list"][2]) == [1.5, 2.5]
    assert table["large"][3] == str(2**70)


def test_a_folder_without_a_journal_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["record", str(tmp_path)]) == 2
    assert f"{tmp_path} has no journal" in capsys.readouterr().err


def test_a_run_at_work_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "journal").mkdir()
    with RunDir(tmp_path).alone():
        assert main(["record", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("parslflow: ")
    assert not (tmp_path / "provenance" / "stop").exists()
