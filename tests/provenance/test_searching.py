from __future__ import annotations

from pathlib import Path

import pytest

from parslflow.errors import UsageError
from parslflow.provenance import answers
from parslflow.provenance.graph import Artifact
from parslflow.provenance.searching import search

pytestmark = pytest.mark.timeout(300)


def names(root: Path, *expressions: str) -> list[str]:
    return [
        match.node.path if isinstance(match.node, Artifact) else match.node.name
        for match in search(root, expressions)
    ]


@pytest.mark.parametrize(
    ("expressions", "found"),
    [
        (["context=train", "test_loss<0.65"], ["train-EKE-ResNet-2"]),
        (["context=train", "test_loss<=0.65"], ["train-EKE-ResNet-1", "train-EKE-ResNet-2"]),
        (["name~SAMPLE"], ["sample-1", "sample-2"]),
        (["path~batch"], ["samples/batch-1.h5", "samples/batch-2.h5"]),
        (["kind=model", "test_loss=0.9", "form!=weights"], ["models/EKE-ResNet-0.script.pt"]),
        (["samples >= 301"], ["samples/batch-1.h5"]),
        (["best=EKE-ResNet-1", "context!=evaluate"], ["rollback-1"]),
        (["test_loss EKE-Bottleneck-2>0"], ["evaluate-2"]),
        (["context=generate", "kind=model"], []),
        (["iteration~2", "context=sample"], ["sample-2"]),
    ],
)
def test_properties_and_metrics(loop_run: Path, expressions: list[str], found: list[str]) -> None:
    assert names(loop_run, *expressions) == found


def test_both_versions_of_a_file_are_found(loop_run: Path) -> None:
    matches = search(loop_run, ["path=report/losses.png"])
    assert len({match.node.id for match in matches}) == 2


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("tset_loss<1", "test_loss"),
        ("test_loss<small", "'small'"),
        ("test_loss", "is no expression"),
        ("=3", "is no expression"),
    ],
)
def test_wrong_expressions_have_their_sentence(loop_run: Path, expression: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        search(loop_run, [expression])


def test_as_text(loop_run: Path) -> None:
    text = answers.of_search(search(loop_run, ["context=sample", "kept>0"]))
    assert text.split("\n")[1].split() == ["execution", "sample-1", "completed", "sample", "400"]
    assert answers.of_search([]) == "Nothing was found."
