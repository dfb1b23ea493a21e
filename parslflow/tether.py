"""Ties a program to the thread that starts it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# A program of its own, since code between fork and exec is not safe in a process with threads. The
# kernel forgets the wish when a parent is dead already, so that is asked afterwards.
_TIE = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


def tethered(command: Sequence[str]) -> list[str]:
    """``command`` so that the kernel ends it (SIGTERM) with the thread that starts it."""
    return [sys.executable, "-I", "-S", "-c", _TIE, str(os.getpid()), *command]
