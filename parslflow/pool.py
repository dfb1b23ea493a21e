"""Parsl's pool of workers, which starts sooner, and ends when it has lost its helper.

It shares its state with its workers through a process of multiprocessing. Without that it would
neither work nor end, but log the same error for ever and go on telling that it is alive.
"""

from __future__ import annotations

import atexit
import multiprocessing
import multiprocessing.util
import os
import runpy
import shutil
import sys
import threading
import time
from multiprocessing.connection import wait
from multiprocessing.managers import SyncManager
from pathlib import Path

SCRIPT = "process_worker_pool.py"

_LOOK_SECONDS = 0.2

_SPAWN = multiprocessing.get_context("spawn")
_start_manager = _SPAWN.Manager


def _end_with_helper(over: threading.Event) -> None:
    """End the pool, as if it were killed, when its helper has ended before it."""
    while True:
        children = multiprocessing.active_children()
        helpers = [child for child in children if child.name.startswith("SyncManager-")]
        if helpers:
            break
        time.sleep(_LOOK_SECONDS)
    wait([helper.sentinel for helper in helpers])
    if not over.is_set():
        print("A process that the pool of workers needs has been killed.", file=sys.stderr)
        os._exit(1)


def _start_helper() -> SyncManager:
    """The process of multiprocessing, which by itself would import Parsl that it does not need."""
    program = sys.modules["__main__"]
    file, program.__file__ = program.__file__, None
    try:
        return _start_manager()
    finally:
        program.__file__ = file


def main() -> None:
    """The program ``parslflow-workers``, with the arguments of Parsl's own."""
    over = threading.Event()
    # Runs before multiprocessing ends the helper, since it is registered later.
    atexit.register(over.set)
    _SPAWN.Manager = _start_helper  # type: ignore[method-assign]
    threading.Thread(target=_end_with_helper, args=(over,), daemon=True).start()
    beside = str(Path(sys.argv[0]).parent)
    script = shutil.which(SCRIPT, path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    if script is None:
        sys.exit(f"{SCRIPT} of Parsl is not on PATH: install parsl beside parslflow.")
    sys.argv[0] = script
    runpy.run_path(script, run_name="__main__")
