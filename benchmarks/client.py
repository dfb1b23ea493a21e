"""Programs of the client for simulations, built into a temporary folder and told what to do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = Path(__file__).resolve().parent / "programs"


def build(name: str, folder: Path) -> Path:
    """The program ``programs/NAME.f90``, optimised as a simulation is.

    Raises:
        CalledProcessError: It cannot be compiled.
    """
    client = ["make", "-s", "-C", str(ROOT / "fortran" / "client"), f"BUILD={folder}"]
    subprocess.run(client, check=True, stdout=subprocess.DEVNULL)
    program = folder / name
    flags = subprocess.run(
        ["pkg-config", "--libs", "parslflow_client"],
        env=os.environ | {"PKG_CONFIG_PATH": str(folder)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    subprocess.run(
        [
            *("gfortran", "-O2", "-std=f2018", "-I", str(folder), "-J", str(folder)),
            *(str(PROGRAMS / f"{name}.f90"), "-o", str(program), "-L", str(folder), *flags),
        ],
        check=True,
    )
    return program


class Program:
    """A program that does its work each time it reads a line with a number, and prints a line.

    Args:
        command: What is run.
        environment: Variables besides those of this process.
    """

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def begin(self, times: int) -> None:
        """Have it do its work so many times."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{times}\n")
        self._process.stdin.flush()

    def end(self) -> list[float]:
        """What it printed when the work was done.

        Raises:
            RuntimeError: It ended instead; why, it said on stderr.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended early")
        return [float(word) for word in line.split()]

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
