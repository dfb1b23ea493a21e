from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from parslflow import stages
from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.provenance.journal import read_file
from parslflow.records import Inputs


@pytest.mark.parametrize("stage", sorted(stages.STAGES))
def test_every_stage_is_there(stage: str) -> None:
    module_name, function, inputs = stages.STAGES[stage]
    module = importlib.import_module(module_name)
    assert callable(getattr(module, function))
    assert issubclass(getattr(module, inputs), Inputs)


def call_file(tmp_path: Path, program: str, **changes: object) -> Path:
    """The file of a simulation whose program is a shell script."""
    executable = tmp_path / "program"
    executable.write_text(f"#!/bin/sh\n{program}\n")
    executable.chmod(0o755)
    (tmp_path / "journal").mkdir()
    inputs: dict[str, object] = {
        "folder": tmp_path / "run",
        "namelist": "&domain /\n",
        "executable": executable,
        "launch": ("env", "RANKS={ranks}"),
        "ranks": 3,
    }
    call = stages.Call(
        stage="simulate",
        pipeline="p",
        context="c",
        name="n",
        properties={"iteration": 1},
        journal=tmp_path / "journal",
        inputs=inputs | changes,
    )
    path = tmp_path / "n.json"
    path.write_text(call.model_dump_json())
    return path


def test_a_stage_runs_from_its_file_and_journals(tmp_path: Path) -> None:
    script = "echo 'day 1.0 of 2.0 cfl=0.5'; echo ranks=$RANKS; echo state > restart.nc"
    record = stages.run(call_file(tmp_path, script))
    assert record.wrote[0].path == tmp_path / "run" / "restart.nc"
    assert record.metrics == {"cfl": 0.5}
    assert "ranks=3" in (tmp_path / "run" / "stdout.log").read_text()
    (journal,) = (tmp_path / "journal").iterdir()
    lines = read_file(journal)
    assert [line["event"] for line in lines] == [
        "started", "metric", "used", "produced", "result", "ended",
    ]  # fmt: skip
    assert lines[1]["values"] == {"day": 1.0, "days": 2.0, "cfl": 0.5}


def test_a_stage_that_fails_says_so_in_its_journal(tmp_path: Path) -> None:
    with pytest.raises(ParslflowError, match="exit code 3: out of paper"):
        stages.run(call_file(tmp_path, "echo out of paper >&2; exit 3"))
    (journal,) = (tmp_path / "journal").iterdir()
    assert read_file(journal)[-1]["status"] == "failed"


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give a file of RUN/stages"):
        stages.run(tmp_path / "none.json")
    with pytest.raises(UsageError, match="'colour'"):
        stages.run(call_file(tmp_path, "true", colour="red"))
    # An execution began, and failed.
    (journal,) = (tmp_path / "journal").iterdir()
    assert "'colour'" in read_file(journal)[-1]["error"]
