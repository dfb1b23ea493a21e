"""How the tests run programs that log metadata, and read back what they logged."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parslflow.provenance.journal import files
from parslflow.provenance.journal import read_execution
from parslflow.provenance.schema import Event
from parslflow.provenance.schema import Metric

from .running import LIMIT_S

Build = Callable[[str], Path]


def call(
    program: Path, root: Path, *words: str | Path, given: bytes = b"", **environment: str
) -> str:
    """Run a program whose metadata is in ``root``; it must end well and say nothing on stderr."""
    done = start(program, root, *words, **environment)
    out, err = done.communicate(given, timeout=LIMIT_S)
    assert (done.returncode, err) == (0, b""), err
    return out.decode()


def start(
    program: Path, root: Path, *words: str | Path, **environment: str
) -> subprocess.Popen[bytes]:
    known = {name: value for name, value in os.environ.items() if "PARSLFLOW_" not in name}
    return subprocess.Popen(
        [program, root / "mlmd", *words],
        env=known | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def only_execution(root: Path) -> list[Event]:
    """The events of the only execution, without problems."""
    [paths] = files(root / "journal").values()
    found, problems = read_execution(paths)
    assert problems == []
    return found


def rows(found: list[Event], series: str) -> list[dict[str, Any]]:
    return [event.values for event in found if isinstance(event, Metric) and event.series == series]
