"""Readers who share a list: every name comes to one of them, and what is no tile to all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from parslflow.errors import ParslflowError
from parslflow.store.client import StoreClient
from parslflow.store.server import StoreServer
from parslflow.store.sharing import Share
from parslflow.store.wire import Keyspace
from tests.conftest import present


def name(day: int, rank: int = 0, second: int = 0) -> str:
    return f"high_{day:07d}.{second:05d}_{rank:06d}"


def append(store: StoreClient, *names: str) -> None:
    for one in names:
        store.append_to_list("tiles", one)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    readers=st.integers(1, 5),
    steps=st.lists(
        st.one_of(
            st.tuples(st.integers(0, 12), st.integers(0, 3), st.integers(0, 86399)),
            st.integers(0, 4),
            st.just("high_end"),
        ),
        max_size=40,
    ),
)
def test_every_name_comes_to_one_reader_in_its_order(
    store: StoreClient, readers: int, steps: list[tuple[int, int, int] | int | str]
) -> None:
    store.connection.flushdb()
    sent: list[list[str]] = [[] for _ in range(readers)]
    taken: list[list[str]] = [[] for _ in range(readers)]
    for step in [*steps, *range(readers)]:
        if isinstance(step, tuple):
            day, rank, second = step
            append(store, name(day, rank, second))
            sent[day % readers].append(name(day, rank, second))
        elif isinstance(step, str):
            append(store, step)
            for part in sent:
                part.append(step)
        else:
            reader = step % readers
            taken[reader] += store.drain_share("tiles", Share(reader, readers))
    assert taken == sent
    assert present(store) == []


def test_the_last_to_finish_is_told_what_all_took(any_store: StoreClient) -> None:
    append(any_store, *(name(day) for day in range(7)))
    taken = [len(any_store.drain_share("tiles", Share(reader, 3))) for reader in range(3)]
    assert taken == [3, 2, 2]
    shares = [Share(reader, 3) for reader in range(3)]
    for reader in (0, 1):
        assert any_store.finish_share("tiles", shares[reader], taken[reader]) is None
    # The first begins again, so that it is the last.
    any_store.begin_share("tiles", shares[0])
    assert any_store.finish_share("tiles", shares[2], taken[2]) is None
    assert any_store.finish_share("tiles", shares[0], taken[0]) == 7
    assert [any_store.leave_share("tiles", shares[reader]) for reader in (0, 1)] == [False, False]
    # One that left and begins again is waited for.
    any_store.begin_share("tiles", shares[1])
    assert [any_store.leave_share("tiles", shares[reader]) for reader in (2, 1)] == [False, True]
    assert present(any_store) == []


def test_a_single_reader_has_all(store: StoreClient) -> None:
    append(store, name(1), "high_end", name(2))
    assert store.drain_share("tiles", Share()) == [name(1), "high_end", name(2)]
    assert store.finish_share("tiles", Share(), 2) == 2


def test_a_full_store_can_be_shared(any_store: StoreClient) -> None:
    append(any_store, *(name(day) for day in range(4)), "high_end")
    before = any_store.connection.config_get("maxmemory")["maxmemory"]
    any_store.connection.config_set("maxmemory", 1)
    try:
        assert any_store.drain_share("tiles", Share(0, 2)) == [name(0), name(2), "high_end"]
        assert any_store.finish_share("tiles", Share(0, 2), 2) is None
        assert any_store.drain_share("tiles", Share(1, 2)) == [name(1), name(3), "high_end"]
        assert any_store.finish_share("tiles", Share(1, 2), 2) == 4
    finally:
        any_store.connection.config_set("maxmemory", before)


def test_shares_of_a_list_are_on_its_shard(tmp_path: Path) -> None:
    with StoreServer(tmp_path, shards=3) as server, server.client() as store:
        for list_name in ("tiles", "a", "{b}c"):
            for day in range(5):
                store.append_to_list(list_name, name(day))
            found = [store.drain_share(list_name, Share(reader, 4)) for reader in range(4)]
            assert found == [[name(0), name(4)], [name(1)], [name(2)], [name(3)]]
            told = [store.finish_share(list_name, Share(reader, 4), 1) for reader in range(4)]
            assert told == [None, None, None, 4]


def test_what_is_no_list_is_told(store: StoreClient) -> None:
    store.connection.set("tiles", "text")
    with pytest.raises(ParslflowError, match="list 'tiles'"):
        store.drain_share("tiles", Share(0, 2))
    store.connection.delete("tiles")
    store.connection.rpush("tiles", "no entry", Keyspace().list_entry(name(0)))
    with pytest.raises(ParslflowError, match="'no entry'"):
        store.drain_share("tiles", Share(1, 2))
