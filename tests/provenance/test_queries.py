from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.provenance import queries
from parslflow.provenance.graph import Artifact

from .conftest import LoggedRun

# The first test that asks for the run waits until CMF has logged it.
pytestmark = pytest.mark.timeout(300)


def test_losses_come_from_cmf(logged_run: LoggedRun) -> None:
    assert queries.test_losses(logged_run.root) == {"EKE-ResNet-0": 0.75, "EKE-Bottleneck-0": 0.5}


def test_the_lineage_of_the_deployed_model_reaches_everything(logged_run: LoggedRun) -> None:
    lineage = queries.lineage(logged_run.root)
    names = {
        node.id: node.path if isinstance(node, Artifact) else node.name for node in lineage.nodes
    }
    assert names[lineage.artifact] == "models/EKE-Bottleneck-0.script.pt"
    edges = {(names[edge.source], names[edge.target]) for edge in lineage.edges}
    topography = next(name for name in names.values() if name.endswith("topography.nc"))
    assert edges == {
        (topography, "base"),
        ("base", "simulations/base/daily.nc"),
        ("simulations/base/daily.nc", "train-EKE-ResNet-0"),
        ("simulations/base/daily.nc", "train-EKE-Bottleneck-0"),
        ("train-EKE-ResNet-0", "models/EKE-ResNet-0.script.pt"),
        ("train-EKE-Bottleneck-0", "models/EKE-Bottleneck-0.script.pt"),
        ("models/EKE-ResNet-0.script.pt", "evaluate-0"),
        ("models/EKE-Bottleneck-0.script.pt", "evaluate-0"),
        ("models/EKE-Bottleneck-0.script.pt", "deploy"),
        ("models/EKE-Bottleneck-0.script.pt", "low-network"),
    }
    assert len(lineage.edges) == len(edges)


def test_an_artifact_is_found_by_path_or_hash(logged_run: LoggedRun) -> None:
    by_path = queries.lineage(logged_run.root, "daily.nc")
    (root,) = (node for node in by_path.nodes if node.id == by_path.artifact)
    assert isinstance(root, Artifact)
    assert root.path == "simulations/base/daily.nc"
    by_hash = queries.lineage(logged_run.root, root.sha256[:10])
    assert (by_hash.artifact, by_hash.edges) == (by_path.artifact, by_path.edges)
    with pytest.raises(UsageError, match=r"Nothing .* 'nothing\.nc'"):
        queries.lineage(logged_run.root, "nothing.nc")


def test_up_and_down(loop_run: Path) -> None:
    def names(name: str, direction: queries.Direction) -> set[str]:
        return {
            node.path if isinstance(node, Artifact) else node.name
            for node in queries.lineage(loop_run, name, direction).nodes
        }

    up = names("sample-1", "up")
    assert up == {
        "sample-1",
        "simulations/generate-1/stream.json",
        "generate-1",
        "simulations/generate-1/input.nml",
    }
    down = names("EKE-ResNet-2", "down")
    assert down == {"models/EKE-ResNet-2.script.pt", "evaluate-2", "deploy"}
    both = names("EKE-ResNet-2", "both")
    assert both > names("EKE-ResNet-2", "up") | down
    # What its decision saw besides.
    assert "models/EKE-Bottleneck-2.script.pt" in both


def test_the_model_that_was_gone_back_to_is_the_deployed_one(loop_run: Path) -> None:
    found = queries.lineage(loop_run)
    (root,) = (node for node in found.nodes if node.id == found.artifact)
    assert isinstance(root, Artifact)
    assert root.path == "models/EKE-ResNet-1.script.pt"


def test_a_run_without_metadata_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ParslflowError, match="has no metadata"):
        queries.lineage(tmp_path)
    assert not (tmp_path / "provenance").exists()


def test_a_query_leaves_the_standard_streams_alone(logged_run: LoggedRun) -> None:
    code = f"""
import sys
from pathlib import Path
from parslflow.provenance import queries
assert "cmflib" not in sys.modules
streams = sys.stdout, sys.stderr
queries.test_losses(Path({str(logged_run.root)!r}))
assert (sys.stdout, sys.stderr) == streams
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
