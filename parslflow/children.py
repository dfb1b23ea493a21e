"""Commands that end with the process that starts them, even if that is killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# Asks the kernel to end the command with the thread that started it, then becomes the command. A
# program of its own, since code between fork and exec is not safe in a process with threads.
_BECOME = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


def ends_with_us(command: Sequence[str]) -> list[str]:
    """The words that run ``command`` so that it gets SIGTERM when the calling thread ends."""
    return [sys.executable, "-I", "-S", "-c", _BECOME, str(os.getpid()), *command]
