"""Requests of several clients in one pass of a model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import redis
import torch

from parslflow.errors import ParslflowError
from parslflow.store.client import StoreClient
from tests.conftest import wait_until
from tests.store.conftest import Scripted

LIMIT_S = 20


class Rows(torch.nn.Module):
    """Tells each row how many were in its pass."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full_like(x, float(x.size(0)))


class Failing(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool((x > 0).any()):
            raise RuntimeError("a value is positive")
        return x


class Total(torch.nn.Module):
    """Has no row for each row."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum().reshape(1)


class Line(torch.nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return 2 * x + y.sum(1), x - y[:, 0]


Ask = Callable[..., "Future[np.ndarray]"]


class Ranks:
    """Clients that ask a model at the same time, each with a connection of its own."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(8)
        self._asked = 0

    def ask(
        self, array: np.ndarray, model: str = "m", timeout_ms: int = 20000
    ) -> Future[np.ndarray]:
        """What the model makes of ``array``; the next `ask` comes after this one at the server."""
        number = self._asked
        self._asked += 1
        self._store.put_tensor(f"x{number}", array)
        waiting = self.waiting()

        def run() -> np.ndarray:
            with StoreClient(self._store.address) as client:
                words = (model, "INPUTS", 1, f"x{number}", "OUTPUTS", 1, f"y{number}")
                client.connection.execute_command("AI.MODELEXECUTE", *words, "TIMEOUT", timeout_ms)
                return client.get_tensor(f"y{number}")

        answer = self._pool.submit(run)
        wait_until(lambda: answer.done() or self.waiting() != waiting)
        return answer

    def waiting(self) -> int:
        """Clients that wait for an execution."""
        return int(self._store.connection.info("clients")["blocked_clients"])

    def close(self) -> None:
        self._pool.shutdown()


def rows(number: int, value: float = 0.0) -> np.ndarray:
    return np.full((number, 2), value)


@pytest.fixture
def set_model(any_store: StoreClient, scripted: Scripted) -> Callable[..., None]:
    """Put a model with batching under 'm'."""

    def put(module: torch.nn.Module, most: int, least: int = 0, patience_ms: int = 0) -> None:
        any_store.set_model(
            "m",
            scripted(module),
            batch_size=most,
            min_batch_size=least,
            min_batch_timeout=patience_ms,
        )

    return put


@pytest.fixture
def ranks(any_store: StoreClient) -> Iterator[Ranks]:
    ranks = Ranks(any_store)
    yield ranks
    # Whoever still waits is answered, since nobody comes any more.
    any_store.connection.delete("m")
    ranks.close()


def counters(store: StoreClient) -> dict[str, int]:
    reply = store.connection.execute_command("AI.INFO", "m")
    return {name.decode(): value for name, value in zip(reply[10::2], reply[11::2], strict=True)}


def test_pass_waits_for_enough_samples(
    any_store: StoreClient, set_model: Callable[..., None], ranks: Ranks
) -> None:
    set_model(Rows(), most=100, least=12)
    answers = [ranks.ask(rows(3)) for _ in range(3)]
    time.sleep(0.1)
    assert not any(answer.done() for answer in answers)
    answers.append(ranks.ask(rows(3)))
    for answer in answers:
        np.testing.assert_array_equal(answer.result(LIMIT_S), rows(3, 12))
    found = counters(any_store)
    assert (found["calls"], found["samples"], found["errors"]) == (4, 12, 0)
    assert found["duration"] > 0


def test_each_gets_what_is_its_own(
    any_store: StoreClient, scripted: Scripted, ranks: Ranks
) -> None:
    any_store.set_model("m", scripted(Line()), batch_size=100, min_batch_size=10)
    random = np.random.default_rng(1)
    inputs = [(random.normal(size=n), random.normal(size=(n, 3))) for n in (1, 7, 2)]

    def run(number: int) -> None:
        with StoreClient(any_store.address) as client:
            names = [f"{name}{number}" for name in "xyab"]
            for name, array in zip(names, inputs[number], strict=False):
                client.put_tensor(name, array)
            client.run_model("m", names[:2], names[2:])

    threads = [threading.Thread(target=run, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    for number, (x, y) in enumerate(inputs):
        np.testing.assert_allclose(any_store.get_tensor(f"a{number}"), 2 * x + y.sum(1))
        np.testing.assert_array_equal(any_store.get_tensor(f"b{number}"), x - y[:, 0])


def test_pass_waits_no_longer_than_told(set_model: Callable[..., None], ranks: Ranks) -> None:
    set_model(Rows(), most=100, least=12, patience_ms=150)
    started = time.monotonic()
    first, second = ranks.ask(rows(3)), ranks.ask(rows(4))
    np.testing.assert_array_equal(first.result(LIMIT_S), rows(3, 7))
    np.testing.assert_array_equal(second.result(LIMIT_S), rows(4, 7))
    assert time.monotonic() - started > 0.14


def test_pass_takes_no_more_than_told(set_model: Callable[..., None], ranks: Ranks) -> None:
    set_model(Rows(), most=6, least=6)
    answers = [ranks.ask(rows(n)) for n in (3, 2, 4, 2, 9)]
    # 3 + 2 cannot take 4 more, 4 + 2 are enough, 9 are too many for any other.
    for answer, n, shared in zip(answers, (3, 2, 4, 2, 9), (5, 5, 6, 6, 9), strict=True):
        np.testing.assert_array_equal(answer.result(LIMIT_S), rows(n, shared))


def test_requests_that_are_there_are_joined_without_a_wait(
    any_store: StoreClient, set_model: Callable[..., None], ranks: Ranks
) -> None:
    set_model(Rows(), most=1000)
    answers = [ranks.ask(rows(1)) for _ in range(8)]
    assert all(1 <= answer.result(LIMIT_S)[0, 0] <= 8 for answer in answers)
    assert counters(any_store)["samples"] == 8


def test_other_shapes_and_types_are_not_joined(
    set_model: Callable[..., None], ranks: Ranks
) -> None:
    set_model(Rows(), most=100, least=4)
    doubles = ranks.ask(rows(3))
    singles = ranks.ask(rows(3).astype(np.float32))
    wide = ranks.ask(np.zeros((3, 5)))
    time.sleep(0.05)
    assert not any(answer.done() for answer in (doubles, singles, wide))
    ranks.ask(rows(1))
    np.testing.assert_array_equal(doubles.result(LIMIT_S), rows(3, 4))
    assert not any(answer.done() for answer in (singles, wide))


def test_what_cannot_be_joined_runs_alone(set_model: Callable[..., None], ranks: Ranks) -> None:
    set_model(Total(), most=100, least=6)
    answers = [ranks.ask(rows(3, value)) for value in (1.0, 2.0)]
    assert [answer.result(LIMIT_S).tolist() for answer in answers] == [[6.0], [12.0]]


def test_scalar_is_not_kept_waiting(set_model: Callable[..., None], ranks: Ranks) -> None:
    set_model(Failing(), most=100, least=6)
    assert ranks.ask(np.array(-1.0)).result(LIMIT_S) == -1.0


def test_error_of_one_is_not_that_of_the_others(
    any_store: StoreClient, set_model: Callable[..., None], ranks: Ranks
) -> None:
    set_model(Failing(), most=100, least=6)
    good, bad = ranks.ask(rows(3, -1.0)), ranks.ask(rows(3, 1.0))
    np.testing.assert_array_equal(good.result(LIMIT_S), rows(3, -1.0))
    with pytest.raises(redis.ResponseError, match="a value is positive"):
        bad.result(LIMIT_S)
    found = counters(any_store)
    assert (found["calls"], found["samples"], found["errors"]) == (2, 3, 1)


@pytest.mark.parametrize("end", ["delete", "replace", "flush", "rename"])
def test_nobody_waits_for_a_model_that_has_gone(
    any_store: StoreClient, set_model: Callable[..., None], ranks: Ranks, end: str
) -> None:
    set_model(Rows(), most=100, least=12)
    answer = ranks.ask(rows(3))
    if end == "delete":
        any_store.connection.execute_command("AI.MODELDEL", "m")
    elif end == "flush":
        any_store.connection.flushdb(asynchronous=True)
    elif end == "replace":
        set_model(Failing(), most=10)
    else:
        any_store.connection.rename("m", "n")
        assert not answer.done()
        any_store.connection.delete("n")
    np.testing.assert_array_equal(answer.result(LIMIT_S), rows(3, 3))


def test_client_that_has_gone_is_not_counted(
    any_store: StoreClient, set_model: Callable[..., None], ranks: Ranks
) -> None:
    set_model(Rows(), most=100, least=6)
    any_store.put_tensor("x", rows(3))
    with StoreClient(any_store.address) as gone:
        connection = gone.connection.connection_pool.get_connection()
        connection.send_command("AI.MODELEXECUTE", "m", "INPUTS", 1, "x", "OUTPUTS", 1, "y")
        wait_until(lambda: ranks.waiting() == 1)
        connection.disconnect()
    wait_until(lambda: ranks.waiting() == 0)
    first = ranks.ask(rows(3))
    time.sleep(0.05)
    assert not first.done()
    second = ranks.ask(rows(3))
    np.testing.assert_array_equal(first.result(LIMIT_S), rows(3, 6))
    np.testing.assert_array_equal(second.result(LIMIT_S), rows(3, 6))
    assert not any_store.connection.exists("y")


def test_wait_ends_at_the_timeout_of_the_request(
    any_store: StoreClient, set_model: Callable[..., None], ranks: Ranks
) -> None:
    set_model(Rows(), most=100, least=6)
    with pytest.raises(redis.ResponseError, match="within its TIMEOUT"):
        ranks.ask(rows(3), timeout_ms=100).result(LIMIT_S)
    first, second = ranks.ask(rows(4)), ranks.ask(rows(5))
    np.testing.assert_array_equal(first.result(LIMIT_S), rows(4, 9))
    np.testing.assert_array_equal(second.result(LIMIT_S), rows(5, 9))
    assert counters(any_store)["samples"] == 9


def test_transaction_does_not_wait(any_store: StoreClient, set_model: Callable[..., None]) -> None:
    set_model(Rows(), most=100, least=6)
    any_store.put_tensor("x", rows(3))
    transaction = any_store.connection.pipeline(transaction=True)
    transaction.execute_command("AI.MODELEXECUTE", "m", "INPUTS", 1, "x", "OUTPUTS", 1, "y")
    transaction.execute()
    np.testing.assert_array_equal(any_store.get_tensor("y"), rows(3, 3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"most": 0, "least": 4}, "need a BATCHSIZE"),
        ({"most": 0, "patience_ms": 4}, "need a BATCHSIZE"),
        ({"most": 3, "least": 4}, "MINBATCHSIZE is more than BATCHSIZE"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    any_store: StoreClient,
    set_model: Callable[..., None],
    settings: dict[str, int],
    message: str,
) -> None:
    with pytest.raises(ParslflowError, match=message):
        set_model(Rows(), **settings)
    assert not any_store.connection.exists("m")
