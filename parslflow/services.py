"""What a run needs while it lasts: Parsl at a site, and the store."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import parsl
from parsl.errors import ParslError
from parsl.executors.high_throughput.errors import ManagerLost
from parsl.executors.high_throughput.errors import WorkerLost

from parslflow.apps import Stages
from parslflow.errors import ParslflowError
from parslflow.records import Record
from parslflow.rundir import RunDir
from parslflow.rundir import is_full
from parslflow.sites import Site
from parslflow.watch import watching

STORE_START_SECONDS = 60.0

_NO_BLOCK = "Failed to start block"
"""What Parsl says when a scheduler does not take a request."""


class StoreLostError(ParslflowError):
    """The store's worker or block has gone, as at the end of its wall time."""


@contextmanager
def parsl_at(site: Site, run_dir: RunDir) -> Iterator[None]:
    """Parsl with the site's configuration.

    Raises:
        ParslflowError: it could not start, or a task failed by its fault.
    """
    try:
        with parsl.load(site.parsl) as kernel, watching(kernel):
            yield
    except (ParslError, ManagerLost, WorkerLost) as error:
        said = _sentence(error)
        changed = ""
        if is_full(run_dir.root):
            said += ": the disk is full, free some space"
        elif _NO_BLOCK in said:
            said += ": mend what it names"
            changed = " --site NAME --site-option NAME=VALUE"
        raise ParslflowError(
            f"{said}: see {run_dir.logs / 'parsl'}; 'parslflow resume {run_dir.root}{changed}' "
            "goes on from here."
        ) from error


def _sentence(error: Exception) -> str:
    """What Parsl says of a failure, of a block's own output the last line alone."""
    text, _, output = str(error).partition("Check the stdout/stderr logs")
    words = [" ".join(text.split()), *output.strip().splitlines()[-1:]]
    return ": ".join(part.rstrip(".") for part in words)


@contextmanager
def store(stages: Stages, run_dir: RunDir) -> Iterator[None]:
    """The store, from when its address is published until the block ends.

    Raises:
        StoreLostError: its worker or block has gone.
        ParslflowError: it did not start, or ended by itself.
    """
    for left in ("address.json", "stop"):
        (run_dir.store / left).unlink(missing_ok=True)
    before = set(_store_journals(run_dir))
    served = stages.serve()
    _wait_for_address(served, run_dir, before)
    interrupted = False
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        interrupted = True
        raise
    finally:
        (run_dir.store / "stop").touch()
        try:
            served.result(timeout=STORE_START_SECONDS)
        except (ManagerLost, WorkerLost) as error:
            if not interrupted:
                raise StoreLostError(f"The store was lost ({error})") from error


def _wait_for_address(served: Future[Record], run_dir: RunDir, before: set[Path]) -> None:
    """Wait until the store can be reached; its block may have to queue first.

    Raises:
        ParslflowError: it ended, or did not start in time.
    """
    address = run_dir.store / "address.json"
    deadline = math.inf
    while not address.is_file():
        if served.done():
            served.result()
        if deadline == math.inf and set(_store_journals(run_dir)) > before:
            deadline = time.monotonic() + STORE_START_SECONDS
        if time.monotonic() > deadline:
            raise ParslflowError(
                f"The store published no address in {address} within {STORE_START_SECONDS:g} s: "
                "see the log beside it."
            )
        time.sleep(0.05)


def _store_journals(run_dir: RunDir) -> list[Path]:
    """The journals of all stores that started in the run."""
    return list(run_dir.journal.glob("store-*.jsonl"))
