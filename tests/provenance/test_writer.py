from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from parslflow.errors import ParslflowError
from parslflow.provenance import events
from parslflow.provenance.writer import Writer

from .conftest import EPOCHS
from .conftest import LoggedRun

# The first test that asks for the run waits until CMF has logged it.
pytestmark = pytest.mark.timeout(300)

# Read back by cmflib's own query in a process of its own: what any tool of CMF's sees.
READ_BACK = """
import json, sys
from cmflib.cmfquery import CmfQuery
query = CmfQuery(sys.argv[1])
found = {}
for stage in query.get_pipeline_stages("small"):
    for execution in query.get_all_exe_in_stage(stage):
        events = query.store.get_events_by_execution_ids([execution.id])
        ids = [event.artifact_id for event in events]
        artifacts = {one.id: one for one in query.store.get_artifacts_by_id(ids)}
        found[execution.name] = {
            "stage": stage,
            "status": execution.custom_properties["status"].string_value,
            "rate": execution.custom_properties["rate"].double_value,
            "artifacts": sorted(
                (artifacts[one.artifact_id].type, one.type, artifacts[one.artifact_id].name)
                for one in events
            ),
        }
json.dump(found, open(sys.argv[2], "w"))
"""
INPUT, OUTPUT = 3, 4


@pytest.fixture(scope="module")
def in_cmf(logged_run: LoggedRun, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What CMF has of each execution, by its journal's name without the random end."""
    answer = tmp_path_factory.mktemp("answer") / "answer.json"
    database = logged_run.root / "provenance" / "cmf" / "mlmd"
    subprocess.run([sys.executable, "-c", READ_BACK, str(database), str(answer)], check=True)
    found = json.loads(answer.read_text())
    assert len(found) == len({name[:-9] for name in found})
    return {name[:-9]: execution for name, execution in found.items()}


def test_every_execution_is_in_cmf_once(in_cmf: dict[str, Any]) -> None:
    assert {name: (one["stage"], one["status"]) for name, one in in_cmf.items()} == {
        "base": ("small/base", "completed"),
        "train-EKE-ResNet-0": ("small/train", "completed"),
        "train-EKE-Bottleneck-0": ("small/train", "completed"),
        "evaluate-0": ("small/evaluate", "completed"),
        "deploy": ("small/deploy", "completed"),
        "low-network": ("small/simulate-low", "failed"),
        "low-meke": ("small/simulate-low", "lost"),
    }
    assert in_cmf["train-EKE-ResNet-0"]["rate"] == 0.005


def test_artifacts_and_metrics_are_in_cmf_once(in_cmf: dict[str, Any]) -> None:
    for execution in in_cmf.values():
        counted = Counter(tuple(artifact) for artifact in execution["artifacts"])
        assert set(counted.values()) == {1}
    kinds = Counter((kind, event) for kind, event, _ in in_cmf["train-EKE-ResNet-0"]["artifacts"])
    assert kinds == {
        ("Environment", INPUT): 1,
        ("Dataset", INPUT): 1,
        ("Model", OUTPUT): 2,
        ("Metrics", OUTPUT): 1,
        ("Step_Metrics", OUTPUT): 1,
    }


def test_a_series_of_metrics_is_whole(logged_run: LoggedRun, in_cmf: dict[str, Any]) -> None:
    import pandas  # type: ignore[import-untyped]

    (path,) = (
        name.split(":")[0]
        for kind, _, name in in_cmf["train-EKE-Bottleneck-0"]["artifacts"]
        if kind == "Step_Metrics"
    )
    table = pandas.read_parquet(logged_run.root / "provenance" / "cmf" / path)
    assert list(table["epoch"]) == list(range(EPOCHS))
    assert list(table["train_loss"]) == [1 / (1 + epoch) for epoch in range(EPOCHS)]


def test_the_originals_are_intact_and_take_no_second_space(logged_run: LoggedRun) -> None:
    cmf = logged_run.root / "provenance" / "cmf"
    for path, content in logged_run.contents.items():
        assert path.read_bytes() == content
        versions = {
            version.stat().st_ino
            for version in cmf.rglob("*")
            if version.is_file() and version.read_bytes() == content
        }
        if path.is_relative_to(logged_run.root):
            assert versions == {path.stat().st_ino}
        else:
            assert path.stat().st_ino not in versions
            assert path.stat().st_mode & stat.S_IWUSR


def test_dvc_holds_every_version(logged_run: LoggedRun, tmp_path: Path) -> None:
    cmf = logged_run.root / "provenance" / "cmf"
    files = [path for path in cmf.rglob("*.pt.dvc")]
    assert len(files) == 4
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=cmf, check=True, capture_output=True, text=True
    ).stdout.split()
    assert {str(path.relative_to(cmf)) for path in files} <= set(tracked)
    version = files[0].with_suffix("")
    content = version.read_bytes()
    version.unlink()
    subprocess.run(
        [Path(sys.executable).with_name("dvc"), "checkout", "--quiet", files[0]],
        cwd=cmf,
        check=True,
        env=os.environ | {"DVC_SITE_CACHE_DIR": str(tmp_path)},
    )
    assert version.read_bytes() == content


def test_the_users_repository_is_untouched(logged_run: LoggedRun) -> None:
    assert logged_run.repository_after == logged_run.repository_before


def test_a_dead_driver_does_not_stop_the_writer(tmp_path: Path) -> None:
    root = tmp_path / "run"
    (root / "journal").mkdir(parents=True)
    driver = f"""
import os
from pathlib import Path
from parslflow.provenance import events
from parslflow.provenance.writer import Writer
root = Path({str(root)!r})
file = root / "data"
file.write_text("before")
with events.execution(root / "journal", pipeline="p", context="c", name="first") as run:
    run.used(file, kind="dataset")
file.write_text("changed")
broken = root / "journal" / "broken-00000000.jsonl"
broken.write_text('{{"schema": 2, "event": "started"}}\\n{{"event": "ended"}}\\n')
writer = Writer(root)
writer.start()
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", driver]).returncode == -9
    state = root / "provenance" / "state.json"
    deadline = time.monotonic() + 60
    while not state.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    # A new writer waits for the old one's end, and finds nothing left to do.
    with Writer(root) as writer:
        writer.flush(timeout_s=60)
    executions = json.loads(state.read_text())["executions"]
    assert executions.pop("broken-00000000") is None
    assert list(executions.values()) == [1]
    log = (root / "logs" / "writer.log").read_text()
    assert "broken-00000000.jsonl, line 1 is no event" in log
    assert "is gone or has changed" in log


def test_a_journal_file_that_is_no_execution_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "broken-00000000.jsonl").write_text('?\n{"event": "ended"}\n')
    with Writer(tmp_path) as writer:
        writer.flush(timeout_s=60)
    log = (tmp_path / "logs" / "writer.log").read_text()
    assert "broken-00000000.jsonl does not begin with the start of an execution" in log


def test_a_writer_that_cannot_work_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / "provenance").mkdir()
    (tmp_path / "provenance" / "cmf").write_text("no folder")
    with events.execution(tmp_path / "journal", pipeline="p", context="c", name="one"):
        pass
    writer = Writer(tmp_path)
    writer.start()
    with pytest.raises(ParslflowError, match=r"writer ended early: NotADirectoryError.*writer.log"):
        writer.flush(timeout_s=60)
    with pytest.raises(ParslflowError, match="writer failed"):
        writer.close()


def test_nothing_is_lost_when_many_log_at_once() -> None:
    code = "from benchmarks.provenance import writers; print(writers(6, 10, 1000).figure)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == 0
