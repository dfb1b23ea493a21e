from __future__ import annotations

import re
import xml.etree.ElementTree
from pathlib import Path

import pytest

from parslflow.errors import ParslflowError
from parslflow.provenance import drawing

from .loops import loop
from .test_lineage import SMALL


def texts(path: Path) -> set[str]:
    root = xml.etree.ElementTree.parse(path)  # noqa: S314 - our own
    return {element.text for element in root.iter() if element.text}


def test_the_text_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "report" / "lineage.svg"
    drawing.svg(SMALL, path)
    found = texts(path)
    assert {'base "1".h5', "net.pt", "train-0", "test_loss 0.1235", "failed"} <= found
    assert {"e1->net.pt", "net.pt->e3"} <= found
    assert {"data", "model", "execution", "asked for"} <= found
    assert "several iterations" not in found


def test_the_artifact_has_a_thick_frame_and_failures_a_colour(tmp_path: Path) -> None:
    drawing.svg(SMALL, tmp_path / "lineage.svg")
    text = (tmp_path / "lineage.svg").read_text()
    nodes = dict(re.findall(r'class="node">\n<title>([^<]+)</title>\n(.*?)</g>', text, re.DOTALL))
    assert [name for name, node in nodes.items() if 'stroke-width="3"' in node] == ["net.pt"]
    assert [name for name, node in nodes.items() if 'fill="#f5c6c6"' in node] == ["e3"]


def test_fifty_iterations_fit_the_width_of_a_page(tmp_path: Path) -> None:
    path = tmp_path / "lineage.svg"
    drawing.svg(loop(50), path)
    assert {"train-EKE-ResNet", "× 48, iterations 1–48", "several iterations"} <= texts(path)
    width = re.search(r'width="(\d+)pt"', path.read_text())
    assert width is not None
    assert int(width[1]) <= 1100


def test_a_drawing_without_graphviz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ParslflowError, match="install graphviz"):
        drawing.svg(SMALL, tmp_path / "lineage.svg")
    assert list(tmp_path.iterdir()) == []
