"""What a run needs while it lasts: Parsl at a site, and the store."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import parsl
import zmq
from parsl.errors import ParslError
from parsl.executors.high_throughput.errors import ManagerLost
from parsl.executors.high_throughput.errors import WorkerLost

from parslflow.apps import Stages
from parslflow.errors import ParslflowError
from parslflow.executors import loaded
from parslflow.records import Record
from parslflow.rundir import RunDir
from parslflow.rundir import is_full
from parslflow.serving import Serving
from parslflow.sites import Site
from parslflow.watch import fail_all
from parslflow.watch import watching

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
        with loaded(site) as kernel, watching(kernel):
            yield
    except (ParslError, ManagerLost, WorkerLost, zmq.Again) as error:
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
def store(stages: Stages) -> Iterator[Serving]:
    """The store, which starts while the block is at work, and stops when that ends.

    Raises:
        StoreLostError: its worker or block has gone.
        ParslflowError: it did not start, or ended by itself.
    """
    serving = stages.serve()
    serving.served.add_done_callback(_tell_all)
    interrupted = False
    try:
        yield serving
    except (KeyboardInterrupt, SystemExit):
        interrupted = True
        raise
    finally:
        try:
            serving.stop()
        except (ManagerLost, WorkerLost) as error:
            if not interrupted:
                raise StoreLostError(f"The store was lost ({error})") from error


def _tell_all(served: Future[Record]) -> None:
    """Fail all tasks with a store that cannot start: that is better known now than when needed."""
    error = served.exception()
    if isinstance(error, Exception) and not isinstance(error, ManagerLost | WorkerLost):
        fail_all(parsl.dfk(), error)
