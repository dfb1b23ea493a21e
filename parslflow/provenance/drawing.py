"""A lineage drawn like Figure 4 of the paper, with graphviz."""

from __future__ import annotations

import subprocess
from pathlib import Path

from parslflow.errors import ParslflowError
from parslflow.provenance.folding import Box
from parslflow.provenance.folding import fold
from parslflow.provenance.queries import Lineage
from parslflow.rundir import atomic_path

_COLOURS = {"dataset": "#cfe3f5", "model": "#fbd9b0", "execution": "#ffffff"}
_STATUS_COLOURS = {"failed": "#f5c6c6", "lost": "#e0e0e0"}
_LEGEND = {
    "data": _COLOURS["dataset"],
    "model": _COLOURS["model"],
    "execution": _COLOURS["execution"],
    **_STATUS_COLOURS,
}


def svg(lineage: Lineage, path: Path) -> None:
    """Draw the lineage, causes above effects, the artifact that was asked for in a thick frame.

    Raises:
        ParslflowError: graphviz is not installed, or it failed.
    """
    try:
        drawn = subprocess.run(
            ["dot", "-Tsvg"], input=_dot(lineage).encode(), capture_output=True, check=True
        )
    except FileNotFoundError:
        raise ParslflowError(
            f"{path} cannot be drawn, since the program 'dot' is not on PATH: install graphviz."
        ) from None
    except subprocess.CalledProcessError as error:
        raise ParslflowError(
            f"{path} cannot be drawn, since 'dot' failed: {error.stderr.decode().strip()}"
        ) from None
    with atomic_path(path) as temporary:
        temporary.write_bytes(drawn.stdout)


def _dot(lineage: Lineage) -> str:
    folded = fold(lineage)
    lines = [
        "digraph lineage {",
        'graph [rankdir=TB, nodesep=0.1, ranksep=0.3, fontname="Helvetica", fontsize=11]',
        'node [shape=box, margin="0.08,0.03", height=0.2, width=0.3, color="#555555"]',
        'node [fontname="Helvetica", fontsize=11]',
        'edge [color="#777777", arrowsize=0.6]',
        f"graph [label=<{_legend(any(box.folded for box in folded.boxes))}>, labelloc=b]",
        *map(_node, folded.boxes),
    ]
    for arrow in folded.arrows:
        # Such an arrow may close a circle, which would turn the drawing upside down.
        style = " [style=dashed, constraint=false]" if arrow.ahead else ""
        lines.append(f'"{_escape(arrow.source)}" -> "{_escape(arrow.target)}"{style}')
    return "\n".join([*lines, "}"])


def _node(box: Box) -> str:
    style = "filled,rounded" if box.kind == "model" else "filled"
    colour = _STATUS_COLOURS.get(box.status, _COLOURS[box.kind])
    width = 3 if box.chosen else 1
    text = "\\n".join(map(_escape, box.lines))
    return (
        f'"{_escape(box.id)}" [style="{style}", fillcolor="{colour}", '
        f'penwidth={width}, peripheries={2 if box.folded else 1}, label="{text}"]'
    )


def _legend(folded: bool) -> str:
    """What the colours and frames mean, as an HTML-like label of graphviz."""
    cells = [f'<TD BGCOLOR="{colour}" BORDER="1">{name}</TD>' for name, colour in _LEGEND.items()]
    cells.append('<TD BORDER="3">asked for</TD>')
    if folded:
        cells.append('<TD BORDER="1" CELLPADDING="2"><TABLE BORDER="1"><TR><TD BORDER="0">')
        cells[-1] += "several iterations</TD></TR></TABLE></TD>"
        cells.append('<TD BORDER="0">dashed: into the next iteration</TD>')
    return f'<TABLE BORDER="0" CELLSPACING="6"><TR>{"".join(cells)}</TR></TABLE>'


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
