"""Many requests at once over one connection, with and without a password."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from parslflow.errors import ParslflowError
from parslflow.store import pipeline
from parslflow.store.address import Address
from parslflow.store.client import StoreClient
from parslflow.store.packing import dataset_request
from parslflow.store.packing import delete_request
from parslflow.store.packing import packed
from parslflow.store.pipeline import Pipeline
from parslflow.store.pipeline import Replies
from parslflow.store.server import StoreServer
from parslflow.store.wire import Dataset
from parslflow.store.wire import Keyspace


def get(key: str) -> bytes:
    return packed(["GET", key])


@pytest.mark.parametrize("in_flight", [1, 300, 1 << 20])
@pytest.mark.parametrize("capacity", [1, 100, 1 << 20])
def test_replies_come_in_order_whatever_fits(
    store: StoreClient, monkeypatch: pytest.MonkeyPatch, in_flight: int, capacity: int
) -> None:
    monkeypatch.setattr(pipeline, "IN_FLIGHT_BYTES", in_flight)
    values = [bytes([65 + n % 26]) * (7 * n) for n in range(100)]
    connection = Pipeline(store.published)
    replies = Replies(capacity)
    for _ in range(2):
        commands = [packed(["SET", f"k{n}", value]) for n, value in enumerate(values)]
        connection.request([get(f"k{n}") + get("none") for n in range(100)], 2, commands)
        connection.receive(replies)
        expected = b"".join(b"$%d\r\n%b\r\n$-1\r\n" % (len(value), value) for value in values)
        assert replies.data[replies.start : replies.end].tobytes() == expected
    connection.close()


def test_a_command_that_is_refused_is_told(store: StoreClient) -> None:
    connection = Pipeline(store.published)
    with pytest.raises(ParslflowError, match="unknown command"):
        connection.execute([packed(["PING"]), packed(["NONSENSE"])])
    connection.execute([])
    connection.execute([packed(["PING"])])
    connection.close()


def test_the_password_is_given(tmp_path: Path) -> None:
    with StoreServer(tmp_path, "loopback") as server:
        published = Address.load(server.address_file)
        connection = Pipeline(published)
        connection.execute([packed(["PING"])])
        connection.close()
        (tmp_path / "wrong").write_text("wrong")
        with pytest.raises(ParslflowError, match="it wants another password: give the file named"):
            Pipeline(Address(published.address, str(tmp_path / "wrong")))


def test_a_store_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ParslflowError, match=r"it cannot be reached .*: it has stopped or has not"):
        Pipeline(Address(f"unix://{tmp_path}/none"))


def test_a_connection_that_was_closed_is_told(store: StoreClient) -> None:
    connection = Pipeline(store.published)
    connection.close()
    with pytest.raises(ParslflowError, match="it cannot be reached"):
        connection.request([get("a")], 1)


def test_requests_are_those_of_the_stock_commands(store: StoreClient) -> None:
    array = np.arange(6.0).reshape(2, 3)
    for name in ("run_%_1", "run_%_2"):
        store.put_dataset(Dataset(name, {"h%": array, "u": array}, {"rank": 1}))
    connection = Pipeline(store.published)
    replies = Replies()
    connection.request([dataset_request(Keyspace(), "run_%_1", ("h%", "u"))], 3)
    connection.receive(replies)
    text = replies.data[replies.start : replies.end].tobytes()
    assert text.count(array.tobytes()) == 2
    assert b".tensor_names" in text
    connection.execute(
        [delete_request(Keyspace(), [("run_%_1", ("h%", "u")), ("run_%_2", ("u",))])]
    )
    assert store.connection.keys() == [b"{run_%_2}.h%"]
    connection.close()
