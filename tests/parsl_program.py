"""Programs that load Parsl: it leaves files open, so each has a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAD = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
import parsl
from parsl import python_app
from parsl.errors import ParslError
from parsl.jobs.states import JobState
from parslflow import executors, sites, watch
from parslflow.guard import guarding
from parslflow.watch import watching

def nap(seconds):
    import time
    time.sleep(seconds)
    return seconds

def tell_errors(tasks):
    for task in tasks:
        try:
            task.result(timeout=30)
        except ParslError as error:
            print(error)

sites.prepare_process()
site = sites.load(sites.Choice("local"), Path(sys.argv[1]))
"""
"""What the programs begin with."""


def told_by(program: str, folder: Path) -> str:
    """What a program prints that has to end well.

    Args:
        program: what comes after `HEAD`.
        folder: the run directory of its site.
    """
    answer = subprocess.run(
        [sys.executable, "-c", HEAD + program, folder],
        capture_output=True,
        text=True,
        timeout=140,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout
