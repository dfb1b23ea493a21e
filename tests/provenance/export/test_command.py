from __future__ import annotations

import time
from pathlib import Path

import pytest

from parslflow import cli
from parslflow.provenance import graph
from parslflow.provenance.export import openlineage
from parslflow.provenance.export import prov
from parslflow.provenance.export import ro_crate
from parslflow.provenance.graph import Graph

from ..scale import write_large_run
from .conftest import Check
from .graphs import content

pytestmark = pytest.mark.timeout(300)

READERS = {
    "ro-crate": (ro_crate.read, "ro-crate"),
    "prov": (prov.read, "prov.json"),
    "openlineage": (openlineage.read, "openlineage.jsonl"),
}


@pytest.mark.parametrize("name", READERS)
def test_the_command_writes_where_it_says(
    name: str, small_run: Path, small_graph: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", str(small_run), "--to", name]) == 0
    read, file = READERS[name]
    path = Path(capsys.readouterr().out.strip())
    assert path == small_run.resolve() / "export" / file
    assert content(read(path)) == content(small_graph)


@pytest.mark.parametrize("name", READERS)
def test_a_run_that_was_rolled_back_is_read_back(
    name: str, loop_run: Path, tmp_path: Path, problems: Check
) -> None:
    output = tmp_path / "out"
    assert cli.main(["export", str(loop_run), "--to", name, "--output", str(output)]) == 0
    found, expected = READERS[name][0](output), graph.read(loop_run)
    assert content(found) == content(expected)
    assert found.deployments() == expected.deployments() != []
    if name == "ro-crate":
        assert problems(output) == []


def test_ten_thousand_files_take_seconds(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert write_large_run(run) >= 10_000
    for name in READERS:
        began = time.monotonic()
        output = str(tmp_path / name)
        assert cli.main(["export", str(run), "--to", name, "--output", output]) == 0
        assert time.monotonic() - began < 20


def test_the_command_leaves_the_run_as_it_is(small_run: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in small_run.rglob("*")}
    for name in READERS:
        assert (
            cli.main(["export", str(small_run), "--to", name, "--output", f"{tmp_path}/{name}"])
            == 0
        )
    assert {path: path.stat().st_mtime_ns for path in small_run.rglob("*")} == before


def test_another_place_than_a_crate_is_refused(
    small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", str(small_run), "--to", "ro-crate", "--output", str(small_run)]) == 2
    assert "no RO-Crate" in capsys.readouterr().err
    assert (small_run / "journal").is_dir()


@pytest.mark.parametrize("name", ["prov", "openlineage"])
def test_what_cannot_be_written_is_said(
    name: str, small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", str(small_run), "--to", name, "--output", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"parslflow: {tmp_path} cannot be written: ")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", str(tmp_path), "--to", "prov"]) == 2
    assert "not a run directory" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
