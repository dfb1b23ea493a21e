from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings
from rocrate.rocrate import ROCrate

from parslflow.errors import UsageError
from parslflow.provenance.checkout import cache_path
from parslflow.provenance.events import sha256
from parslflow.provenance.export import ro_crate
from parslflow.provenance.export.crate import METADATA
from parslflow.provenance.graph import Graph
from parslflow.rundir import RunDir

from .conftest import Check
from .graphs import content
from .graphs import graphs

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="session")
def crate(small_graph: Graph, small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crates") / "crate"
    ro_crate.write(small_graph, small_run, path)
    return path


def test_the_validator_is_content(crate: Path, problems: Check) -> None:
    assert problems(crate) == []


def test_the_validator_finds_what_is_wrong(crate: Path, problems: Check, tmp_path: Path) -> None:
    broken = tmp_path / "crate"
    shutil.copytree(crate, broken)
    (broken / "models" / "EKE-ResNet-0.pt").unlink()
    metadata = json.loads((broken / METADATA).read_text())
    for entity in metadata["@graph"]:
        if entity["@type"] == "ControlAction":
            del entity["instrument"]
    (broken / METADATA).write_text(json.dumps(metadata))
    found = "\n".join(problems(broken))
    assert "A ControlAction must reference a HowToStep" in found
    assert "models/EKE-ResNet-0.pt" in found


def test_a_run_is_read_back_whole(small_graph: Graph, crate: Path) -> None:
    assert content(ro_crate.read(crate)) == content(small_graph)


@given(graphs())
@settings(max_examples=40, deadline=None)
def test_any_graph_is_read_back(graph: Graph) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "crate")
        ro_crate.write(graph, Path(folder), path)
        assert content(ro_crate.read(path)) == content(graph)


def test_the_files_are_linked_and_as_they_were_logged(small_graph: Graph, crate: Path) -> None:
    entities = {one["@id"]: one for one in json.loads((crate / METADATA).read_text())["@graph"]}
    present = 0
    for artifact in small_graph.artifacts.values():
        (entity,) = (one for one in entities.values() if one.get("identifier") == artifact.id)
        if artifact.path.startswith("/"):
            assert entity["@id"] == "external/topography.nc"
        else:
            assert entity["@id"] == artifact.path
        assert sha256(crate / entity["@id"]) == artifact.sha256 == entity["sha256"]
        assert entity["contentSize"] == str((crate / entity["@id"]).stat().st_size)
        present += (crate / entity["@id"]).stat().st_nlink > 1
    assert present >= 5


def test_settings_are_values_of_formal_parameters(crate: Path) -> None:
    entities = {one["@id"]: one for one in json.loads((crate / METADATA).read_text())["@graph"]}
    rate = entities["#setting/training.rate"]
    assert rate["value"] == 1e-3
    parameter = entities[rate["exampleOfWork"]["@id"]]
    assert (parameter["name"], parameter["additionalType"]) == ("training.rate", "Float")
    (training,) = (one for one in entities.values() if one.get("name") == "train-EKE-ResNet-0")
    values = [entities[one["@id"]] for one in training["object"]]
    named = {one["name"]: one["value"] for one in values if one["@type"] == "PropertyValue"}
    assert named == {
        "iteration": 0,
        "network": "EKE-ResNet",
        "rate": 0.005,
        "version": "EKE-ResNet-0",
        "settings.epochs": 300,
    }
    usage = [entities[one["@id"]] for one in training["resourceUsage"]]
    assert {one["name"] for one in usage} == {"wall_seconds", "cpu_seconds", "peak_memory_bytes"}


def test_a_changed_file_is_taken_from_where_dvc_keeps_it(
    small_graph: Graph, small_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run, symlinks=True)
    for name in ("simulations/base/daily.nc", "models/EKE-ResNet-0.pt"):
        (run / name).unlink()
        (run / name).write_text("something else")
    gone = next(
        one for one in small_graph.artifacts.values() if one.path == "models/EKE-ResNet-0.pt"
    )
    cache_path(RunDir(run), gone.md5).unlink()
    ro_crate.write(small_graph, run, tmp_path / "crate")
    entities = json.loads((tmp_path / "crate" / METADATA).read_text())["@graph"]
    ids = {one["name"]: one["@id"] for one in entities if one["@type"] == "File"}
    assert ids["simulations/base/daily.nc"] == "simulations/base/daily.nc"
    assert (tmp_path / "crate" / "simulations/base/daily.nc").read_bytes() == b"daily.nc" * 1000
    assert ids["models/EKE-ResNet-0.pt"].startswith("ni:///sha-256;")
    assert not (tmp_path / "crate" / "models" / "EKE-ResNet-0.pt").exists()
    assert content(ro_crate.read(tmp_path / "crate")) == content(small_graph)


def test_another_library_reads_it(crate: Path) -> None:
    found = ROCrate(crate)
    assert found.mainEntity.id == "workflow/workflow.py"
    assert {one["name"] for one in found.mainEntity["step"]} == {
        "base",
        "deploy",
        "evaluate",
        "simulate-low",
        "train",
    }
    assert all((crate / one.id).is_file() for one in found.data_entities)


def test_only_a_crate_is_replaced(small_graph: Graph, small_run: Path, tmp_path: Path) -> None:
    ro_crate.write(small_graph, small_run, tmp_path / "crate")
    (tmp_path / "crate" / "old").write_text("")
    ro_crate.write(small_graph, small_run, tmp_path / "crate")
    assert not (tmp_path / "crate" / "old").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").write_text("")
    with pytest.raises(UsageError, match="--output"):
        ro_crate.write(small_graph, small_run, tmp_path / "mine")
    assert {path.name for path in tmp_path.iterdir()} == {"crate", "mine"}
