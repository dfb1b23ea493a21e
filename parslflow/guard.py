"""Ends what a driver has started here and left behind, however the driver ended.

A driver that is killed cannot tell Parsl's interchange and workers, the ranks that these started
and the store to end. So a process beside it waits for its end.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from pathlib import Path

VARIABLE = "PARSLFLOW_DRIVER"
"""The environment variable by which the processes of a driver are known."""

GRACE_SECONDS = 5.0
"""How long processes may take to end by themselves, and again when they were told to."""

_POLL_SECONDS = 0.1


@contextmanager
def guarding() -> Iterator[None]:
    """Have all processes that this one starts in the block end with it, or with this process.

    Only processes of this machine are found: elsewhere a block of Parsl ends by itself, when it
    hears no more of the driver's machine.
    """
    mark = _mark(os.getpid())
    command = [sys.executable, "-m", "parslflow.guard", str(os.getpid()), mark]
    # It outlives the terminal, and is none of those that it looks for.
    watcher = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    # setproctitle, which Parsl's interchange uses, writes its title over the mark if it may.
    os.environ |= {VARIABLE: mark, "SPT_NOENV": "1"}
    try:
        yield
    finally:
        # What were still at work would write to a journal that nobody follows any more.
        end(mark)
        del os.environ[VARIABLE], os.environ["SPT_NOENV"]
        watcher.returncode = 0  # it is left alone: what remains is ended after this process


def end(mark: str) -> None:
    """End all processes with this mark: first wait, then ask, then kill."""
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        for pid in _marked(mark) if number else []:
            with suppress(ProcessLookupError):
                os.kill(pid, number or 0)
        deadline = time.monotonic() + GRACE_SECONDS
        while _marked(mark):
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
        else:
            return


def _marked(mark: str) -> list[int]:
    """The processes of this user whose environment has the mark."""
    wanted = f"{VARIABLE}={mark}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        # A process may end while it is looked at; those of other users are not readable.
        with suppress(OSError):
            if folder.name.isdigit() and wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def _mark(pid: int) -> str:
    """A name for a process that no later one of its number has."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return f"{pid}-{fields[19]}"  # its start, in clock ticks since the machine's


def main(arguments: list[str]) -> None:
    """The program: wait until the driver, a process number and a mark, has ended; then tidy up."""
    pid, mark = int(arguments[0]), arguments[1]
    # What interrupts the driver by its terminal or group is for the driver alone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        if _mark(pid) == mark:
            select.select([process], [], [])
    end(mark)


if __name__ == "__main__":
    main(sys.argv[1:])
