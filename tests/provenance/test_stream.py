from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from parslflow.provenance import events
from parslflow.provenance.journal import read_checked
from parslflow.provenance.schema import Metric
from parslflow.provenance.stream import KEY
from parslflow.provenance.stream import Publisher
from parslflow.provenance.stream import follow
from parslflow.store.client import StoreClient
from parslflow.store.server import StoreServer
from tests.conftest import wait_until


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    (tmp_path / "journal").mkdir()
    return tmp_path / "journal"


@pytest.fixture
def address_file(store_server: StoreServer) -> Path:
    return store_server.address_file


@pytest.fixture
def emptied(store: StoreClient) -> Iterator[StoreClient]:
    yield store
    store.connection.delete(KEY)


def test_every_event_is_streamed_once_in_order(
    journal: Path, address_file: Path, emptied: StoreClient
) -> None:
    with events.execution(journal, pipeline="p", context="c", name="earlier"):
        pass
    with (
        Publisher(journal, address_file),
        events.execution(journal, pipeline="p", context="c", name="n") as run,
    ):
        for row in range(2500):
            run.metric("series", {"row": row})
        wait_until(lambda: emptied.connection.xlen(KEY) > 0)
        run.result({"loss": 0.5})
    streamed = [event for _, event in follow(emptied, wait_s=0.01)]
    assert streamed == read_checked(journal / f"{run.id}.jsonl")[0]

    entries = list(follow(emptied, wait_s=0.01))
    middle = entries[1000][0]
    assert list(follow(emptied, after=middle, wait_s=0.01)) == entries[1001:]


def test_nobody_waits_for_a_store_that_is_away(journal: Path, tmp_path: Path) -> None:
    with StoreServer(tmp_path / "store") as server:
        server.published.publish(tmp_path / "address.json")
    began = time.monotonic()
    for address_file in (tmp_path / "address.json", tmp_path / "nothing.json"):
        with (
            Publisher(journal, address_file),
            events.execution(journal, pipeline="p", context="c", name="n"),
        ):
            pass
    assert time.monotonic() - began < 5
    assert len(list(journal.glob("*.jsonl"))) == 2


def test_what_a_full_store_refused_comes_when_there_is_room(
    journal: Path, address_file: Path, emptied: StoreClient
) -> None:
    limit = emptied.connection.config_get("maxmemory")["maxmemory"]
    with (
        Publisher(journal, address_file),
        events.execution(journal, pipeline="p", context="c", name="n") as run,
    ):
        wait_until(lambda: emptied.connection.xlen(KEY) == 1)
        emptied.connection.config_set("maxmemory", 1)
        for row in range(10):
            run.metric("series", {"row": row})
        time.sleep(0.5)
        assert emptied.connection.xlen(KEY) == 1
        emptied.connection.config_set("maxmemory", limit)
        wait_until(lambda: emptied.connection.xlen(KEY) == 11)
    rows = [one.values["row"] for _, one in follow(emptied, wait_s=0.01) if isinstance(one, Metric)]
    assert rows == list(range(10))
