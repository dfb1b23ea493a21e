"""Our client and the drain on a cluster of three servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import smartredis
import torch
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.sampling.drain import Drain
from parslflow.store import wire
from parslflow.store.client import StoreClient
from parslflow.store.errors import MissingKey
from parslflow.store.server import StoreServer
from parslflow.store.shards import SLOTS
from parslflow.store.shards import shard_prefix
from parslflow.store.wire import Dataset
from tests.store.conftest import Scripted


@pytest.fixture
def cluster(cluster_server: StoreServer) -> Iterator[StoreClient]:
    with cluster_server.client() as client:
        for server in client.shards.all():
            server.flushdb()
        yield client


class Sum(torch.nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y


def keys(client: StoreClient) -> set[bytes]:
    found = {key for server in client.shards.all() for key in server.scan_iter()}
    return {key for key in found if b".appended." not in key}


def test_tensors_go_to_their_shards(cluster: StoreClient) -> None:
    names = [f"x{number}" for number in range(30)]
    for number, name in enumerate(names):
        cluster.put_tensor(name, np.full(1000, float(number)))
    assert all(server.dbsize() for server in cluster.shards.all())
    raw = cluster.raw_tensors(names)
    assert [tensor.array()[0] for tensor in raw] == list(range(30))
    cluster.rename_tensor("x1", "y")
    assert not cluster.key_exists("x1")
    assert cluster.get_tensor("y")[5] == 1.0
    assert cluster.delete(*names, "y") == 30
    with pytest.raises(MissingKey, match="tensor 'y'"):
        cluster.get_tensor("y")


def test_data_sets_are_put_read_and_deleted(cluster: StoreClient) -> None:
    names = [f"d{number}" for number in range(20)]
    for name in names:
        cluster.put_dataset(Dataset(name, {"h": np.ones((2, 3))}, {"name": name}), "tiles")
    assert cluster.list_length("tiles") == 20
    assert cluster.drain_list("tiles") == names
    assert [metadata["name"] for metadata in cluster.get_metadata(names)] == [[n] for n in names]
    cluster.delete_datasets([*names, "none"])
    assert keys(cluster) == set()


def test_models_and_scripts_run_wherever_their_inputs_are(
    cluster: StoreClient, scripted: Scripted
) -> None:
    cluster.set_model("sum", scripted(Sum()))
    cluster.set_script("s", "def twice(x):\n    return 2 * x\n")
    for number in range(10):
        cluster.put_tensor(f"a{number}", np.arange(3.0))
        cluster.put_tensor(f"b{number}", np.full(3, float(number)))
        cluster.run_model("sum", [f"a{number}", f"b{number}"], [f"c{number}"])
        cluster.run_script("s", "twice", [f"c{number}"], [f"d{number}"])
        np.testing.assert_array_equal(
            cluster.get_tensor(f"d{number}"), 2 * np.arange(3.0) + 2 * number
        )
    assert not any(key.endswith(b".TMP") for key in keys(cluster))
    assert cluster.get_model("sum")
    with pytest.raises(MissingKey, match="none"):
        cluster.run_model("none", ["a1", "b1"], ["c1"])
    cluster.delete_model("sum")
    cluster.delete_script("s")
    assert not cluster.model_exists("sum")
    assert not cluster.script_exists("s")


def test_the_stock_client_finds_our_models_and_we_its(
    cluster: StoreClient, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cluster.published.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SR_LOG_LEVEL", "QUIET")
    monkeypatch.setenv("SR_SOCKET_TIMEOUT", "10000")
    stock = smartredis.Client(address=cluster.address.split(",")[0], cluster=True)
    stock.set_model("stock", scripted(Sum()), "TORCH", "CPU")
    cluster.set_model("ours", scripted(Sum()))
    cluster.put_tensor("x", np.arange(3.0))
    cluster.run_model("stock", ["x", "x"], ["y"])
    stock.run_model("ours", inputs=["x", "y"], outputs=["z"])
    np.testing.assert_array_equal(cluster.get_tensor("z"), 3 * np.arange(3.0))
    dataset = smartredis.Dataset("theirs")
    dataset.add_tensor("h", np.arange(3.0))
    stock.put_dataset(dataset)
    stock.append_to_list("list", dataset)
    assert cluster.drain_list("list") == ["theirs"]


@given(st.integers(0, SLOTS - 1))
def test_a_shards_prefix_lies_in_it(first: int) -> None:
    assert 0 <= key_slot(b"{%b}.name" % shard_prefix(first)) - first < 8


def test_the_drain_takes_whole_times_from_all_shards(cluster: StoreClient) -> None:
    ranks, days = 5, 4
    for day in range(days):
        for rank in range(ranks):
            metadata = {"rank": np.int32(rank), "ranks": np.int32(ranks), "day": float(day)}
            field = np.full((2, 3), 100.0 * day + rank)
            name = f"high_{day:07d}.00000_{rank:06d}"
            cluster.put_dataset(Dataset(name, {"h": field, "u": field}, metadata), "tiles")
    marker = {"times": np.int32(days), "status": np.int32(0)}
    cluster.put_dataset(Dataset("high_end", {}, marker), "tiles")
    seen = 0
    with Drain(cluster, "tiles", "high", ["h"], 5.0) as drain:
        for day, time in enumerate(drain):
            text = time.replies.data[time.replies.start : time.replies.end].tobytes()
            places = []
            for name in time.names:
                value = np.full((2, 3), 100.0 * day + int(name[-6:])).tobytes()
                places.append(text.index(value))
                seen += 1
            assert places == sorted(places)
            drain.release(time.stamp, time.names, [wire.encode_field("", ["h", "u"])] * ranks)
    assert seen == ranks * days
    assert keys(cluster) == set()


def test_a_cluster_with_a_password_that_keeps_its_data(tmp_path: Path) -> None:
    with StoreServer(tmp_path, shards=3, persist=True) as server:
        address = server.address
        with server.client() as store:
            for number in range(10):
                store.put_dataset(Dataset(f"d{number}", {}, {"number": number}), "list")
            assert store.memory().limit <= 1024 * 2**20
        with (
            StoreClient(server.address, clustered=True) as stranger,
            pytest.raises(ParslflowError, match="wants another password"),
        ):
            stranger.ping()
    with StoreServer(tmp_path, shards=3, persist=True, address=address) as server:
        assert server.address == address
        with server.client() as store:
            found = store.get_metadata(store.drain_list("list"))
            assert [metadata["number"] for metadata in found] == list(range(10))


@pytest.mark.parametrize(
    ("listen", "shards", "password", "words"),
    [
        ("unix", 2, True, "neither 1 nor 3 or more"),
        ("network", 3, True, "loopback only"),
        ("network", 1, False, "must have a password"),
    ],
)
def test_settings_that_exclude_each_other(
    tmp_path: Path, listen: str, shards: int, password: bool, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        StoreServer(tmp_path, listen, shards=shards, password=password)  # type: ignore[arg-type]


def test_several_addresses_are_a_clusters() -> None:
    with pytest.raises(UsageError, match="only a cluster"):
        StoreClient("a:1,b:2")
    with pytest.raises(UsageError, match="not HOST:PORT"):
        StoreClient("unix:///x", clustered=True)
