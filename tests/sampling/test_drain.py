"""Whole times come off the list once each, and the end is an end."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from parslflow._ext import replies
from parslflow.errors import ParslflowError
from parslflow.sampling.drain import Drain
from parslflow.sampling.drain import ModelTime
from parslflow.store import wire
from parslflow.store.client import StoreClient
from parslflow.store.server import StoreServer
from parslflow.store.wire import Dataset
from tests.conftest import present

RANKS = 3


def name(rank: int, day: int) -> str:
    return f"high-1_{day:07d}.00000_{rank:06d}"


def put(store: StoreClient, rank: int, day: int) -> None:
    field = np.full((2, 3), 100.0 * day + rank)
    metadata = {"rank": np.int32(rank), "ranks": np.int32(RANKS), "day": float(day)}
    dataset = Dataset(name(rank, day), {"h": field, "unused": field}, metadata)
    store.put_dataset(dataset, list="tiles")


def end(store: StoreClient, times: int, status: int = 0) -> None:
    metadata = {"times": np.int32(times), "status": np.int32(status), "run": "high-1"}
    store.put_dataset(Dataset("high-1_end", {}, metadata), list="tiles")


@contextmanager
def drain(store: StoreClient, time_limit_s: float = 5.0) -> Iterator[Drain]:
    with Drain(store, "tiles", "high-1", ["h"], time_limit_s) as times:
        yield times


def check(model_time: ModelTime) -> float:
    """The time has one tile a rank, each with its own values; its day."""
    assert model_time.ranks == RANKS
    numbers, extents, offsets, kind, tensors = replies.tiles(
        model_time.replies.data,
        model_time.replies.start,
        model_time.replies.end,
        model_time.names,
        [b"rank", b"day"],
        ["h"],
    )
    assert kind == "DOUBLE"
    day = numbers[0, 1]
    assert sorted(numbers[:, 0]) == list(range(RANKS))
    for tile, (rank, _) in enumerate(numbers):
        assert model_time.names[tile] == name(int(rank), int(day))
        assert tuple(extents[tile]) == (2, 3)
        values = model_time.replies.data[offsets[tile, 0] :][:48].tobytes()
        assert values == np.full(6, 100.0 * day + rank).tobytes()
    assert set(tensors) == {wire.encode_field(".tensor_names", ["h", "unused"])}
    return float(day)


def drained(store: StoreClient, time_limit_s: float = 5.0) -> list[float]:
    """The days of all times, each checked and given back."""
    days = []
    with drain(store, time_limit_s) as times:
        for model_time in times:
            days.append(check(model_time))
            give_back(times, model_time)
    return days


def give_back(times: Drain, model_time: ModelTime) -> None:
    blob = wire.encode_field(".tensor_names", ["h", "unused"])
    times.release(model_time.stamp, model_time.names, [blob] * RANKS)


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), days=st.integers(1, 4))
def test_each_time_comes_once_whatever_the_order_and_the_repeats(
    store: StoreClient, data: st.DataObject, days: int
) -> None:
    tiles = [(rank, day) for rank in range(RANKS) for day in range(days)]
    repeats = data.draw(st.lists(st.sampled_from(tiles), max_size=6))
    order = data.draw(st.permutations(tiles + repeats))
    split = data.draw(st.integers(0, len(order)))
    store.connection.flushdb()
    for tile in order[:split]:
        put(store, *tile)
    # The rest comes while the first are drained.
    simulation = threading.Thread(target=send, args=(store, order[split:], days))
    simulation.start()
    assert sorted(drained(store)) == list(range(days))
    simulation.join()
    assert present(store) == []


def send(store: StoreClient, tiles: list[tuple[int, int]], times: int) -> None:
    for tile in tiles:
        put(store, *tile)
    end(store, times)


def test_a_time_is_deleted_once_it_is_given_back(store: StoreClient) -> None:
    for day in (1, 2, 3):
        for rank in range(RANKS):
            put(store, rank, day)
    end(store, 3)
    with drain(store) as drain_:
        times = iter(drain_)
        first = next(times)
        assert store.get_dataset(first.names[0]).tensors
        give_back(drain_, first)
        second = next(times)
        third = next(times)
        for used, left in ((first, 0), (second, 1), (third, 1)):
            keys = [f"{{{tile}}}.meta" for tile in used.names]
            assert [store.connection.exists(key) for key in keys] == [left] * RANKS
        give_back(drain_, second)
        give_back(drain_, third)
        assert list(times) == []
    assert present(store) == []


def test_a_data_set_without_tensor_names_is_deleted_too(store: StoreClient) -> None:
    put(store, 0, 1)
    with drain(store) as times:
        times.release("0000001.00000", [name(0, 1)], [None])
    assert present(store) == [b"tiles", f"{{{name(0, 1)}}}.unused".encode()]


def test_a_damaged_list_of_tensors_is_told(store: StoreClient) -> None:
    with drain(store) as times, pytest.raises(ParslflowError, match="are not strings"):
        times.release("0000001.00000", [name(0, 1)], [wire.encode_field("x", 3)])


def test_closing_ends_a_wait_at_once(store: StoreClient) -> None:
    with drain(store, time_limit_s=60.0) as times:
        closer = threading.Timer(0.2, times.close)
        closer.start()
        started = time.monotonic()
        assert list(times) == []
        assert time.monotonic() - started < 3.0
        closer.join()


def test_a_tile_that_comes_again_after_its_time_is_dropped(store: StoreClient) -> None:
    for rank in range(RANKS):
        put(store, rank, 1)
    with drain(store) as drain_:
        times = iter(drain_)
        only = next(times)
        check(only)
        give_back(drain_, only)

        def late() -> None:
            # The time is deleted when the next one is asked for.
            while present(store):
                time.sleep(0.01)
            put(store, 1, 1)
            end(store, 1)

        thread = threading.Thread(target=late)
        thread.start()
        assert list(times) == []
        thread.join()
    assert present(store) == []


def test_a_slow_simulation_is_waited_for(store: StoreClient) -> None:
    for rank in range(RANKS):
        put(store, rank, 1)

    def later() -> None:
        time.sleep(0.6)
        send(store, [(rank, 2) for rank in range(RANKS)], 2)

    thread = threading.Thread(target=later)
    thread.start()
    assert drained(store) == [1, 2]
    thread.join()


def test_a_time_without_all_ranks_at_the_end_names_them(store: StoreClient) -> None:
    for rank in range(RANKS):
        put(store, rank, 1)
    put(store, 1, 2)
    end(store, 2)
    message = r"time 0000002.00000 is incomplete: no tile came from ranks 0, 2\."
    with pytest.raises(ParslflowError, match=message):
        drained(store)


def test_a_time_that_never_came_is_missed(store: StoreClient) -> None:
    for rank in range(RANKS):
        put(store, rank, 1)
    end(store, 2)
    with pytest.raises(ParslflowError, match="sent 2 times, but 1 came"):
        drained(store)


def test_a_simulation_that_died_ends_the_drain(store: StoreClient) -> None:
    put(store, 0, 1)
    died = threading.Timer(0.3, end, (store, 0, 1))
    died.start()
    with pytest.raises(ParslflowError, match=r"run 'high-1' died while it was sampled"):
        drained(store)
    died.join()


def test_an_end_that_is_taken_back_is_none(store: StoreClient) -> None:
    with drain(store) as times:
        iterator = iter(times)
        for rank in range(RANKS):
            put(store, rank, 1)
        end(store, 1)
        give_back(times, next(iterator))
        # The simulation begins again before the drain has looked at the marker.
        store.delete_datasets(["high-1_end"])
        again = threading.Timer(0.3, send, (store, [(rank, 2) for rank in range(RANKS)], 2))
        again.start()
        second = next(iterator)
        assert check(second) == 2
        give_back(times, second)
        assert list(iterator) == []
        again.join()
    assert present(store) == []


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), days=st.integers(1, 5))
def test_a_drain_goes_on_where_another_one_was_killed(
    store: StoreClient, data: st.DataObject, days: int
) -> None:
    tiles = [(rank, day) for rank in range(RANKS) for day in range(days)]
    order = data.draw(st.permutations(tiles))
    split = data.draw(st.integers(0, len(order)))
    store.connection.flushdb()
    for tile in order[:split]:
        put(store, *tile)
    kept = []
    # It is not left: nothing that its end does is done.
    first = Drain(store, "tiles", "high-1", ["h"], 5.0)
    whole = {
        day for day in range(days) if all((rank, day) in order[:split] for rank in range(RANKS))
    }
    times = iter(first)
    for _ in range(data.draw(st.integers(0, len(whole)))):
        model_time = next(times)
        kept.append(model_time.stamp)
        check(model_time)
        if data.draw(st.booleans()):
            give_back(first, model_time)
    first._pipelines.close()

    resent = data.draw(st.lists(st.sampled_from(tiles), max_size=6))
    send(store, order[split:] + resent, days)
    rest = []
    with Drain(store, "tiles", "high-1", ["h"], 5.0, kept) as second:
        for model_time in second:
            rest.append(model_time.stamp)
            check(model_time)
            give_back(second, model_time)
    assert sorted(kept + rest) == [f"{day:07d}.00000" for day in range(days)]
    assert present(store) == []


def test_a_tile_that_comes_again_stays_until_its_time_is_given_back(store: StoreClient) -> None:
    for rank in range(RANKS):
        put(store, rank, 1)
    with drain(store) as times:
        iterator = iter(times)
        first = next(iterator)
        for rank in range(RANKS):
            put(store, rank, 1)
            put(store, rank, 2)
        second = next(iterator)
        assert all(store.dataset_exists(tile) for tile in first.names)
        end(store, 2)
        give_back(times, first)
        give_back(times, second)
        assert list(iterator) == []
    assert present(store) == []


def test_a_simulation_that_is_stuck_ends_the_drain(store: StoreClient) -> None:
    put(store, 0, 1)
    started = time.monotonic()
    with pytest.raises(ParslflowError, match=r"Nothing new came from the run 'high-1' for 0\.5 s"):
        drained(store, time_limit_s=0.5)
    assert 0.5 <= time.monotonic() - started < 3.0


@pytest.mark.parametrize("other", ["high-2_0000001.00000_000000", "high-1_today_0", "high-2_end"])
def test_what_is_not_of_the_run_is_refused(store: StoreClient, other: str) -> None:
    store.put_dataset(Dataset(other), list="tiles")
    with pytest.raises(ParslflowError, match=rf"'tiles' holds '{other}', which is no tile"):
        drained(store)


def test_a_number_of_ranks_that_is_missing_is_named(store: StoreClient) -> None:
    store.put_dataset(Dataset(name(0, 1), metadata={"rank": [0]}), list="tiles")
    with pytest.raises(ParslflowError, match=rf"'{name(0, 1)}' has no metadata 'ranks'"):
        drained(store)


def test_a_store_that_goes_away_is_told(tmp_path: Path) -> None:
    with StoreServer(tmp_path / "store") as server, server.client() as client:
        put(client, 0, 1)
        with drain(client) as times:
            killer = threading.Timer(0.3, os.kill, (server.pid, signal.SIGKILL))
            killer.start()
            with pytest.raises(ParslflowError, match="it cannot be reached"):
                next(iter(times))
            killer.join()
            os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
            # Leaving must not ask the store either: there is nothing to delete.


def test_the_stock_client_can_be_the_simulation(
    store: StoreClient, store_server: StoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import smartredis

    monkeypatch.setenv("SR_LOG_LEVEL", "QUIET")
    monkeypatch.setenv("SR_SOCKET_TIMEOUT", "10000")
    stock = smartredis.Client(address=store_server.address, cluster=False)
    for rank in range(RANKS):
        dataset = smartredis.Dataset(name(rank, 7))
        dataset.add_tensor("h", np.full((2, 3), 700.0 + rank))
        dataset.add_tensor("unused", np.full((2, 3), 700.0 + rank))
        dataset.add_meta_scalar("rank", np.int32(rank))
        dataset.add_meta_scalar("ranks", np.int32(RANKS))
        dataset.add_meta_scalar("day", np.float64(7))
        stock.put_dataset(dataset)
        stock.append_to_list("tiles", dataset)
    end(store, 1)
    assert drained(store) == [7.0]
