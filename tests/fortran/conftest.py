"""What the tests of the Fortran programs need: the built model, and mpiexec."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path

import pytest

FORTRAN = Path(__file__).parents[2] / "fortran"
LIMIT_S = 60

Launcher = Callable[[int, list[str], Path, Mapping[str, str]], tuple[int, str, str]]


@pytest.fixture(scope="session")
def phillips() -> Path:
    """The model, built."""
    subprocess.run(["make", "-C", str(FORTRAN)], check=True, timeout=100)
    return FORTRAN.parent / "build" / "fortran" / "phillips" / "phillips"


@pytest.fixture(scope="session")
def mpiexec() -> Launcher:
    """Runs a command on so many ranks: exit code, stdout and stderr."""

    def run(
        ranks: int, command: list[str], folder: Path, environment: Mapping[str, str]
    ) -> tuple[int, str, str]:
        allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        done = subprocess.run(
            ["mpiexec", "-q", "--oversubscribe", "-n", str(ranks), *command],
            cwd=folder,
            env={**os.environ, **allowed, **environment},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=LIMIT_S,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return run
