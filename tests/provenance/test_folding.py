from __future__ import annotations

import time

import pytest

from parslflow.provenance.folding import MOST_ITERATIONS
from parslflow.provenance.folding import fold

from .loops import loop


@pytest.mark.parametrize("iterations", [1, 3, MOST_ITERATIONS])
def test_a_few_iterations_stay_whole(iterations: int) -> None:
    lineage = loop(iterations)
    folded = fold(lineage)
    assert not any(box.folded or "×" in "".join(box.lines) for box in folded.boxes)
    executions = {box.lines[0] for box in folded.boxes if box.kind == "execution"}
    assert {f"train-EKE-ResNet-{one}" for one in range(iterations)} <= executions
    assert len(folded.arrows) <= len(lineage.edges)


@pytest.mark.parametrize("iterations", [MOST_ITERATIONS + 1, 50, 1000])
def test_any_number_of_iterations_gives_the_same_few_boxes(iterations: int) -> None:
    began = time.monotonic()
    folded = fold(loop(iterations))
    assert time.monotonic() - began < 10
    assert len(folded.boxes) == len(fold(loop(iterations + 1)).boxes) <= 60


def test_what_repeats_is_one_box_and_says_how_it_went() -> None:
    folded = fold(loop(50))
    boxes = {box.lines[0]: box for box in folded.boxes if box.folded and box.kind == "execution"}
    assert boxes["train-EKE-ResNet"].lines == (
        "train-EKE-ResNet",
        "× 48, iterations 1–48",
        "test_loss 0.699 → 0.652",
    )
    assert boxes["evaluate"].lines[2] == "best EKE-ResNet-1 → EKE-ResNet-48"
    assert set(boxes) == {
        *("generate", "sample", "assemble", "evaluate"),
        *("train-EKE-ResNet", "train-EKE-Bottleneck"),
    }
    whole = {box.lines[0] for box in folded.boxes if not box.folded}
    assert {"assemble-0", "train-EKE-ResNet-0", "generate-49", "train-EKE-Bottleneck-49"} <= whole
    (chosen,) = (box for box in folded.boxes if box.chosen)
    assert "EKE-ResNet-49.script.pt" in chosen.lines


def test_the_iteration_of_the_artifact_stays_whole() -> None:
    folded = fold(loop(50, deployed=20))
    names = [box.lines[0] for box in folded.boxes]
    assert "train-EKE-ResNet-20" in names
    spans = {box.lines[1] for box in folded.boxes if box.lines[0] == "train-EKE-Bottleneck"}
    assert spans == {"× 19, iterations 1–19", "× 28, iterations 21–48"}
    assert len(folded.boxes) <= 80


def test_failures_in_a_fold_are_counted() -> None:
    folded = fold(loop(50, failed={30, 31}))
    (box,) = (box for box in folded.boxes if box.lines[0] == "train-EKE-ResNet")
    assert box.status == "failed"
    assert "2 failed" in box.lines


def test_arrows_into_the_next_iteration_close_the_only_circles() -> None:
    folded = fold(loop(50))
    names = {box.id: box.lines[0] for box in folded.boxes}
    ahead = {(names[one.source], names[one.target]) for one in folded.arrows if one.ahead}
    assert ahead == {
        ("models/", "train-EKE-ResNet"),
        ("models/", "train-EKE-Bottleneck"),
        ("simulations/generate-*/", "generate"),
    }
    targets: dict[str, list[str]] = {}
    for arrow in folded.arrows:
        if not arrow.ahead:
            targets.setdefault(arrow.source, []).append(arrow.target)

    def deepest(box: str, above: frozenset[str]) -> None:
        assert box not in above
        for target in targets.get(box, []):
            deepest(target, above | {box})

    for box in names:
        deepest(box, frozenset())
