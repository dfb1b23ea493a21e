"""The load generator's ranks send what a client sends, and wait while the store is full."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from benchmarks.flow import LIST
from benchmarks.flow import Flow
from benchmarks.load import Rank
from benchmarks.load import send
from parslflow.store import wire
from parslflow.store.address import Address
from parslflow.store.client import StoreClient
from parslflow.store.packing import packed
from parslflow.store.pipeline import Pipeline
from parslflow.store.wire import Dataset

FLOW = Flow(2, 2, times=3, ny=60, nx=40)


def test_a_rank_sends_what_a_client_sends(store: StoreClient) -> None:
    ranks = [Rank(FLOW, rank) for rank in range(FLOW.ranks)]
    pipeline = Pipeline(Address(store.address))
    for day in range(FLOW.times):
        requests = [rank.request(day) for rank in ranks]
        assert send(pipeline, requests, ranks[0].replies) == 0
    pipeline.close()
    names = [name for day in range(FLOW.times) for name in FLOW.names(day)]
    assert store.drain_list(LIST) == names
    for number, name in enumerate(names):
        day, rank = divmod(number, FLOW.ranks)
        tensors, metadata = FLOW.tiles[rank]
        expected = Dataset(name, tensors, metadata | {"day": float(day)})
        found = store.connection.hgetall(wire.Keyspace().metadata_key(name))
        assert found.pop(wire.COMPLETE.encode()) == b"1"
        fields = wire.encode_metadata(expected)
        assert found == {key.encode(): value for key, value in fields.items()}
        for field, values in store.get_dataset(name).tensors.items():
            np.testing.assert_array_equal(values, tensors[field])


def test_a_full_store_is_waited_for(store: StoreClient) -> None:
    rank = Rank(FLOW, 0)
    pipeline = Pipeline(Address(store.address))
    before = store.connection.config_get("maxmemory")["maxmemory"]
    store.connection.config_set("maxmemory", 1)
    room = threading.Timer(0.3, store.connection.config_set, ("maxmemory", before))
    room.start()
    assert send(pipeline, [rank.request(1)], rank.replies) > 0.2
    room.join()
    assert store.drain_list(LIST) == [FLOW.names(1)[0]]
    with pytest.raises(ValueError, match="refused a tile: b'-ERR"):
        send(pipeline, [packed(["AI.TENSORSET", "x"])], 1)
    pipeline.close()
