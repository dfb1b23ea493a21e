from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parslflow import guard

DRIVER = """
import subprocess, sys, time
from parslflow.guard import guarding

titled = "import setproctitle, time; setproctitle.setproctitle('parsl'); time.sleep(300)"
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
outside = subprocess.Popen(["sleep", "300"])
with guarding():
    mild = subprocess.Popen([sys.executable, "-c", titled], start_new_session=True)
    hard = subprocess.Popen([sys.executable, "-c", stubborn], start_new_session=True)
    print(outside.pid, mild.pid, hard.pid, flush=True)
    {then}
# By then they have ended.
assert mild.wait(2) and hard.wait(2)
"""


def start(then: str, tmp_path: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """A driver with three processes of its own, the first of them from before it was guarded."""
    script = tmp_path / "driver.py"
    script.write_text(DRIVER.format(then=then))
    driver = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    pids = [int(word) for word in driver.stdout.readline().split()]
    driver.stdout.close()
    return driver, pids


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until_ended(pids: list[int]) -> None:
    deadline = time.monotonic() + 30
    while any(map(lives, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("end", [signal.SIGKILL, None])
def test_what_a_driver_leaves_behind_is_ended(end: signal.Signals | None, tmp_path: Path) -> None:
    driver, (outside, mild, hard) = start("pass" if end is None else "time.sleep(300)", tmp_path)
    try:
        assert end is None or lives(mild)
        if end is not None:
            driver.send_signal(end)
        assert driver.wait(20) == (0 if end is None else -end)
        wait_until_ended([mild, hard])
        assert lives(outside)
    finally:
        os.kill(outside, signal.SIGKILL)


@pytest.mark.timeout(60)
def test_processes_that_end_by_themselves_are_not_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "said"
    monkeypatch.setenv(guard.VARIABLE, "mine")
    ends = f"import time; time.sleep(1); open({str(said)!r}, 'w').close()"
    process = subprocess.Popen([sys.executable, "-c", ends])
    monkeypatch.delenv(guard.VARIABLE)
    guard.end("mine")
    assert process.wait(10) == 0
    assert said.exists()


@pytest.mark.timeout(60)
def test_a_later_process_of_the_same_number_is_not_waited_for(tmp_path: Path) -> None:
    began = time.monotonic()
    guard.main([str(os.getpid()), f"{os.getpid()}-1"])
    assert time.monotonic() - began < 10
