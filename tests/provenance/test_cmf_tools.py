"""What the writer logs is read by CMF's own queries and commands, and pushed by them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parslflow.provenance.writer import Writer

from .conftest import EPOCHS
from .conftest import PIPELINE
from .conftest import LoggedRun
from .conftest import write_small_run
from .services import KEY
from .services import SECRET
from .services import Postgresql
from .services import cmf_server
from .services import s3

# The first test that asks for the run waits until CMF has logged it.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def cmf_folder(logged_run: LoggedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the logged run's CMF, which its commands may change."""
    copied = tmp_path_factory.mktemp("run") / "run"
    shutil.copytree(logged_run.root, copied, symlinks=True)
    # The writer tells DVC where it is.
    with Writer(copied):
        pass
    return copied / "provenance" / "cmf"


def cmf(folder: Path, *arguments: str) -> str:
    """What CMF's command says in a folder; it exits 0 whatever happens."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [Path(sys.executable).with_name("cmf"), *arguments],
        cwd=folder,
        env=os.environ | {"PATH": path, "DVC_SITE_CACHE_DIR": str(folder / ".dvc" / "tmp")},
        check=True,
        input="q\n" * 20,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout


def query(folder: Path, code: str, environment: dict[str, str] | None = None) -> Any:  # noqa: ANN401
    """What an expression of a ``CmfQuery`` is, asked in a process of its own."""
    server = "'mlmd'" if environment is None else "is_server=True"
    script = f"""
import json, sys
from cmflib.cmfquery import CmfQuery
query = CmfQuery({server})
answer = {code}
json.dump(answer, open(sys.argv[1], "w"))
"""
    answer = folder / "answer.json"
    subprocess.run([sys.executable, "-c", script, answer], cwd=folder, env=environment, check=True)
    return json.loads(answer.read_text())


def test_queries_of_stages_and_executions(cmf_folder: Path) -> None:
    found = query(
        cmf_folder,
        """{
    "pipelines": query.get_pipeline_names(),
    "stages": query.get_pipeline_stages("small"),
    "trainings": sorted(query.get_all_executions_in_stage("small/train")["custom_properties_name"]),
    "executions": len(query.get_all_executions_in_pipeline("small")),
    "types": sorted(query.get_all_artifact_types()),
    "artifacts": len(query.get_all_artifacts_by_context("small")),
    "names": len(query.get_all_artifacts()),
}""",
    )
    assert found == {
        "pipelines": [PIPELINE],
        "stages": [
            f"{PIPELINE}/{stage}"
            for stage in ("base", "train", "evaluate", "deploy", "simulate-low")
        ],
        "trainings": ["train-EKE-Bottleneck-0", "train-EKE-ResNet-0"],
        "executions": 7,
        "types": ["Dataset", "Environment", "Metrics", "Model", "Step_Metrics"],
        # 2 data sets, 4 models, the environment, 2 series, 2 results and a decision.
        "artifacts": 12,
        "names": 12,
    }


def test_queries_of_lineage(cmf_folder: Path) -> None:
    """Up and down from the base data, and what one execution used and produced."""
    found = query(
        cmf_folder,
        """(lambda base, script: {
    "execution": query.get_all_artifacts_for_execution(
        query.find_producer_execution(script).id)[["event", "type"]].values.tolist(),
    "users": query.get_all_executions_for_artifact(base)[["Type", "stage"]].values.tolist(),
    "children": sorted(query.get_all_child_artifacts(base)["name"]),
    "parents": sorted(query.get_all_parent_artifacts(script)["name"]),
    "producer": query.find_producer_execution(script).name,
    "before": len(query.get_all_parent_executions(script)),
})(
    next(name for name in query.get_all_artifacts() if "daily" in name),
    next(name for name in query.get_all_artifacts() if "EKE-ResNet-0.script" in name),
)""",
    )
    assert sorted(map(tuple, found["execution"])) == [
        ("INPUT", "Dataset"),
        ("INPUT", "Environment"),
        ("OUTPUT", "Metrics"),
        ("OUTPUT", "Model"),
        ("OUTPUT", "Model"),
        ("OUTPUT", "Step_Metrics"),
    ]
    assert sorted(map(tuple, found["users"])) == [
        ("INPUT", "small/train"),
        ("INPUT", "small/train"),
        ("OUTPUT", "small/base"),
    ]
    assert sum(".pt:" in name for name in found["children"]) == 4
    assert any("topography" in name for name in found["parents"])
    assert any("daily" in name for name in found["parents"])
    assert found["producer"].startswith("train-EKE-ResNet-0-")
    assert found["before"] == 1


def test_metrics_are_read_back(cmf_folder: Path) -> None:
    """Of an execution as properties; a series from its file, since get_metrics reads none."""
    found = query(
        cmf_folder,
        """(lambda series, results: {
    "rows": len(query.read_dataslice(series[0].split(":")[0])),
    "index": query.read_dataslice(series[0].split(":")[0]).index.name,
    "last": query.read_dataslice(series[0].split(":")[0])["train_loss"].tolist()[-1],
    "test_loss": sorted(
        query.get_artifact(name)["custom_properties_test_loss"].tolist()[0] for name in results),
    "get_metrics": query.get_metrics(series[0]),
})(
    [one.name for one in query.store.get_artifacts_by_type("Step_Metrics")],
    [one.name for one in query.store.get_artifacts_by_type("Metrics") if one.name[0] == "r"],
)""",
    )
    assert found == {
        "rows": EPOCHS,
        "index": "SequenceNumber",
        "last": 1 / EPOCHS,
        "test_loss": [0.5, 0.75],
        "get_metrics": None,
    }


def test_the_command_lists_and_exports(cmf_folder: Path) -> None:
    assert f"['{PIPELINE}']" in cmf(cmf_folder, "pipeline", "list")
    assert "small/train" in cmf(cmf_folder, "execution", "list", "-p", PIPELINE)
    assert "Environment" in cmf(cmf_folder, "artifact", "list", "-p", PIPELINE)
    said = cmf(cmf_folder, "metadata", "export", "-p", PIPELINE, "-j", "exported.json")
    assert "SUCCESS" in said
    (pipeline,) = json.loads((cmf_folder / "exported.json").read_text())["Pipeline"]
    assert sum(len(stage["executions"]) for stage in pipeline["stages"]) == 7


def test_the_command_pushes_to_a_folder_and_pulls(cmf_folder: Path, tmp_path: Path) -> None:
    # 6 files of the run, the environment, 2 series.
    assert "9 files pushed" in cmf(cmf_folder, "artifact", "push", "-p", PIPELINE)
    _pulls(cmf_folder, tmp_path)


def _pulls(cmf_folder: Path, tmp_path: Path) -> None:
    """Pull into a clone, which has the metadata and the settings but no data."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", cmf_folder, clone], check=True)
    for name in ("mlmd", ".cmfconfig", ".dvc/config.local"):
        shutil.copy(cmf_folder / name, clone / name)
    said = cmf(clone, "artifact", "pull", "-p", PIPELINE)
    models = list(clone.glob("models/*.pt"))
    assert len(models) == 4, said
    for path in models:
        assert path.read_bytes() == (cmf_folder / path.relative_to(clone)).read_bytes()


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3("bucket") as address:
        yield address


def test_versions_go_to_a_bucket_at_the_end(bucket: str, tmp_path: Path) -> None:
    root = tmp_path / "run"
    write_small_run(root, outside=tmp_path / "topography.nc")
    credentials = tmp_path / "credentials"
    credentials.touch(mode=0o600)
    credentials.write_text(
        f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    )
    (root / "experiment.toml").write_text(
        f'[provenance]\nremote = "s3://bucket"\nendpoint = "{bucket}"\n'
        f'credentials_file = "{credentials}"\n'
    )
    with Writer(root):
        pass
    log = (root / "logs" / "writer.log").read_text()
    assert "Sent 9 files to s3://bucket." in log
    folder = root / "provenance" / "cmf"
    assert (folder / ".dvc" / "config.local").stat().st_mode & 0o777 == 0o600
    history = subprocess.check_output(["git", "-C", str(folder), "log", "-p", "--all"])
    assert SECRET.encode() not in history
    assert "up to date" in cmf(folder, "artifact", "push", "-p", PIPELINE)
    _pulls(folder, tmp_path)


def test_a_bucket_out_of_reach_is_said_and_the_run_is_whole(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "run"
    write_small_run(root, outside=tmp_path / "topography.nc")
    (root / "experiment.toml").write_text(f'[provenance]\nremote = "{tmp_path}/file/remote"\n')
    (tmp_path / "file").write_text("no folder")
    with Writer(root):
        pass
    said = capfd.readouterr().err
    assert re.search(
        r"All executions are logged, but not all files are at .*/file/remote: .*record RUN", said
    )
    (tmp_path / "file").unlink()
    with Writer(root):
        pass
    assert f"Sent 9 files to {tmp_path}/file/remote." in (root / "logs/writer.log").read_text()


def test_the_command_pushes_to_a_server(cmf_folder: Path, postgresql_server: Postgresql) -> None:
    database = postgresql_server.environment("pushed")
    with cmf_server(database) as address:
        (cmf_folder / ".cmfconfig").write_text(f"[cmf]\nserver-url = {address}\n")
        assert "SUCCESS" in cmf(cmf_folder, "metadata", "push", "-p", PIPELINE)
        # Executions that have a name are merged, not doubled.
        cmf(cmf_folder, "metadata", "push", "-p", PIPELINE)
    code = """{
    "pipelines": query.get_pipeline_names(),
    "executions": len(query.get_all_executions_in_pipeline("small")),
    "types": sorted(one.type for one in query.store.get_artifacts()),
    "links": len(query.store.get_events_by_execution_ids(
        [one.id for one in query.store.get_executions()])),
}"""
    there, here = query(cmf_folder, code, database), query(cmf_folder, code)
    assert there == here
    assert here["executions"] == 7
