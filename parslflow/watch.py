"""Sees to Parsl's executors: interchanges live, blocks start, and idle ones are given back.

Where one executor is broken tasks of the others might never end, and a queue that never starts
would be waited for without a word.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from functools import partial

import zmq
from parsl.dataflow.dflow import DataFlowKernel
from parsl.errors import ParslError
from parsl.executors import HighThroughputExecutor
from parsl.executors.base import ParslExecutor
from parsl.executors.high_throughput.errors import CommandClientBadError
from parsl.executors.high_throughput.errors import CommandClientTimeoutError
from parsl.jobs.states import JobState
from parsl.providers import SlurmProvider

from parslflow.blocks import IDLE_SECONDS

PERIOD_SECONDS = 1.0

ANSWER_SECONDS = 20.0
"""How long an interchange may take to answer Parsl, which by itself waits for ever."""

SEND_SECONDS = 5.0
"""How long a task waits for an interchange to be connected."""


class Waiting:
    """Says when it is time to tell that something is waited for: after 1, 2, 4, 8 … minutes."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._told = 0

    def minutes(self, waits: bool, now: float) -> int:
        """For how many minutes it is waited, if that shall be told now; else 0.

        Args:
            waits: whether it is waited now.
            now: the time, s.
        """
        if not waits:
            self._since, self._told = None, 0
            return 0
        if self._since is None:
            self._since = now
        waited = int((now - self._since) / 60)
        if waited < max(1, 2 * self._told):
            return 0
        self._told = waited
        return waited


@contextmanager
def watching(kernel: DataFlowKernel) -> Iterator[None]:
    """See to the executors during the block: when one is broken all tasks fail."""
    for executor in kernel.executors.values():
        bound_waiting(executor)
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(kernel, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        _cancel_blocks(kernel)


def bound_waiting(executor: ParslExecutor) -> None:
    """Have Parsl wait for a time only for an interchange, which may have died."""
    if isinstance(executor, HighThroughputExecutor):
        client = executor.command_client
        client.run = partial(client.run, timeout_s=ANSWER_SECONDS)  # type: ignore[method-assign]
        # One thread sends all tasks.
        executor.outgoing_q.zmq_socket.setsockopt(zmq.SNDTIMEO, int(SEND_SECONDS * 1000))


def fail_all(kernel: DataFlowKernel, error: Exception) -> None:
    """Fail all tasks of all executors; no block is started any more."""
    # Parsl stumbles over one that is broken, and starts no block of the others any more.
    for executor in _pools(kernel):
        if not executor.bad_state_is_set:
            executor.set_bad_state_and_fail_all(error)


def _pools(kernel: DataFlowKernel) -> list[HighThroughputExecutor]:
    """The executors that have blocks, so far: more may be added."""
    executors = list(kernel.executors.values())
    return [one for one in executors if isinstance(one, HighThroughputExecutor)]


def _cancel_blocks(kernel: DataFlowKernel) -> None:
    """Cancel the blocks of executors that are broken: Parsl leaves them to themselves."""
    for executor in _pools(kernel):
        jobs = _jobs(executor)
        if executor.bad_state_is_set and executor.provider is not None and jobs:
            executor.provider.cancel(list(jobs))


def _give_back(executor: HighThroughputExecutor) -> None:
    """Give blocks back that have been idle for long while others work.

    Parsl's strategy "simple" waits until all are idle, the other one cancels those that start.
    """
    statuses = executor.status_facade.values()
    blocks = sum(status.state is JobState.RUNNING for status in statuses)
    tasks = executor.outstanding()
    if not 0 < tasks < blocks:
        return
    if any(status.state is JobState.PENDING for status in statuses):
        return
    with suppress(CommandClientTimeoutError, CommandClientBadError):
        starting = blocks - len({one["block_id"] for one in executor.connected_managers()})
        if not starting:
            executor.scale_in_facade(blocks - tasks, max_idletime=IDLE_SECONDS)


def _watch(kernel: DataFlowKernel, over: threading.Event) -> None:
    idle: defaultdict[str, Waiting] = defaultdict(Waiting)
    while not over.wait(PERIOD_SECONDS):
        for executor in _pools(kernel):
            blocks = executor.status_facade.values()
            waits = executor.outstanding() > 0 and not any(
                block.state is JobState.RUNNING for block in blocks
            )
            minutes = idle[executor.label].minutes(waits, time.monotonic())
            # Parsl asks a scheduler once a minute only, so a block may have started since.
            if minutes and not _has_workers(executor):
                print(
                    f"parslflow: no block of the executor '{executor.label}' has started for "
                    f"{minutes} min ({_blocks(executor)}); it is waited for, Ctrl-C ends the run. "
                    "Is its queue slow, or the request more than the queue allows?",
                    file=sys.stderr,
                    flush=True,
                )
            process = executor.interchange_proc
            if executor.bad_state_is_set:
                error = executor.executor_exception or ParslError(f"'{executor.label}' is broken")
            elif process is None:
                continue
            elif process.poll() is None:
                _give_back(executor)
                continue
            else:
                error = ParslError(
                    f"the interchange of the executor '{executor.label}' (process {process.pid}) "
                    f"ended with code {process.returncode}"
                )
            fail_all(kernel, error)


def _has_workers(executor: HighThroughputExecutor) -> bool:
    try:
        return bool(executor.connected_managers())
    except (CommandClientBadError, CommandClientTimeoutError):
        return False


def _jobs(executor: HighThroughputExecutor) -> dict[str, str]:
    """The jobs that have not ended, with their states."""
    return {
        executor.blocks_to_job_id[number]: block.state.name.lower()
        for number, block in list(executor.status_facade.items())
        if not block.terminal and number in executor.blocks_to_job_id
    }


def _blocks(executor: HighThroughputExecutor) -> str:
    """The blocks that have not ended, such as ``job 12 is pending: Resources``."""
    jobs = _jobs(executor)
    if not jobs:
        return "none is asked for"
    states = ", ".join(f"job {job} is {state}" for job, state in jobs.items())
    if not isinstance(executor.provider, SlurmProvider):
        return states
    command = f"squeue --noheader --format=%r --jobs={','.join(jobs)}"
    _, reasons, _ = executor.provider.execute_wait(command)  # type: ignore[no-untyped-call]
    return ": ".join([states, *filter(None, [", ".join(reasons.split("\n")[:-1])])])
