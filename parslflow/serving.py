"""The stage that keeps the store of a run: when it can be reached, and how it is stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from parslflow.errors import ParslflowError
from parslflow.records import Record
from parslflow.rundir import RunDir

START_SECONDS = 60.0
STOP_SECONDS = 60.0


class Serving:
    """The store's stage, from when it is sent.

    Args:
        run_dir: the run.
        send: sends the stage.
    """

    def __init__(self, run_dir: RunDir, send: Callable[[], Future[Record]]) -> None:
        self._run = run_dir
        self._address = run_dir.store / "address.json"
        self._stop = run_dir.store / "stop"
        for left in (self._address, self._stop):
            left.unlink(missing_ok=True)
        self._before = self._journals()
        self.served = send()
        """Done when the store has ended."""

    def wait(self) -> None:
        """Wait until the store can be reached; its block may have to queue first.

        Raises:
            ParslflowError: it ended, or did not start in time.
        """
        deadline = math.inf
        while not self._address.is_file():
            if self.served.done():
                self.served.result()
            if deadline == math.inf and self._has_begun():
                deadline = time.monotonic() + START_SECONDS
            if time.monotonic() > deadline:
                raise ParslflowError(
                    f"The store published no address in {self._address} within "
                    f"{START_SECONDS:g} s: see the log beside it."
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """Tell the store to stop, and wait until it has; one that never began is not waited for.

        Raises:
            Exception: what it ended of before.
        """
        self._stop.touch()
        if self.served.done() or self._has_begun():
            self.served.result(timeout=STOP_SECONDS)

    def _has_begun(self) -> bool:
        return self._journals() > self._before

    def _journals(self) -> set[Path]:
        """The journals of all stores that started in the run."""
        return set(self._run.journal.glob("store-*.jsonl"))
