from __future__ import annotations

import json

from parslflow.provenance import lineage
from parslflow.provenance.events import Value
from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import Edge
from parslflow.provenance.graph import Execution
from parslflow.provenance.queries import Lineage


def artifact(name: str, kind: str) -> Artifact:
    return Artifact(name, "model" if kind == "model" else "dataset", name, "0123456789abcdef", {})


SMALL = Lineage(
    "net.pt",
    (
        artifact('base "1".h5', "dataset"),
        artifact("net.pt", "model"),
        artifact("low.nc", "dataset"),
        Execution("e1", "train", "train-0", "completed", {}, {"rows": 7, "test_loss": 0.123456}),
        Execution("e2", "train", "train-1", "completed", {}, {}),
        Execution("e3", "simulate-low", "low", "failed", {}, {}),
    ),
    (
        Edge('base "1".h5', "e1"),
        Edge('base "1".h5', "e2"),
        Edge("e1", "net.pt"),
        Edge("e2", "net.pt"),
        Edge("net.pt", "e3"),
        Edge("e3", "low.nc"),
    ),
)


def test_tree() -> None:
    assert lineage.tree(SMALL).split("\n") == [
        "net.pt  01234567",
        "├─ [train-0]  test_loss 0.1235, rows 7",
        '│  └─ base "1".h5  01234567',
        "└─ [train-1]",
        '   └─ base "1".h5  01234567',
        "",
        "net.pt  01234567 went into",
        "└─ [low] failed",
        "   └─ low.nc  01234567",
    ]


def test_tree_shows_what_made_a_shared_artifact_once() -> None:
    twice = Lineage(
        "c",
        (
            *(artifact(name, "dataset") for name in "abc"),
            *(Execution(f"e{name}", "x", f"make-{name}", "completed", {}) for name in "ab"),
            Execution("ec", "x", "make-c", "completed", {}),
        ),
        (
            Edge("ea", "a"),
            Edge("a", "eb"),
            Edge("eb", "b"),
            Edge("a", "ec"),
            Edge("b", "ec"),
            Edge("ec", "c"),
        ),
    )
    assert lineage.tree(twice).split("\n") == [
        "c  01234567",
        "└─ [make-c]",
        "   ├─ a  01234567",
        "   │  └─ [make-a]",
        "   └─ b  01234567",
        "      └─ [make-b]",
        "         └─ a  01234567 (shown above)",
    ]


def test_tree_of_a_long_run() -> None:
    length = 2000
    nodes = [artifact(f"a{n}", "dataset") for n in range(length)]
    steps = [Execution(f"e{n}", "x", f"make-{n}", "completed", {}) for n in range(1, length)]
    edges = [
        edge
        for n in range(1, length)
        for edge in (Edge(f"a{n - 1}", f"e{n}"), Edge(f"e{n}", f"a{n}"))
    ]
    lines = lineage.tree(Lineage(f"a{length - 1}", (*nodes, *steps), tuple(edges))).split("\n")
    assert len(lines) == 2 * length - 1
    assert lines[-1].endswith("└─ a0  01234567")


def test_json() -> None:
    written = json.loads(lineage.to_json(SMALL))
    assert written["artifact"] == "net.pt"
    assert [node["node"] for node in written["nodes"]] == ["artifact"] * 3 + ["execution"] * 3
    assert written["nodes"][3]["metrics"] == {"rows": 7, "test_loss": 0.123456}
    assert {"source": "net.pt", "target": "e3"} in written["edges"]


def test_of_a_decision_the_tree_shows_what_was_chosen() -> None:
    losses: dict[str, Value] = {f"test_loss net-{number}": 0.9 for number in range(9)}
    decision = Execution(
        "e1",
        "evaluate",
        "evaluate-8",
        "completed",
        {},
        {"best": "net-7", **losses, "test_loss net-7": 0.5, "threshold": 0.6},
    )
    found = Lineage("net.pt", (artifact("net.pt", "model"), decision), (Edge("net.pt", "e1"),))
    assert lineage.tree(found).split("\n")[-1] == (
        "└─ [evaluate-8]  best net-7, test_loss net-7 0.5, threshold 0.6"
    )
