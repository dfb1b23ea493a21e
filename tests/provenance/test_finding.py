from __future__ import annotations

from pathlib import Path

import pytest

from parslflow.errors import UsageError
from parslflow.provenance import finding
from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import Execution
from parslflow.provenance.graph import Graph
from parslflow.provenance.graph import read

pytestmark = pytest.mark.timeout(300)


def two_versions() -> Graph:
    """A file that was produced as A, then as B, then as A again, and one with the content of A."""
    graph = Graph(
        {
            f"e{n}": Execution(f"e{n}", "draw", "figures", "completed", {"started": f"2026-0{n}"})
            for n in (1, 2, 3)
        },
        {
            "a": Artifact(
                "a", "dataset", "report/x.png", "a" * 64, {}, other_paths=("copy/y.png",)
            ),
            "b": Artifact("b", "dataset", "report/x.png", "b" * 64, {}),
            "c": Artifact("c", "dataset", "other/x.png", "ab" * 32, {}),
        },
    )
    for execution, artifact in (("e1", "a"), ("e2", "b"), ("e3", "a")):
        graph.before[artifact].append(execution)
        graph.after[execution].append(artifact)
    return graph


def test_the_newest_version_of_a_path_is_the_one_that_was_produced_last() -> None:
    graph = two_versions()
    assert finding.find(graph, "report/x.png") == "a"
    assert finding.find_artifact(graph, "report/x.png@bbbb").id == "b"
    assert finding.find_artifact(graph, "bbbb").id == "b"
    assert finding.find_artifact(graph, "y.png").id == "a"


def test_of_executions_with_one_name_the_last_is_meant() -> None:
    assert finding.find(two_versions(), "figures") == "e3"


@pytest.mark.parametrize("name", ["x.png", "png", "aaa", "@aaaa", "report/x.png@cccc", ""])
def test_what_is_ambiguous_or_unknown_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        finding.find_artifact(two_versions(), name)


def test_several_files_are_named() -> None:
    with pytest.raises(UsageError, match=r"^3 artifacts .*report/x\.png@aaaaaaaa"):
        finding.find(two_versions(), "x.png")


def test_versions_executions_and_files_are_found(loop_run: Path) -> None:
    graph = read(loop_run)
    script = graph.artifacts[finding.find(graph, "EKE-ResNet-1")]
    assert script.path == "models/EKE-ResNet-1.script.pt"
    training = graph.executions[finding.find(graph, "train-EKE-ResNet-1")]
    assert finding.find(graph, training.journal) == training.id
    assert training.journal.startswith("train-EKE-ResNet-1-")
    assert Path(training.command.split()[0]).name.startswith("python")
    assert (loop_run / "provenance" / "cmf" / training.series["epoch"]).is_file()
    assert finding.find_version(graph, "EKE-ResNet-1.pt") == "EKE-ResNet-1"
    assert finding.version_of(graph, script.id) == "EKE-ResNet-1"
    with pytest.raises(UsageError, match="did you mean EKE-ResNet-1"):
        finding.find_version(graph, "EKE-ResNet1")
    with pytest.raises(UsageError, match=r"did you mean samples/batch-1\.h5"):
        finding.find(graph, "batch_1.h5")
