"""What a failed task costs of the tries that Parsl has for it."""

from __future__ import annotations

import zmq
from parsl.dataflow.taskrecord import TaskRecord
from parsl.executors.high_throughput.errors import ManagerLost
from parsl.executors.high_throughput.errors import WorkerLost

RETRIES = 1
"""What a task may cost in all, as ``Config(retries=RETRIES, retry_handler=cost)``."""

TRIES = 4
"""How often a task may lose its worker or its block: a node fails, a wall time ends."""


def cost(error: Exception, task: TaskRecord) -> float:
    """The cost of one failure: little for what a second try mends, all for what it does not.

    A stage that failed by itself would fail again, and a store that has gone took with it what
    others wait for. A task that its interchange did not take is told why when it is sent again.
    """
    if isinstance(error, zmq.Again):
        return RETRIES / TRIES
    if isinstance(error, ManagerLost | WorkerLost) and task["executor"] != "store":
        return RETRIES / TRIES
    return RETRIES + 1.0
