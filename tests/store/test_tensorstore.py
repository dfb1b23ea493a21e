from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
import torch
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from parslflow.errors import ParslflowError
from parslflow.store.client import StoreClient
from parslflow.store.server import StoreServer
from tests.store.conftest import Scripted


class Network(torch.nn.Module):
    """Writes in place, but never to its input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(4, 16), torch.nn.ReLU(inplace=True), torch.nn.Linear(16, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x.float()).squeeze(1)


class Greedy(torch.nn.Module):
    """Writes to its input through a view."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.view(-1).add_(1.0)
        return x


class Counter(torch.nn.Module):
    """Changes its own state at each call, slowly enough to be caught at it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = self.calls
        for _ in range(1000):
            x = x + 0
        self.calls = before + 1
        return x * 0 + self.calls


class Failing(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool(x.sum() > 0):
            raise RuntimeError("the sum\nis positive")
        return x


class Several(torch.nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return x + y, [x - y, (x * y).sum()]


class Complex(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.view_as_complex(x)


COMMANDS = [
    *("AI.TENSORSET", "AI.TENSORGET", "AI.INFO", "AI.CONFIG"),
    *("AI.MODELSTORE", "AI.MODELEXECUTE", "AI.MODELGET", "AI.MODELDEL"),
    *("AI.SCRIPTSET", "AI.SCRIPTRUN", "AI.SCRIPTGET", "AI.SCRIPTDEL"),
]
KEYWORDS = [
    *(b"x", b"m", b"s", b"f", b"FLOAT", b"BLOB", b"META", b"TORCH", b"CPU", b"GPU:1", b"TAG"),
    *(b"INPUTS", b"OUTPUTS", b"TIMEOUT", b"SOURCE", b"GET", b"RESETSTAT", b"NONE"),
]

SLOW = """
def slow(x):
    for _ in range(100000):
        x = x + 1
    return x
"""


def command(store: StoreClient, *words: str | bytes | int) -> Any:  # noqa: ANN401
    return store.connection.execute_command(*words)


def fails(store: StoreClient, *words: str | bytes | int) -> str:
    """The error that the command gets, from a server that lives on."""
    with pytest.raises(redis.ResponseError) as caught:
        command(store, *words)
    assert store.connection.ping()
    return str(caught.value)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2"])
def test_tensor_comes_back(any_store: StoreClient, dtype: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    any_store.put_tensor("x", array)
    back = any_store.get_tensor("x")
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1, 1, 1, 1, 1)])
def test_tensor_of_any_rank_comes_back(any_store: StoreClient, shape: tuple[int, ...]) -> None:
    any_store.put_tensor("x", np.full(shape, 3.0))
    np.testing.assert_array_equal(any_store.get_tensor("x"), np.full(shape, 3.0))


def test_largest_tensor_that_the_server_takes_comes_back(tmp_path: Path) -> None:
    array = np.arange(2**26, dtype=float)  # 512 MiB
    with StoreServer(tmp_path, memory_mb=2048) as server, server.client() as store:
        store.put_tensor("x", array)
        assert np.array_equal(store.get_tensor("x"), array)
        assert store.memory().used < 1.1 * array.nbytes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "lacks its key|wrong number"),
        (["x"], "lacks its data type"),
        (["x", "FLOAT"], "lacks its shape or BLOB"),
        (["x", "FLOAT", "1"], "lacks its shape or BLOB"),
        (["x", "FLOAT", "1", "BLOB"], "lacks its bytes"),
        (["x", "HALF", "1", "BLOB", "ab"], "'HALF' is not a data type"),
        (["x", "FLOAT", "2", "BLOB", b"1234567"], "does not have 7 bytes"),
        (["x", "FLOAT", "2", "BLOB", b"123456789"], "does not have 9 bytes"),
        (["x", "FLOAT", "-1", "BLOB", b"1234"], "is not an integer"),
        (["x", "FLOAT", "1.0", "BLOB", b"1234"], "is not an integer"),
        (["x", "FLOAT", "99999999999999999999", "BLOB", b"1234"], "is not an integer"),
        (["x", "FLOAT", 2**62, 4, "BLOB", b""], "does not have 0 bytes"),
        (["x", "FLOAT", "1", "BLOB", b"1234", "more"], "does not know the argument 'more'"),
        (["x", "FLOAT", "1", "VALUES", "1"], "'VALUES' is not an integer"),
    ],
)
def test_bad_tensor_is_refused(
    any_store: StoreClient, words: list[str | bytes | int], message: str
) -> None:
    with pytest.raises(redis.ResponseError, match=message):
        command(any_store, "AI.TENSORSET", *words)
    assert not any_store.connection.exists("x")


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    name=st.sampled_from(COMMANDS),
    words=st.lists(
        st.one_of(
            st.binary(max_size=9),
            st.integers(-2, 2**64).map(lambda number: str(number).encode()),
            st.sampled_from(KEYWORDS),
        ),
        max_size=8,
    ),
)
def test_server_outlives_any_words(store: StoreClient, name: str, words: list[bytes]) -> None:
    store.put_tensor("x", np.ones(3))
    command(store, "AI.SCRIPTSET", "s", "CPU", "SOURCE", "def f(x):\n    return x\n")
    try:
        command(store, name, *words)
    except redis.ResponseError as error:
        assert "\n" not in str(error)  # noqa: PT017
    assert store.connection.ping()


def test_other_keys_are_not_tensors(any_store: StoreClient) -> None:
    any_store.connection.set("text", "x")
    assert "does not hold a tensor" in fails(any_store, "AI.TENSORGET", "text", "META", "BLOB")
    assert "does not hold a tensor" in fails(
        any_store, "AI.TENSORSET", "text", "INT8", 1, "BLOB", b"a"
    )
    assert "no tensor under the key 'none'" in fails(
        any_store, "AI.TENSORGET", "none", "META", "BLOB"
    )


def test_tensor_is_a_key_like_others(any_store: StoreClient) -> None:
    array = np.arange(1000.0)
    any_store.put_tensor("x", array)
    connection = any_store.connection
    assert 8000 <= connection.memory_usage("x") < 9000
    connection.restore("y", 0, connection.dump("x"))
    connection.rename("y", "z")
    assert connection.delete("x") == 1
    np.testing.assert_array_equal(any_store.get_tensor("z"), array)


def test_model_answers_as_torch_does(any_store: StoreClient, scripted: Scripted) -> None:
    network = Network().eval()
    script = scripted(network)
    any_store.set_model("m", script)
    assert any_store.get_model("m") == script
    for rows in (1, 300, 7):
        x = np.random.default_rng(rows).normal(size=(rows, 4))
        any_store.put_tensor("x", x)
        any_store.run_model("m", ["x"], ["y"])
        with torch.no_grad():
            expected = network(torch.from_numpy(x)).numpy()
        np.testing.assert_array_equal(any_store.get_tensor("y"), expected)
        np.testing.assert_array_equal(any_store.get_tensor("x"), x)


def test_model_has_several_inputs_and_outputs(store: StoreClient, scripted: Scripted) -> None:
    store.set_model("m", scripted(Several()))
    x, y = np.arange(4.0), np.full(4, 2.0)
    store.put_tensor("x", x)
    store.put_tensor("y", y)
    store.run_model("m", ["x", "y"], ["sum", "difference", "product"])
    np.testing.assert_array_equal(store.get_tensor("sum"), x + y)
    np.testing.assert_array_equal(store.get_tensor("difference"), x - y)
    np.testing.assert_array_equal(store.get_tensor("product"), (x * y).sum())


def test_model_may_answer_over_its_input(store: StoreClient, scripted: Scripted) -> None:
    store.set_model("m", scripted(Several()))
    store.put_tensor("x", np.arange(4.0))
    store.run_model("m", ["x", "x"], ["x", "zero", "sum"])
    np.testing.assert_array_equal(store.get_tensor("x"), 2 * np.arange(4.0))


def test_model_that_writes_to_its_input_gets_a_copy(store: StoreClient, scripted: Scripted) -> None:
    store.set_model("m", scripted(Greedy()))
    store.put_tensor("x", np.arange(4.0))
    store.run_model("m", ["x"], ["y"])
    np.testing.assert_array_equal(store.get_tensor("x"), np.arange(4.0))
    np.testing.assert_array_equal(store.get_tensor("y"), np.arange(4.0) + 1)


def test_model_with_a_state_runs_one_call_at_a_time(store: StoreClient, scripted: Scripted) -> None:
    store.set_model("m", scripted(Counter()))
    store.put_tensor("x", np.zeros(1))

    def run() -> None:
        with StoreClient(store.address) as client:
            for _ in range(5):
                client.run_model("m", ["x"], [f"y{threading.get_ident()}"])

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.run_model("m", ["x"], ["y"])
    assert store.get_tensor("y") == 4 * 5 + 1


def test_model_that_fails_is_an_error(any_store: StoreClient, scripted: Scripted) -> None:
    any_store.set_model("m", scripted(Failing()))
    any_store.put_tensor("x", np.ones(3))
    with pytest.raises(ParslflowError, match=r"model 'm'.*RuntimeError: the sum is positive"):
        any_store.run_model("m", ["x"], ["y"])
    assert not any_store.connection.exists("y")
    any_store.put_tensor("x", -np.ones(3))
    any_store.run_model("m", ["x"], ["y"])


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (["x", "x"], ["y"], "received 3"),
        ([], ["y"], "missing value for argument 'x'"),
        (["x"], ["y", "z"], "1 tensors for 2 names"),
        (["x"], [], "1 tensors for 0 names"),
        (["none"], ["y"], "no tensor under the key 'none'"),
        (["m"], ["y"], "does not hold a tensor"),
        (["x"], ["m"], "does not hold a tensor"),
    ],
)
def test_wrong_call_of_a_model_is_an_error(
    store: StoreClient, scripted: Scripted, inputs: list[str], outputs: list[str], message: str
) -> None:
    store.set_model("m", scripted(Network()))
    store.put_tensor("x", np.ones((2, 4)))
    with pytest.raises(ParslflowError, match=message):
        store.run_model("m", inputs, outputs)
    store.run_model("m", ["x"], ["y"])


def test_input_of_the_wrong_shape_is_an_error(store: StoreClient, scripted: Scripted) -> None:
    store.set_model("m", scripted(Network()))
    store.put_tensor("x", np.ones((2, 5)))
    with pytest.raises(ParslflowError, match="cannot be multiplied"):
        store.run_model("m", ["x"], ["y"])


def test_output_that_no_client_can_read_is_an_error(store: StoreClient, scripted: Scripted) -> None:
    store.set_model("m", scripted(Complex()))
    store.put_tensor("x", np.ones((2, 2)))
    with pytest.raises(ParslflowError, match="ComplexDouble, which no client can read"):
        store.run_model("m", ["x"], ["y"])


@pytest.mark.parametrize("device", ["GPU", "GPU:0", "GPU:7", "gpu"])
def test_model_for_a_gpu_that_is_not_there(
    store: StoreClient, scripted: Scripted, device: str
) -> None:
    assert not torch.cuda.is_available(), "this is a test for machines without a GPU"
    with pytest.raises(ParslflowError, match="has no device 'GPU"):
        store.set_model("m", scripted(Network()), device)


@pytest.mark.parametrize("device", ["TPU", "GPU:", "GPU:x", "GPU1", "GPU:-1", "CPU:0", ""])
def test_unknown_device_is_an_error(store: StoreClient, scripted: Scripted, device: str) -> None:
    with pytest.raises(ParslflowError, match="is not a device"):
        store.set_model("m", scripted(Network()), device)


@pytest.mark.parametrize("size", [0, 10, 2000])
def test_damaged_model_is_an_error(store: StoreClient, scripted: Scripted, size: int) -> None:
    message = fails(store, "AI.MODELSTORE", "m", "TORCH", "CPU", "BLOB", scripted(Network())[:size])
    assert "not TorchScript" in message
    assert not store.connection.exists("m")


def test_model_of_another_backend_is_an_error(store: StoreClient) -> None:
    assert "TORCH only" in fails(store, "AI.MODELSTORE", "m", "TF", "CPU", "BLOB", b"x")


def test_settings_of_a_model_are_kept(any_store: StoreClient, scripted: Scripted) -> None:
    words = "TAG v1 BATCHSIZE 8 MINBATCHSIZE 4 MINBATCHTIMEOUT 10 INPUTS 1 x OUTPUTS 2 y z"
    blob = scripted(Network())
    command(any_store, "AI.MODELSTORE", "m", "torch", "cpu", *words.split(), "BLOB", blob)
    connection = any_store.connection
    connection.restore("copy", 0, connection.dump("m"))
    for name in ("m", "copy"):
        reply = command(any_store, "AI.MODELGET", name, "META", "BLOB")
        assert dict(zip(reply[::2], reply[1::2], strict=True)) == {
            b"backend": b"TORCH",
            b"device": b"CPU",
            b"tag": b"v1",
            b"batchsize": 8,
            b"minbatchsize": 4,
            b"minbatchtimeout": 10,
            b"inputs": [b"x"],
            b"outputs": [b"y", b"z"],
            b"blob": blob,
        }
    any_store.put_tensor("x", np.ones((2, 4)))
    any_store.run_model("copy", ["x"], ["y"])


def test_large_model_travels_in_chunks(store: StoreClient, scripted: Scripted) -> None:
    blob = scripted(Network())
    before = command(store, "AI.CONFIG", "GET", "MODEL_CHUNK_SIZE")
    assert before == 535822336
    command(store, "AI.CONFIG", "MODEL_CHUNK_SIZE", 1000)
    try:
        store.set_model("m", blob)
        reply = command(store, "AI.MODELGET", "m", "BLOB")
        assert [len(chunk) for chunk in reply[:-1]] == [1000] * (len(blob) // 1000)
        assert store.get_model("m") == blob
    finally:
        command(store, "AI.CONFIG", "MODEL_CHUNK_SIZE", before)
    assert "must be 1 or more" in fails(store, "AI.CONFIG", "MODEL_CHUNK_SIZE", 0)
    assert "knows MODEL_CHUNK_SIZE only" in fails(store, "AI.CONFIG", "GET", "OTHER")


def test_info_counts_what_a_model_did(any_store: StoreClient, scripted: Scripted) -> None:
    any_store.set_model("m", scripted(Network()))
    any_store.put_tensor("x", np.ones((5, 4)))
    any_store.put_tensor("wrong", np.ones((5, 3)))
    any_store.run_model("m", ["x"], ["y"])
    fails(any_store, "AI.MODELEXECUTE", "m", "INPUTS", 1, "wrong", "OUTPUTS", 1, "y")
    reply = command(any_store, "AI.INFO", "m")
    info = dict(zip(reply[::2], reply[1::2], strict=True))
    assert info.pop(b"duration") > 0
    assert info == {
        b"key": b"m",
        b"type": b"MODEL",
        b"backend": b"TORCH",
        b"device": b"CPU",
        b"tag": b"",
        b"samples": 5,
        b"calls": 2,
        b"errors": 1,
    }
    assert command(any_store, "AI.INFO", "m", "RESETSTAT")[-5] > 0
    assert command(any_store, "AI.INFO", "m")[-5] == 0


def test_model_is_deleted(store: StoreClient, scripted: Scripted) -> None:
    store.set_model("m", scripted(Network()))
    assert command(store, "AI.MODELDEL", "m") == b"OK"
    assert not store.connection.exists("m")
    assert "no model under the key 'm'" in fails(store, "AI.MODELDEL", "m")


def test_script_runs_its_functions(any_store: StoreClient) -> None:
    source = "def both(a, b):\n    return a + b, a - b\n\ndef one(a):\n    return a.t()\n"
    assert command(any_store, "AI.SCRIPTSET", "s", "CPU", "TAG", "v", "SOURCE", source) == b"OK"
    a = np.arange(6.0).reshape(2, 3)
    any_store.put_tensor("a", a)
    command(any_store, "AI.SCRIPTRUN", "s", "both", "INPUTS", "a", "a", "OUTPUTS", "p", "q")
    np.testing.assert_array_equal(any_store.get_tensor("p"), 2 * a)
    np.testing.assert_array_equal(any_store.get_tensor("q"), 0 * a)
    connection = any_store.connection
    connection.restore("copy", 0, connection.dump("s"))
    command(any_store, "AI.SCRIPTRUN", "copy", "one", "INPUTS", "a", "OUTPUTS", "p")
    np.testing.assert_array_equal(any_store.get_tensor("p"), a.T)
    assert command(any_store, "AI.SCRIPTGET", "s", "SOURCE") == source.encode()
    assert command(any_store, "AI.INFO", "s")[3] == b"SCRIPT"
    assert command(any_store, "AI.SCRIPTDEL", "s") == b"OK"
    assert not connection.exists("s")


def test_script_that_is_wrong_is_an_error(any_store: StoreClient) -> None:
    assert "torch:" in fails(any_store, "AI.SCRIPTSET", "s", "CPU", "SOURCE", "def f(:")
    command(any_store, "AI.SCRIPTSET", "s", "CPU", "SOURCE", "def f(x):\n    return x.size(0)\n")
    any_store.put_tensor("x", np.ones(2))
    assert "'g'" in fails(any_store, "AI.SCRIPTRUN", "s", "g", "INPUTS", "x", "OUTPUTS", "y")
    assert "not a tensor" in fails(
        any_store, "AI.SCRIPTRUN", "s", "f", "INPUTS", "x", "OUTPUTS", "y"
    )
    assert "no script under" in fails(any_store, "AI.SCRIPTRUN", "none", "f", "OUTPUTS", "y")


def test_server_answers_others_while_a_script_runs(any_store: StoreClient) -> None:
    command(any_store, "AI.SCRIPTSET", "s", "CPU", "SOURCE", SLOW)
    any_store.put_tensor("x", np.zeros(1))
    took: list[float] = []

    def run() -> None:
        start = time.monotonic()
        with StoreClient(any_store.address) as client:
            command(client, "AI.SCRIPTRUN", "s", "slow", "INPUTS", "x", "OUTPUTS", "y")
        took.append(time.monotonic() - start)

    thread = threading.Thread(target=run)
    thread.start()
    while command(any_store, "AI.INFO", "s")[15] == 0:
        time.sleep(0.001)
    longest = 0.0
    while thread.is_alive():
        start = time.monotonic()
        any_store.put_tensor("x", np.ones(1))  # while the script reads the old one
        longest = max(longest, time.monotonic() - start)
    thread.join()
    assert any_store.get_tensor("y") == 100000
    assert longest < took[0] / 4


def test_execution_ends_at_its_timeout(store: StoreClient, scripted: Scripted) -> None:
    class Slow(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for _ in range(50000):
                x = x + 1
            return x

    store.set_model("m", scripted(Slow()))
    store.put_tensor("x", np.zeros(1))
    words = ("AI.MODELEXECUTE", "m", "INPUTS", 1, "x", "OUTPUTS", 1, "y", "TIMEOUT")
    assert "within its TIMEOUT" in fails(store, *words, 1)
    assert command(store, *words, 60000) == b"OK"


def test_model_runs_inside_a_transaction(any_store: StoreClient, scripted: Scripted) -> None:
    any_store.set_model("m", scripted(Several()))
    pipeline = any_store.connection.pipeline(transaction=True)
    for words in (
        ("AI.TENSORSET", "x", "INT8", 1, "BLOB", b"\x02"),
        ("AI.MODELEXECUTE", "m", "INPUTS", 2, "x", "x", "OUTPUTS", 3, "a", "b", "c"),
        ("AI.TENSORGET", "a", "BLOB"),
    ):
        pipeline.execute_command(*words)
    assert pipeline.execute() == [b"OK", b"OK", b"\x04"]
