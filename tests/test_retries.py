from __future__ import annotations

import pytest
import zmq
from parsl.executors.high_throughput.errors import ManagerLost
from parsl.executors.high_throughput.errors import WorkerLost

from parslflow import retries
from parslflow.errors import ParslflowError
from parslflow.errors import UsageError


@pytest.mark.parametrize("error", [ManagerLost(b"1", "host"), WorkerLost(1, "host")])
def test_a_lost_worker_or_block_is_replaced_a_few_times(error: Exception) -> None:
    cost = retries.cost(error, {"executor": "training"})  # type: ignore[typeddict-item]
    tries = 0
    while (tries + 1) * cost <= retries.RETRIES:
        tries += 1
    assert tries == retries.TRIES


@pytest.mark.parametrize("error", [ParslflowError("x"), UsageError("x"), ValueError("x")])
def test_what_a_stage_says_is_not_asked_again(error: Exception) -> None:
    assert retries.cost(error, {"executor": "training"}) > retries.RETRIES  # type: ignore[typeddict-item]


def test_a_task_that_was_not_sent_is_sent_again() -> None:
    cost = retries.cost(zmq.Again(), {"executor": "store"})  # type: ignore[typeddict-item]
    assert cost <= retries.RETRIES


def test_a_store_that_has_gone_is_not_replaced() -> None:
    cost = retries.cost(ManagerLost(b"1", "host"), {"executor": "store"})  # type: ignore[typeddict-item]
    assert cost > retries.RETRIES
