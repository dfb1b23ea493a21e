from __future__ import annotations

import select
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.store import wire
from parslflow.store.client import StoreClient
from parslflow.store.server import StoreServer
from parslflow.store.wire import Dataset
from tests.conftest import present


def tile(name: str, value: float = 1.0) -> Dataset:
    return Dataset(
        name, {"h": np.full((2, 3), float(value)), "u": np.ones(4)}, {"rank": np.int32(3)}
    )


def test_data_set_comes_back(store: StoreClient) -> None:
    metadata = {"rank": np.int32(3), "day": 1.5, "run": "high-1", "many": ["a", "b"]}
    store.put_dataset(
        Dataset("d", {"h": np.arange(6.0).reshape(2, 3), "s": np.float32(2)}, metadata)
    )
    back = store.get_dataset("d")
    assert back.name == "d"
    np.testing.assert_array_equal(back.tensors["h"], np.arange(6.0).reshape(2, 3))
    assert back.tensors["s"].shape == ()
    assert back.metadata == {
        "rank": np.array([3]),
        "day": np.array([1.5]),
        "run": ["high-1"],
        "many": ["a", "b"],
    }
    back.tensors["h"][0, 0] = 5.0  # it is the caller's own


def test_data_set_replaces_the_metadata_of_its_name(store: StoreClient) -> None:
    store.put_dataset(Dataset("d", {}, {"old": 1}))
    store.put_dataset(Dataset("d", {}, {"new": 1}))
    assert store.get_dataset("d").metadata.keys() == {"new"}


def test_data_set_and_append_are_one_step(store: StoreClient) -> None:
    """Whoever sees the name on the list finds the whole data set."""
    done = threading.Event()

    def put() -> None:
        with StoreClient(store.address) as other:
            for index in range(200):
                other.put_dataset(tile(f"d{index}", index), "tiles")
        done.set()

    thread = threading.Thread(target=put)
    thread.start()
    seen: list[str] = []
    while True:
        finished = done.is_set()
        names = store.drain_list("tiles")
        for name in names:
            assert store.get_dataset(name).tensors["h"][0, 0] == len(seen)
            seen.append(name)
        if finished:
            break
    thread.join()
    assert seen == [f"d{index}" for index in range(200)]


def test_two_who_drain_share_the_list(store: StoreClient) -> None:
    names = [f"d{index}" for index in range(500)]
    taken: list[str] = []

    def drain() -> None:
        with StoreClient(store.address) as other:
            for _ in range(100):
                taken.extend(other.drain_list("tiles"))

    threads = [threading.Thread(target=drain) for _ in range(2)]
    for thread in threads:
        thread.start()
    for name in names:
        store.connection.rpush("tiles", wire.list_entry(name))
    for thread in threads:
        thread.join()
    assert sorted([*taken, *store.drain_list("tiles")]) == sorted(names)


def test_many_data_sets_are_read_and_deleted_at_once(store: StoreClient) -> None:
    names = [f"d{index}" for index in range(20)]
    for index, name in enumerate(names):
        store.put_dataset(tile(name, index), "tiles")
    assert store.drain_list("tiles") == names
    assert store.drain_list("tiles") == []
    assert [int(metadata["rank"][0]) for metadata in store.get_metadata(names)] == [3] * 20
    raw = store.raw_tensors([wire.tensor_key(name, "h") for name in names])
    assert [tensor.array()[1, 2] for tensor in raw] == list(range(20))
    assert raw[0].dtype == np.float64
    assert raw[0].shape == (2, 3)
    store.put_tensor("other", np.ones(1))
    store.delete_datasets([*names, "never there"])
    assert present(store) == [b"other"]


def test_nothing_is_asked_of_no_names(store: StoreClient) -> None:
    assert store.get_metadata([]) == []
    assert store.raw_tensors([]) == []
    assert store.delete() == 0
    store.delete_datasets([])


def test_errors_name_the_key_and_the_store(store: StoreClient) -> None:
    store.put_dataset(tile("d"))
    with pytest.raises(ParslflowError, match="no data set 'none'"):
        store.get_metadata(["d", "none"])
    with pytest.raises(ParslflowError) as caught:
        store.raw_tensors(["{d}.h", "{d}.none"])
    assert store.address in str(caught.value)
    assert "tensor '{d}.none'" in str(caught.value)
    with pytest.raises(ParslflowError, match="tensor 'none'"):
        store.get_tensor("none")
    with pytest.raises(ParslflowError, match="model 'none'"):
        store.get_model("none")
    store.connection.set("text", "x")
    with pytest.raises(ParslflowError, match="list 'text'"):
        store.drain_list("text")


def test_damaged_data_set_is_an_error(store: StoreClient) -> None:
    store.put_dataset(tile("d"))
    store.connection.hset("{d}.meta", "rank", b"\x03\x01")
    with pytest.raises(ParslflowError, match=r"'d\.rank' has 1 bytes"):
        store.get_dataset("d")


def test_full_store_refuses_the_whole_data_set(tmp_path: Path) -> None:
    with (
        StoreServer(tmp_path, memory_mb=8) as server,
        StoreClient(server.address, time_limit_s=0.3) as store,
    ):
        big = Dataset("big", {"h": np.zeros(100_000)})

        def fill() -> None:
            for index in range(20):
                store.put_dataset(Dataset(f"big{index}", big.tensors), "tiles")

        with pytest.raises(ParslflowError, match=r"data set 'big.*is full: give it more memory"):
            fill()
        names = store.drain_list("tiles")
        memory = store.memory()
        assert memory.limit == 8 * 2**20
        assert memory.used > 0.9 * memory.limit
        assert 0 < len(names) < 20
        for name in names:
            assert store.get_dataset(name).tensors["h"].shape == (100_000,)
        store.delete_datasets(names)
        assert present(store) == []
        assert store.memory().used < 0.5 * memory.limit
        store.put_dataset(big)


def lose_the_reply_of_exec(listener: socket.socket, server_path: str) -> None:
    """Pass bytes between clients and the server; the reply to the first EXEC gets lost."""
    lost = False
    while True:
        client, _ = listener.accept()
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(server_path)
            while True:
                [source, *_] = select.select([client, server], [], [])[0]
                data = source.recv(2**20)
                if not data and lost:
                    return
                (server if source is client else client).sendall(data)
                if source is client and b"EXEC" in data and not lost:
                    server.recv(2**20)
                    lost = True
                    break


def test_append_whose_reply_is_lost_is_done_once(store: StoreClient, tmp_path: Path) -> None:
    between = tmp_path / "between.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(between))
        listener.listen()
        path = store.address.removeprefix("unix://")
        thread = threading.Thread(target=lose_the_reply_of_exec, args=(listener, path))
        thread.start()
        with StoreClient(f"unix://{between}") as unlucky:
            unlucky.ping()
            unlucky.put_dataset(tile("d"), "tiles")
        thread.join()
    assert store.drain_list("tiles") == ["d"]


def test_store_that_has_gone_is_an_error(tmp_path: Path) -> None:
    with StoreServer(tmp_path) as server:
        store = StoreClient(server.address, time_limit_s=0.5)
        store.put_tensor("x", np.ones(1))
    with store, pytest.raises(ParslflowError, match=r"tensor 'x': it cannot be reached"):
        store.put_tensor("x", np.ones(1))


@pytest.mark.parametrize("address", ["", "host", "host:port", ":7", "/tmp/x.sock"])  # noqa: S108
def test_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="neither unix://PATH nor HOST:PORT"):
        StoreClient(address)


def test_password_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none cannot be read"):
        StoreClient("127.0.0.1:1", tmp_path / "none")


def test_wrong_password_is_an_error(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("guess")
    with StoreServer(tmp_path, "loopback") as server:
        for password_file in (wrong, None):
            with (
                StoreClient(server.address, password_file) as store,
                pytest.raises(ParslflowError, match="it wants another password"),
            ):
                store.memory()


def test_import_is_light() -> None:
    """The driver and the sampler read no torch to reach a store."""
    code = (
        "import sys, parslflow.store.client, parslflow.store.server, parslflow.store.deploy\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'parsl', 'cmflib', 'matplotlib')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
