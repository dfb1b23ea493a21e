from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parslflow.tether import tethered

PARENT = """
import subprocess, time
from parslflow.tether import tethered
print(subprocess.Popen(tethered(["sleep", "300"])).pid, flush=True)
time.sleep(300)
"""


@pytest.mark.timeout(60)
def test_a_program_ends_with_the_one_that_started_it() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.stdout.close()
    command = Path(f"/proc/{child}/cmdline")
    deadline = time.monotonic() + 20
    while command.read_bytes() != b"sleep\x00300\x00":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    while Path(f"/proc/{child}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_its_exit_code_and_its_words_are_the_program_s() -> None:
    answer = subprocess.run(
        tethered(["sh", "-c", "echo $0 $1; exit 3", "a b", "c"]),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (answer.returncode, answer.stdout) == (3, "a b c\n")


def test_it_does_not_start_for_a_parent_that_is_gone() -> None:
    command = tethered(["true"])
    command[command.index(str(os.getpid()))] = "1"
    command[-1] = "false"
    assert subprocess.run(command, timeout=20, check=False).returncode == 0
