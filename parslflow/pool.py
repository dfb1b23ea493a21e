"""Parsl's pool of workers, which ends when it has lost a process that it cannot do without.

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
from pathlib import Path

SCRIPT = "process_worker_pool.py"

_LOOK_SECONDS = 0.2


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


def main() -> None:
    """The program ``parslflow-workers``, with the arguments of Parsl's own."""
    over = threading.Event()
    # Runs before multiprocessing ends the helper, since it is registered later.
    atexit.register(over.set)
    threading.Thread(target=_end_with_helper, args=(over,), daemon=True).start()
    beside = str(Path(sys.argv[0]).parent)
    script = shutil.which(SCRIPT, path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    if script is None:
        sys.exit(f"{SCRIPT} of Parsl is not on PATH: install parsl beside parslflow.")
    sys.argv[0] = script
    runpy.run_path(script, run_name="__main__")
