"""Asks the DVC remote of a run for versions of files, in a process of its own.

DVC reads the environment and the settings of where it stands, and what it prints it prints to the
standard streams: none of that may touch a process that asks for a file.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from parslflow.errors import ParslflowError
from parslflow.provenance import repository
from parslflow.rundir import RunDir

Action = Literal["pull", "find"]

_AT_ONCE = 1000
"""So many hashes fit into a command line."""


def pull(run: RunDir, md5: str) -> None:
    """Bring a version from the remote into DVC's cache.

    Raises:
        ParslflowError: the remote does not have it, or cannot be reached.
    """
    if md5 not in _ask(run, "pull", [md5]):
        raise ParslflowError(
            f"The DVC remote of {run.provenance} does not have {md5} either: look for a copy of "
            "the run that does."
        )


def find(run: RunDir, md5s: Iterable[str]) -> set[str]:
    """Those of these versions that the remote has.

    Raises:
        ParslflowError: it cannot be reached.
    """
    wanted = sorted(md5s)
    found: set[str] = set()
    for start in range(0, len(wanted), _AT_ONCE):
        found |= _ask(run, "find", wanted[start : start + _AT_ONCE])
    return found


def _ask(run: RunDir, action: Action, md5s: list[str]) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-m", __name__, action, str(run.provenance), *md5s],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().split("\n")
    if done.returncode:
        said = (done.stderr.strip().split("\n") or [""])[-1]
        raise ParslflowError(
            f"The DVC remote of {run.provenance} gave no answer ({said}): see "
            f"{run.provenance / '.dvc' / 'config'}."
        )
    return set(json.loads(lines[-1]))


def main(arguments: list[str]) -> None:
    """The command: ``python -m parslflow.provenance.remote pull|find FOLDER MD5...``."""
    action, folder, *md5s = arguments
    repository.isolate(Path(folder).parent / "settings")
    from dvc.repo import Repo  # type: ignore[import-untyped]
    from dvc_data.hashfile.hash_info import HashInfo

    cloud = Repo(folder).cloud
    hashes = [HashInfo("md5", md5) for md5 in md5s]
    if action == "pull":
        found = {one.value for one in cloud.pull(hashes).transferred}
    else:
        status = cloud.status(hashes)
        found = {one.value for one in (*status.ok, *status.deleted)}
    print(json.dumps(sorted(found)))


if __name__ == "__main__":
    main(sys.argv[1:])
