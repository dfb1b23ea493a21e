"""The client on a Redis Cluster of three servers, beside the stock client."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import redis

from parslflow.store.shards import SLOTS
from parslflow.store.shards import shard_prefix

from .conftest import random_features
from .running import LIMIT_S
from .running import OK
from .running import Server
from .running import compiled
from .running import environment
from .running import free_port
from .running import run

Program = Callable[..., Path]

# The names of models begin with zeros on the first server, and on the others with the longer
# prefixes of slots whose shortest has a brace in it.
RANGES = ((0, 5421), (5422, 10879), (10880, 16383))

STOCK = """
import io, sys
import numpy as np
import torch
from smartredis import Client
from smartredis import Dataset
client = Client(cluster=True)
first = client.get_dataset("first")
assert first.get_tensor("field").tolist() == [[1, 4, 7, 10], [2, 5, 8, 11], [3, 6, 9, 12]]
assert first.get_meta_strings("run") == ["high-1"]
found = client.get_datasets_from_list("tiles")
assert [Dataset.from_pybind(entry).get_name() for entry in found] == ["first", "second"]
assert client.model_exists("network")
client.put_tensor("x", np.arange(20.0).reshape(5, 4))
client.run_model("network", ["x"], ["y"])
assert client.get_tensor("y").shape == (5,)
client.set_model("stock", client.get_model("network"), "TORCH")
"""

MODEL = """
import sys, torch
class Rows(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x[:, 0] + 0.25 * x[:, 3]).to(torch.float32)
torch.jit.trace(Rows(), torch.ones(5, 4, dtype=torch.float64)).save(sys.argv[1])
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Three servers that form a cluster."""
    folder = tmp_path_factory.mktemp("cluster")
    made = [
        Server(folder / str(i), "--cluster-enabled", "yes", port=free_port())
        for i in range(len(RANGES))
    ]
    with ExitStack() as stack:
        for server in made:
            stack.enter_context(server)
        for server, slots in zip(made, RANGES, strict=True):
            server.connection.execute_command("CLUSTER ADDSLOTSRANGE", *slots)
            made[0].connection.execute_command("CLUSTER MEET", "127.0.0.1", server.port)
        deadline = time.monotonic() + LIMIT_S
        while not all(
            server.connection.execute_command("CLUSTER INFO")["cluster_state"] == "ok"
            and len(server.connection.execute_command("CLUSTER SLOTS")) == len(RANGES)
            for server in made
        ):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield made


@pytest.fixture
def address(servers: list[Server]) -> str:
    """The addresses of the empty cluster, the first of which nobody listens on."""
    for server in servers:
        server.connection.flushdb()
    return ",".join([f"127.0.0.1:{free_port()}", *(server.address for server in servers)])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pt"
    run("", sys.executable, "-W", "ignore", "-c", MODEL, path)
    return path


def test_data_sets_and_models_are_shared_with_the_stock_client(
    address: str, servers: list[Server], program: Program, model: Path, tmp_path: Path
) -> None:
    run(address, program("datasets"), SR_DB_TYPE="Clustered")
    answer = run(address, program("model"), model, SR_DB_TYPE="Clustered")
    features = np.arange(1.0, 21.0).reshape((5, 4), order="F")
    expected = features[:, 0] + 0.25 * features[:, 3]
    np.testing.assert_allclose(np.array(answer.split(), dtype=float), expected)
    alive = address.partition(",")[2]  # the stock client takes the one that nobody listens on
    run(alive, sys.executable, "-W", "ignore", "-c", STOCK, SR_DB_TYPE="Clustered")

    given, got = tmp_path / "features", tmp_path / "answer"
    features = random_features(7)
    features.T.tofile(given)
    for name in ("stock", "network"):
        said = run(
            address, program("infer"), name, "7", given, got, SR_DB_TYPE="Clustered"
        ).splitlines()
        assert said == [f"{OK} "] * 3
        expected = (features[:, 0] + 0.25 * features[:, 3]).astype(np.float32)
        np.testing.assert_array_equal(np.fromfile(got, np.float32), expected)
    kept = [key for server in servers for key in server.connection.scan_iter()]
    assert not [key for key in kept if b"parslflow." in key and not key.endswith(b".appends")]
    assert sum(key.endswith(b".network") for key in kept) == len(servers)


def test_models_have_the_same_prefixes_in_c_and_python(library: Path) -> None:
    expected = [(b"{" + shard_prefix(slot) + b"}.").hex() for slot in range(SLOTS)]
    assert run("", compiled("prefixes", library)).splitlines() == expected


def test_tensors_of_each_type_and_rank(address: str, program: Program) -> None:
    run(address, program("tensors"), SR_DB_TYPE="Clustered")


def test_all_of_a_data_set_is_read(address: str, program: Program) -> None:
    run(address, program("reading"), SR_DB_TYPE="Clustered")


def test_a_key_that_moved_to_another_server_is_found(
    address: str, servers: list[Server], program: Program
) -> None:
    """The program learns the slots when it connects; two change hands while it sends."""
    slot = servers[0].connection.execute_command("CLUSTER KEYSLOT", "tiles")
    owner = next(i for i, (first, last) in enumerate(RANGES) if first <= slot <= last)
    other = servers[(owner + 1) % 3]
    other_id = other.connection.execute_command("CLUSTER MYID").decode()
    with subprocess.Popen(
        [program("steady"), "300"],
        env=environment(address, SR_DB_TYPE="Clustered"),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for _ in range(20):
            assert process.stdout.readline()
        old = servers[owner].connection
        old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", other_id)
        other.connection.execute_command(
            "CLUSTER SETSLOT", slot, "IMPORTING", old.execute_command("CLUSTER MYID").decode()
        )
        while keys := old.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
            old.execute_command("MIGRATE", "127.0.0.1", other.port, "", 0, 5000, "KEYS", *keys)
        for server in (other, servers[owner], servers[(owner + 2) % 3]):
            server.connection.execute_command("CLUSTER SETSLOT", slot, "NODE", other_id)
        assert len(process.stdout.read().splitlines()) == 280
    assert process.returncode == 0
    with pytest.raises(redis.exceptions.MovedError):
        servers[owner].connection.llen("tiles")
    names = [name.decode() for name in other.connection.lrange("tiles", 0, -1)]
    assert names == [f"{{tile_{i:06d}}}" for i in range(1, 301)]


def test_a_single_server_is_not_taken_for_a_cluster(program: Program, tmp_path: Path) -> None:
    with Server(tmp_path / "one") as server:
        said = run(server.address, program("patience"), "2", SR_DB_TYPE="Clustered")
        assert "set SR_DB_TYPE to Standalone" in said.splitlines()[0]
        said = run(server.address, program("patience"), "2", SR_DB_TYPE="clustered")
        assert "not 'clustered'" in said.splitlines()[0]
