"""The Fortran store client and the real store, read by the stock SmartRedis client and by ours."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from parslflow import sites
from parslflow.store.client import StoreClient
from parslflow.store.server import StoreServer

from .running import BAD_ARGUMENT
from .running import CONNECTION
from .running import LIMIT_S
from .running import OK
from .running import PROGRAMS
from .running import STORE_FULL
from .running import TIMEOUT
from .running import Server
from .running import environment
from .running import make
from .running import mistakes
from .running import run

STOCK_READER = """
import json, sys
from smartredis import Client
from smartredis import Dataset
client = Client(cluster=False)
answer = {}
for name in sys.argv[1:]:
    data = client.get_dataset(name)
    answer[name] = {
        "tensors": {
            tensor: [str(data.get_tensor(tensor).dtype), data.get_tensor(tensor).tolist()]
            for tensor in data.get_tensor_names()
        },
        "metadata": {
            field: data.get_meta_strings(field) if field == "run"
            else data.get_meta_scalars(field).tolist()
            for field in data.get_metadata_field_names()
        },
    }
answer["list"] = [Dataset.from_pybind(entry).get_name()
                  for entry in client.get_datasets_from_list("tiles")]
print(json.dumps(answer))
"""

STOCK_TENSORS = """
import json, sys
from smartredis import Client
client = Client(cluster=False)
print(json.dumps({name: client.get_tensor(name).tolist() for name in sys.argv[1:]}))
"""

MODEL = """
import sys, torch
class Rows(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x[:, 0] + 0.25 * x[:, 3]).to(torch.float32)
torch.jit.trace(Rows(), torch.ones(5, 4, dtype=torch.float64)).save(sys.argv[1])
"""


# The letters of the program `tensors`, what it divides 1, 2, ... by, and the types.
KINDS = (
    ("b", 1, np.int8), ("s", 1, np.int16), ("i", 1, np.int32), ("l", 1, np.int64),
    ("r", 2, np.float32), ("d", 3, np.float64),
)  # fmt: skip


def stock(address: str, script: str, *names: str) -> dict[str, Any]:
    """What the stock client reads."""
    return json.loads(run(address, sys.executable, "-c", script, *names))


class Patience:
    """The program `patience`, which waits for us between connecting and putting."""

    def __init__(self, path: Path, address: str, time_limit: float) -> None:
        self.process = subprocess.Popen(
            [str(path), str(time_limit)],
            env=environment(address),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.answer() == (OK, "")

    def answer(self) -> tuple[int, str]:
        assert self.process.stdout is not None
        code, _, message = self.process.stdout.readline().rstrip("\n").partition(" ")
        return int(code), message

    def put(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def __enter__(self) -> Patience:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def log(self) -> list[str]:
        """What it wrote on stderr, once it has ended."""
        assert self.process.stderr is not None
        assert self.process.wait(LIMIT_S) == 0
        return self.process.stderr.read().splitlines()


def test_nothing_is_built_twice(library: Path) -> None:
    assert make(library, "--question") == 0


def test_tensors_of_each_type_and_rank(store: StoreClient, program: Callable[..., Path]) -> None:
    run(store.address, program("tensors"))
    whole = np.arange(1, 25)
    for letter, divisor, dtype in KINDS:
        for name, shape in (("1", (24,)), ("2", (4, 6)), ("3", (2, 3, 4))):
            found = store.get_tensor(letter + name)
            assert found.dtype == dtype
            expected = (whole / divisor).astype(dtype).reshape(shape, order="F")
            np.testing.assert_array_equal(found, expected)
    d1 = whole / 3.0
    d2 = d1.reshape((4, 6), order="F")
    expected_tensors = {
        "d2": d2,
        "four": d1.reshape((2, 3, 2, 2), order="F"),
        "corner": d2,
        "expression": 2 * d2,
        "backwards": d1[::-3],
    }
    by_stock = stock(store.address, STOCK_TENSORS, *expected_tensors)
    for name, expected in expected_tensors.items():
        np.testing.assert_array_equal(store.get_tensor(name), expected)
        np.testing.assert_array_equal(by_stock[name], expected)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(shape=st.tuples(*[st.integers(1, 70), st.integers(1, 70), st.integers(1, 5)]))
def test_indices_are_the_same_in_fortran_and_python(
    store: StoreClient, program: Callable[..., Path], shape: tuple[int, int, int]
) -> None:
    i, j, k = np.indices(shape)
    cube = 10000.0 * (i + 1) + 100.0 * (j + 1) + (k + 1)
    store.put_tensor("from_python", cube)
    run(store.address, program("index_order"), *map(str, shape))
    np.testing.assert_array_equal(store.get_tensor("cube"), cube)
    np.testing.assert_array_equal(store.get_tensor("plane"), cube[:, :, 0])
    np.testing.assert_array_equal(store.get_tensor("strided"), cube[::-1, ::2, :])


def test_data_sets_and_lists(store: StoreClient, program: Callable[..., Path]) -> None:
    run(store.address, program("datasets"))
    field = np.arange(1.0, 13.0).reshape((3, 4), order="F")
    layers = field.ravel(order="F").reshape((3, 2, 2), order="F")
    tensors = {
        "field": ("float64", field),
        "inner": ("float64", field[1:2, 1:3]),
        "layers": ("float32", layers),
        "marks": ("int32", np.array([7, 8])),
        "i8": ("int8", np.array([-8])),
        "i16": ("int16", np.array([-16])),
        "i64": ("int64", np.array([-(2**40)])),
    }
    metadata = {
        "isc": [3], "day": [0.1], "run": ["high-1"], "levels": [1, 2], "single": [0.5],
        "large": [2**40],
    }  # fmt: skip

    by_stock = stock(store.address, STOCK_READER, "first", "second")
    assert by_stock["list"] == ["first", "second"]
    assert by_stock["first"] == {
        "tensors": {name: [dtype, array.tolist()] for name, (dtype, array) in tensors.items()},
        "metadata": metadata,
    }
    assert by_stock["second"] == {"tensors": {}, "metadata": {"status": [0]}}

    assert store.drain_list("tiles") == ["first", "second"]
    ours = store.get_dataset("first")
    assert list(ours.tensors) == list(tensors)
    for name, (dtype, array) in tensors.items():
        assert ours.tensors[name].dtype == dtype
        np.testing.assert_array_equal(ours.tensors[name], array)
    assert {name: list(values) for name, values in ours.metadata.items()} == metadata
    for name, dtype in (("isc", "int32"), ("large", "int64"), ("single", "float32")):
        assert np.asarray(ours.metadata[name]).dtype == dtype
    assert store.connection.hget("{first}.meta", ".COMPLETE") == b"1"


def test_a_model_runs_in_the_store(
    store: StoreClient, program: Callable[..., Path], tmp_path: Path
) -> None:
    path = tmp_path / "model.pt"
    subprocess.run([sys.executable, "-W", "ignore", "-c", MODEL, path], check=True, timeout=60)
    answer = run(store.address, program("model"), path)
    features = np.arange(1.0, 21.0).reshape((5, 4), order="F")
    expected = features[:, 0] + 0.25 * features[:, 3]
    np.testing.assert_allclose(np.array(answer.split(), dtype=float), expected)


def test_mistakes_end_in_a_code_and_one_sentence(
    store: StoreClient, program: Callable[..., Path]
) -> None:
    messages = mistakes(store.address, program("errors"), PROGRAMS / "errors.f90")
    place = f"(store {store.address})"
    assert f"Cannot get tensor 'nothing' {place}: there is no key 'nothing'." in messages
    assert (
        f"Cannot get tensor 'field' {place}: it has the shape (3 x 4), but the array has (4 x 3)."
        in messages
    )
    assert f"Cannot run model 'no_model' {place}: there is no key 'no_model'." in messages


@pytest.mark.parametrize(
    ("address", "code", "cause"),
    [
        ("unix:///nowhere/store.sock", CONNECTION, "the server may not be running"),
        ("127.0.0.1:9", CONNECTION, "the server may not be running"),
        ("unix:///" + 110 * "x", BAD_ARGUMENT, "longer than 107"),
        ("store", BAD_ARGUMENT, "host:port"),
        ("127.0.0.1:66000", BAD_ARGUMENT, "host:port"),
        ("", BAD_ARGUMENT, "SSDB is not set"),
    ],
)
def test_an_address_that_is_no_store(
    program: Callable[..., Path], address: str, code: int, cause: str
) -> None:
    connected, put = run(address, program("patience"), "2").splitlines()
    assert connected.startswith(f"{code} ")
    assert address in connected
    assert cause in connected
    assert put.startswith(f"{CONNECTION} ")


def test_passwords(program: Callable[..., Path], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("guess\n")
    with StoreServer(tmp_path / "store", "loopback") as server:
        patience = program("patience")
        right = run(server.address, patience, "5", password_file=server.password_file)
        assert right.splitlines() == ["0 ", "0 "]
        for password_file, cause in (
            (wrong, f"refused the password in {wrong}"),
            (None, "set PARSLFLOW_STORE_PASSWORD_FILE"),
            (tmp_path / "none", "no password could be read from"),
        ):
            answer = run(server.address, patience, "5", password_file=password_file)
            assert cause in answer.splitlines()[0]
            assert "guess" not in answer


def test_the_first_of_several_addresses(store: StoreClient, program: Callable[..., Path]) -> None:
    answer = run(f"{store.address},127.0.0.1:9", program("patience"), "5")
    assert answer.splitlines() == ["0 ", "0 "]


def test_an_append_whose_answer_is_late_is_not_sent_again(
    store: StoreClient, program: Callable[..., Path]
) -> None:
    with Patience(program("patience"), store.address, 0.4) as patience:
        store.connection.client_pause(1500, all=True)
        started = time.monotonic()
        patience.put()
        code, message = patience.answer()
        assert time.monotonic() - started < 1.2
        assert code == TIMEOUT
        assert "list 'tiles'" in message
        assert "unknown" in message
    assert store.connection.llen("tiles") <= 1  # waits for the end of the pause


def test_a_server_that_dies_ends_nothing_else(program: Callable[..., Path], tmp_path: Path) -> None:
    with (
        StoreServer(tmp_path / "store") as server,
        Patience(program("patience"), server.address, 5) as patience,
    ):
        os.kill(server.pid, signal.SIGKILL)
        patience.put()
        code, message = patience.answer()
        assert code == CONNECTION
        assert "the server may have stopped" in message
        assert patience.process.wait(LIMIT_S) == 0


def send_steadily(program: Path, address: str, count: int) -> subprocess.Popen[str]:
    """The program `steady`, when it has sent a few."""
    process = subprocess.Popen(
        [program, str(count)], env=environment(address), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(5):
        assert process.stdout.readline()
    return process


def assert_sent_once(connection: redis.Redis, count: int) -> None:
    """Every data set is on the list once, in order, and whole."""
    names = [f"{{tile_{i:06d}}}".encode() for i in range(1, count + 1)]
    assert connection.lrange("tiles", 0, -1) == names
    for i, name in enumerate(names, start=1):
        assert connection.hget(name + b".meta", ".COMPLETE") == b"1"
        blob = connection.execute_command("AI.TENSORGET", name + b".field", "BLOB")
        np.testing.assert_array_equal(np.frombuffer(blob), np.full(10000, float(i)))


def test_lost_connections_lose_and_double_nothing(
    program: Callable[..., Path], tmp_path: Path
) -> None:
    count = 1500
    with (
        Server(tmp_path / "server") as server,
        send_steadily(program("steady"), server.address, count) as process,
    ):
        killed = 0
        while process.poll() is None:
            killed += server.connection.execute_command("CLIENT KILL TYPE normal SKIPME yes")
            time.sleep(0.003)
        assert process.returncode == 0
        assert killed > 10
        assert_sent_once(server.connection, count)


def test_a_server_that_is_killed_and_started_again_has_everything_once(
    program: Callable[..., Path], tmp_path: Path
) -> None:
    count = 300
    with (
        Server(tmp_path / "s", "--appendonly", "yes", "--appendfsync", "always") as server,
        send_steadily(program("steady"), server.address, count) as process,
    ):
        for _ in range(2):
            server.kill()
            time.sleep(0.1)
            server.start()
            time.sleep(0.1)
        assert process.wait(LIMIT_S) == 0
        assert_sent_once(server.connection, count)


def test_an_append_that_arrives_late_is_not_done_after_a_later_one(
    program: Callable[..., Path], tmp_path: Path
) -> None:
    """What a client sent is sent again by another connection, as a stalled network would do."""
    with Server(tmp_path / "server") as server:
        with socket.socket(socket.AF_UNIX) as watcher:
            watcher.connect(server.address.removeprefix("unix://"))
            watcher.sendall(b"MONITOR\r\n")
            run(server.address, program("steady"), "2")
            server.connection.echo("that is all")
            seen = ""
            while "that is all" not in seen:
                seen += watcher.recv(65536).decode()
        commands = [shlex.split(line.partition("] ")[2]) for line in seen.splitlines()]
        scripts = [words[1:] for words in commands if words[:1] == ["EVAL"]]
        assert len(scripts) == 2
        for script in scripts:
            server.connection.eval(*script)
        assert_sent_once(server.connection, 2)
        [key] = server.connection.keys("parslflow.*")
        assert 60_000 < server.connection.pttl(key) <= 80_000


def test_a_user_of_the_access_list(program: Callable[..., Path], tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n")
    with Server(tmp_path / "server") as server:
        server.connection.execute_command(
            *("ACL SETUSER", "rank", "on", ">secret", "allkeys", "allcommands"), "-flushall"
        )
        server.connection.execute_command("ACL SETUSER", "default", "-@write")
        patience = program("patience")

        def said(**more: str) -> list[str]:
            file = password if "no_file" not in more else None
            more.pop("no_file", "")
            return run(server.address, patience, "5", password_file=file, **more).splitlines()

        assert said(PARSLFLOW_STORE_USER="rank") == ["0 ", "0 "]
        assert "for user nobody" in said(PARSLFLOW_STORE_USER="nobody")[0]
        assert "PASSWORD_FILE" in said(PARSLFLOW_STORE_USER="rank", no_file="")[0]
        assert "NOPERM" in said(no_file="")[1]


def test_a_full_store_holds_the_simulation_back(
    program: Callable[..., Path], tmp_path: Path
) -> None:
    with StoreServer(tmp_path / "store") as server, server.client() as store:
        store.connection.config_set("maxmemory", 1)
        with Patience(program("patience"), server.address, 0.3) as patience:
            patience.put()
            code, message = patience.answer()
            assert code == STORE_FULL
            assert "data set 'late' on list 'tiles'" in message
        assert not store.connection.exists("tiles", "{late}.meta", "{late}.field")

        with Patience(program("patience"), server.address, 10) as patience:
            patience.put()
            time.sleep(0.3)
            assert store.connection.llen("tiles") == 0
            store.connection.config_set("maxmemory", "100mb")
            assert patience.answer() == (OK, "")
            begins, goes_on = patience.log()
            assert "out of memory" in begins
            assert "data set 'late' on list 'tiles'" in begins
            assert "goes on" in goes_on
        assert store.drain_list("tiles") == ["late"]
        np.testing.assert_array_equal(store.get_tensor("{late}.field"), np.ones((500, 500)))


def test_all_ranks_of_a_simulation_at_once(
    store: StoreClient, program: Callable[..., Path], tmp_path: Path
) -> None:
    ranks, days = 3, 5
    mpi = sites.load(sites.Choice("local"), tmp_path).environment
    assignments = [f"{name}={value}" for name, value in mpi.items()]
    run(
        store.address,
        *("env", *assignments, "mpiexec", "-n", str(ranks), program("ranks", "mpifort")),
    )
    names = store.drain_list("tiles")
    assert sorted(names) == [
        f"run_{day:07d}.00000_{rank:06d}" for day in range(1, days + 1) for rank in range(ranks)
    ]
    for rank in range(ranks):
        own = [name for name in names if name.endswith(f"_{rank:06d}")]
        assert own == sorted(own)  # a rank's days are on the list in their order
        for day, name in enumerate(own, start=1):
            tile = store.get_dataset(name)
            assert tile.metadata["rank"] == [rank]
            np.testing.assert_array_equal(
                tile.tensors["field"], np.full((20, 30), 100.0 * rank + day)
            )
