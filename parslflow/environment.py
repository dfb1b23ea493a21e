"""What a run runs in: software, commit, command and site, in its ``environment.json``."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from parslflow.errors import UsageError
from parslflow.rundir import RunDir
from parslflow.rundir import atomic_path
from parslflow.sites import Choice


def record(run: RunDir, experiment_file: Path, choice: Choice) -> None:
    """Write ``environment.json``; executions take ``commit`` and ``environment`` from it.

    Args:
        run: the run.
        experiment_file: the experiment as its author wrote it; its git commit is the run's.
        choice: where the run is.
    """
    software = {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": dict(
            sorted(
                map(_name_and_version, importlib.metadata.distributions()),
                key=lambda one: one[0].lower(),
            )
        ),
    }
    name = choice.name
    content = {
        "command": sys.argv,
        "experiment": str(experiment_file.resolve()),
        "site": str(Path(name).resolve()) if name.endswith(".py") else name,
        "site_options": choice.options,
        "host": platform.node(),
        "commit": _commit(experiment_file.resolve().parent),
        "environment": hashlib.sha256(json.dumps(software).encode()).hexdigest(),
        **software,
    }
    with atomic_path(run.environment) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read(run: RunDir) -> dict[str, Any]:
    """What was written last.

    Raises:
        UsageError: the file is missing or damaged.
    """
    try:
        content: dict[str, Any] = json.loads(run.environment.read_text(encoding="utf-8"))
        content["site"], content["experiment"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"{run.environment} cannot be read ({error}): it must name 'site' and 'experiment'; "
            "bring it back from a copy, or start the experiment anew."
        ) from None
    return content


def site(content: dict[str, Any]) -> Choice:
    """Where a run was, from what `read` gave."""
    return Choice(str(content["site"]), dict(content.get("site_options", {})))


def _name_and_version(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    # The file is read anew whenever it is asked.
    metadata = distribution.metadata
    return metadata["Name"], metadata["Version"]


def _commit(folder: Path) -> str:
    """The git commit that a folder is at, with ``-modified`` if files differ; empty without git."""
    try:
        commit, changes = (
            subprocess.run(
                ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
            ).stdout.strip()
            for arguments in (
                ["rev-parse", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no"],
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{commit}-modified" if changes else commit
