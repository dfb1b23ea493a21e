"""Several samplers, each in a process of its own, lose and double nothing; nor does a slow one."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from benchmarks.flow import LIST
from benchmarks.flow import RUN
from benchmarks.flow import Flow
from parslflow.learning.samples import Samples
from parslflow.learning.samples import read_samples
from parslflow.sampling.sampler import SampleInputs
from parslflow.sampling.sampler import sample
from parslflow.store.client import StoreClient
from parslflow.store.server import StoreServer
from parslflow.store.wire import Dataset
from tests.conftest import present

FLOW = Flow(2, 2, times=7, ny=60, nx=40)
RANKS = 4
MOST = 3
PROGRAM = Path(__file__).with_name("slow_sampler.py")
TILES = [(day, rank) for day in range(FLOW.times) for rank in range(RANKS)]

Parts = list[tuple[int, int]]
"""Tiles, by day and rank."""


class Sampler:
    """A sampler in a process of its own, which takes ``pause_s`` a time at least."""

    def __init__(self, inputs: SampleInputs, pause_s: float = 0.0) -> None:
        self.output = inputs.output
        file = inputs.output.with_suffix(".json")
        file.write_text(inputs.model_dump_json())
        self._process = subprocess.Popen(
            [sys.executable, PROGRAM, file, str(pause_s)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> tuple[dict[str, int], str]:
        """Its metrics and what it said on stderr."""
        said, errors = self._process.communicate(timeout=60)
        return json.loads(said or "{}"), errors


def put(store: StoreClient, flow: Flow, tiles: Parts) -> None:
    """Put tiles."""
    for day, rank in tiles:
        tensors, metadata = flow.tiles[rank]
        dataset = Dataset(flow.names(day)[rank], tensors, metadata | {"day": float(day)})
        store.put_dataset(dataset, LIST)


def send(store: StoreClient, flow: Flow, tiles: Parts) -> None:
    """Put tiles and the end of the run."""
    put(store, flow, tiles)
    store.put_dataset(flow.end, LIST)


def rows(batches: list[SampleInputs]) -> Samples:
    """What all of them kept, by day and place."""
    found = Samples.concatenate([read_samples(batch.output) for batch in batches])
    return found.take(np.lexsort([found.i, found.j, found.day]))


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(TILES).flatmap(
        lambda tiles: st.lists(st.sampled_from(TILES), max_size=6).map(lambda more: tiles + more)
    ),
    first=st.integers(0, len(TILES)),
    samplers=st.integers(1, MOST),
    pauses=st.lists(st.sampled_from([0.0, 0.1]), min_size=MOST, max_size=MOST),
)
def test_samplers_keep_together_what_one_keeps(
    store: StoreClient,
    store_server: StoreServer,
    order: Parts,
    first: int,
    samplers: int,
    pauses: list[float],
) -> None:
    store.connection.flushdb()
    with TemporaryDirectory() as folder:
        (Path(folder) / "alone").mkdir()
        alone = FLOW.inputs(store_server, Path(folder) / "alone")
        send(store, FLOW, TILES)
        expected = sample(alone, lambda series, /, **values: None)

        parts = FLOW.shared(store_server, Path(folder), samplers)
        put(store, FLOW, order[:first])
        sampled = [Sampler(part, pause) for part, pause in zip(parts, pauses, strict=False)]
        send(store, FLOW, order[first:])
        found = [sampler.end()[0] for sampler in sampled]

        one, together = rows([alone]), rows(parts)
    assert len(one) > 0
    for column in ("day", "j", "i", "eke", "features"):
        np.testing.assert_array_equal(getattr(together, column), getattr(one, column))
    for metric, value in expected.metrics.items():
        assert sum(metrics[metric] for metrics in found) == value
    assert [metrics["times"] for metrics in found] == [
        len(range(sampler, FLOW.times, samplers)) for sampler in range(samplers)
    ]
    assert present(store) == []


def test_a_time_that_never_came_is_missed_by_the_last(
    store: StoreClient,
    store_server: StoreServer,
    tmp_path: Path,
) -> None:
    parts = FLOW.shared(store_server, tmp_path, MOST)
    send(store, FLOW, [tile for tile in TILES if tile[0] != 4])
    sampled = [Sampler(part) for part in parts]
    [error] = filter(None, [sampler.end()[1] for sampler in sampled])
    assert "sent 7 times, but 6 came" in error
    assert sum(part.output.exists() for part in parts) == MOST - 1
    assert not store.dataset_exists(f"{RUN}_end")


def test_every_sampler_hears_of_a_simulation_that_died(
    store: StoreClient,
    store_server: StoreServer,
    tmp_path: Path,
) -> None:
    parts = FLOW.shared(store_server, tmp_path, MOST)
    marker = {"times": np.int32(0), "status": np.int32(1)}
    store.put_dataset(Dataset(f"{RUN}_end", {}, marker), LIST)
    sampled = [Sampler(part) for part in parts]
    for sampler in sampled:
        assert "died while it was sampled" in sampler.end()[1]
    assert not any(part.output.exists() for part in parts)
    assert present(store) == []


@pytest.mark.parametrize("samplers", [1, 2])
def test_samplers_that_are_slow_hold_the_simulation_back(tmp_path: Path, samplers: int) -> None:
    """The store stays within its budget, a quarter of what is sent, and nothing is lost."""
    flow = Flow(2, 2, times=60, ny=120, nx=160)
    tiles = [(day, rank) for day in range(flow.times) for rank in range(RANKS)]
    [tile] = {sum(field.nbytes for field in fields.values()) for fields, _ in flow.tiles}
    with StoreServer(tmp_path / "store", memory_mb=12) as server, server.client() as store:
        limit = store.memory().limit
        assert len(tiles) * tile > 3.5 * limit
        parts = flow.shared(server, tmp_path, samplers)
        sampled = [Sampler(part, 0.03) for part in parts]
        stored = []
        with server.client() as simulation:
            thread = threading.Thread(target=send, args=(simulation, flow, tiles))
            thread.start()
            while thread.is_alive():
                info = store.info()[0]
                stored.append(int(info["used_memory_dataset"]))
                time.sleep(0.01)
            thread.join()
        found = [sampler.end()[0] for sampler in sampled]
        assert present(store) == []
    # It was full, and the most that a full store takes is the data set that fills it.
    assert 0.7 * limit < max(stored) < limit + tile
    assert sum(metrics["times"] for metrics in found) == flow.times
    days, counts = np.unique(rows(parts).day, return_counts=True)
    assert days.tolist() == list(range(flow.times))
    assert set(counts) == {counts[0]}
