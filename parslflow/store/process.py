"""One server process: started with settings that no other user sees, waited for, and ended."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from parslflow.errors import ParslflowError
from parslflow.tether import tethered

STOP_S = 10.0


class ServerProcess:
    """A server that was started.

    Args:
        binary: The server.
        settings: The lines of its configuration. They go through its standard input, so that no
            password is on a command line.
        log: Gets what it says.
        alone: Whether it outlives the thread that starts it, and the shell.
    """

    def __init__(self, binary: Path, settings: Sequence[str], log: Path, alone: bool) -> None:
        self._log = log
        command = [str(binary), "-"]
        if not alone:
            command = tethered(command)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                start_new_session=alone,
                umask=0o077,  # what it keeps is for its owner alone
            )
        assert self._process.stdin is not None  # noqa: S101
        with suppress(BrokenPipeError):  # it ended at once: `check` says why
            self._process.stdin.write("\n".join([*settings, ""]).encode())
            self._process.stdin.close()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def check(self) -> None:
        """Raise `ParslflowError` if the server has ended."""
        if self._process.poll() is not None:
            lines = self._log.read_text(errors="replace").splitlines()
            raise ParslflowError(
                f"The store's server ended by itself (exit code {self._process.returncode}), see "
                f"{self._log}: {' | '.join(lines[-3:])}"
            )

    def let_go(self) -> None:
        """Leave it alone from now on: without this Python warns when it forgets what still runs."""
        self._process.returncode = 0

    def stop(self) -> None:
        """End it, within moments."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def quoted(path: Path) -> str:
    """A path as a word of the server's configuration."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
