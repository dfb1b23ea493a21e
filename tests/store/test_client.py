from __future__ import annotations

import pickle
import select
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.store.client import StoreClient
from parslflow.store.errors import MissingKey
from parslflow.store.errors import StoreError
from parslflow.store.errors import StoreFull
from parslflow.store.errors import StoreTimeout
from parslflow.store.errors import WrongType
from parslflow.store.server import StoreServer
from parslflow.store.wire import Dataset
from parslflow.store.wire import Keyspace
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
        store.connection.rpush("tiles", Keyspace().list_entry(name))
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
    raw = store.raw_tensors([Keyspace().tensor_key(name, "h") for name in names])
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


def test_a_full_store_is_waited_for_and_the_log_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with StoreServer(tmp_path, memory_mb=64) as server, server.client() as store:
        store.connection.config_set("maxmemory", 1)
        room = threading.Timer(0.5, store.connection.config_set, ("maxmemory", "64mb"))
        room.start()
        started = time.monotonic()
        with server.client() as writer:
            writer.put_dataset(tile("d"), "tiles")
        assert 0.4 < time.monotonic() - started < 5
        room.join()
        assert store.drain_list("tiles") == ["d"]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "is full: data set 'd' waits for room" in messages[0]
    assert "has room: data set 'd' went on after" in messages[1]


def test_a_full_store_is_an_error_after_the_time_limit(tmp_path: Path) -> None:
    with StoreServer(tmp_path) as server, server.client() as store:
        store.connection.config_set("maxmemory", 1)
        with (
            StoreClient(server.address, time_limit_s=0.3) as writer,
            pytest.raises(StoreFull) as caught,
        ):
            writer.put_tensor("x", np.ones(3))
    assert caught.value.code == 4


def test_a_stuck_store_is_an_error_after_the_time_limit(store: StoreClient) -> None:
    started = time.monotonic()
    with StoreClient(store.address, time_limit_s=0.4) as other:
        other.ping()
        store.connection.client_pause(1500, all=True)
        with pytest.raises(StoreTimeout, match=r"no answer in 0\.4 s"):
            other.get_tensor("x")
        assert time.monotonic() - started < 1.2
    store.ping()


def test_a_lost_connection_is_made_again(store: StoreClient) -> None:
    store.put_tensor("x", np.ones(3))
    store.connection.client_kill_filter(_type="normal", skipme=False)
    assert store.get_tensor("x").tolist() == [1, 1, 1]
    store.connection.client_kill_filter(_type="normal", skipme=False)
    store.put_dataset(tile("d"), "tiles")
    assert store.drain_list("tiles") == ["d"]


def test_an_array_belongs_to_the_caller(store: StoreClient) -> None:
    for size in (3, 1000, 100_000):
        store.put_tensor("x", np.arange(float(size)))
        back = store.get_tensor("x")
        np.testing.assert_array_equal(back, np.arange(float(size)))
        assert back.flags.writeable
        assert back.flags.aligned


def test_keys_can_be_asked_for_renamed_and_copied(store: StoreClient) -> None:
    store.put_tensor("x", np.arange(3.0))
    assert store.tensor_exists("x")
    assert not store.key_exists("y")
    store.copy_tensor("x", "y")
    store.rename_tensor("x", "z")
    assert not store.key_exists("x")
    assert store.get_tensor("y").tolist() == store.get_tensor("z").tolist() == [0, 1, 2]
    with pytest.raises(StoreError):
        store.rename_tensor("x", "z")


def test_what_is_polled_for_comes_or_not(store: StoreClient) -> None:
    later = threading.Timer(0.2, store.put_dataset, (tile("d"), "tiles"))
    later.start()
    assert store.poll_dataset("d", 5.0)
    assert store.poll_list_length("tiles", 1, 5.0)
    assert store.poll_key("{d}.h", 5.0)
    later.join()
    assert not store.poll_list_length("tiles", 2, 0.05)
    assert not store.poll_key("none", 0.05)
    assert not store.dataset_exists("none")
    store.append_to_list("tiles", "d")
    assert store.get_list("tiles") == ["d", "d"]


def test_scripts_are_kept_run_and_deleted(store: StoreClient) -> None:
    source = "def twice(x):\n    return 2 * x\n"
    store.set_script("s", source)
    assert store.script_exists("s")
    assert store.get_script("s") == source
    store.put_tensor("x", np.ones(2))
    store.run_script("s", "twice", ["x"], ["y"])
    assert store.get_tensor("y").tolist() == [2, 2]
    store.delete_script("s")
    with pytest.raises(MissingKey, match="script 's'"):
        store.get_script("s")


def test_errors_have_a_class_and_a_code_that_survive_a_pickle(store: StoreClient) -> None:
    store.connection.set("text", "x")
    for call, kind, code in (
        (lambda: store.get_tensor("none"), MissingKey, 5),
        (lambda: store.get_dataset("none"), MissingKey, 5),
        (lambda: store.get_model("none"), MissingKey, 5),
        (lambda: store.get_tensor("text"), WrongType, 6),
        (lambda: store.put_tensor("x", np.ones(2, complex)), WrongType, 6),
    ):
        with pytest.raises(kind) as caught:
            call()
        copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
        assert type(copy) is kind
        assert copy.code == code
        assert str(copy) == str(caught.value)


def test_data_sets_are_found_by_how_they_begin(store: StoreClient) -> None:
    for name in ("a[1]*_1", "a[1]*_2", "a1_1", "b"):
        store.put_dataset(Dataset(name, {"x": np.zeros(2)} if name.endswith("1") else {}))
    store.connection.hset("{a[1]*_3}.meta", "rank", b"not whole")
    assert store.find_datasets("a[1]*_") == ["a[1]*_1", "a[1]*_2"]
    store.delete_datasets(["a[1]*_1", "a[1]*_2"])
    assert store.find_datasets("a") == ["a1_1"]
    assert store.find_datasets("c") == []
