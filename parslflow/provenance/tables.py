"""The files that CMF itself writes beside the versions: series of metrics, and the environment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas  # type: ignore[import-untyped]
from cmflib.utils.helper_functions import get_md5_hash
from cmflib.utils.helper_functions import get_python_env

from parslflow.provenance.events import Content
from parslflow.rundir import atomic_path

_FOLDER = "cmf_artifacts"


@dataclass(frozen=True)
class Environment:
    """The packages of this Python, as CMF keeps them: a file and its SHA-256."""

    path: str
    sha256: str


def write_environment() -> Environment:
    """Write down this Python's packages, under a name that is their hash."""
    packages = get_python_env()
    if isinstance(packages, dict):
        # Of conda; JSON is YAML.
        text, suffix = json.dumps(packages, indent=1), "yaml"
        name = get_md5_hash(text)
    else:
        text, suffix = "".join(f"{package}\n" for package in packages or ()), "txt"
        name = get_md5_hash(f"{packages}\n")
    path = Path(_FOLDER, f"python_env_{name}.{suffix}")
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.write_text(text)
    return Environment(str(path), hashlib.sha256(text.encode()).hexdigest())


def write_series(folder: str, name: str, rows: Sequence[Mapping[str, Content]]) -> str:
    """Write a series of metrics as a parquet file, and return its place in CMF's folder.

    Args:
        folder: what CMF calls the execution.
        name: of the series.
        rows: what a row holds by the names of the columns.
    """
    kinds: dict[str, set[str]] = {}
    for row in rows:
        for key, value in row.items():
            kinds.setdefault(key, set()).add(_kind(value))
    # Parquet wants one type a column.
    texts = {key for key, found in kinds.items() if found - {"number"} and found != {"list"}}
    table = pandas.DataFrame(
        [
            {key: str(value) if key in texts else value for key, value in row.items()}
            for row in rows
        ],
        index=pandas.RangeIndex(1, len(rows) + 1, name="SequenceNumber"),
    )
    path = Path(_FOLDER, folder, "metrics", name)
    with atomic_path(path) as temporary:
        table.to_parquet(temporary)
    return str(path)


def _kind(value: Content) -> str:
    if isinstance(value, list):
        return "list"
    if isinstance(value, str) or (isinstance(value, int) and not -(2**63) <= value < 2**63):
        return "text"
    return "number"
