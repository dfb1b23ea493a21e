"""Two members of an ensemble in one store, with the same run and list, sampled at the same time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from benchmarks.flow import LIST
from benchmarks.flow import RUN
from benchmarks.flow import Array
from benchmarks.flow import Flow
from benchmarks.flow import fields
from parslflow.sampling.sampler import SampleInputs
from parslflow.sampling.sampler import sample
from parslflow.store.client import StoreClient
from parslflow.store.server import StoreServer
from parslflow.store.stream import Stream
from tests.conftest import present
from tests.sampling.test_shares import Sampler
from tests.sampling.test_shares import put
from tests.sampling.test_shares import rows
from tests.sampling.test_shares import send


@dataclass(frozen=True)
class Member(Flow):
    """A flow that is not that of another member."""

    seed: int = 0

    @cached_property
    def day(self) -> Array:
        """(4, ny, nx), the fields of every time."""
        return fields(self.seed, self.ny, self.nx)


MEMBERS = {
    "first": Member(2, 2, times=6, ny=60, nx=40, seed=1),
    "second": Member(2, 1, times=9, ny=60, nx=40, seed=2),
}


def tiles(flow: Flow) -> list[tuple[int, int]]:
    return [(day, rank) for day in range(flow.times) for rank in range(flow.ranks)]


def shared(name: str, server: StoreServer, folder: Path, samplers: int) -> list[SampleInputs]:
    folder.mkdir()
    parts = MEMBERS[name].shared(server, folder, samplers)
    Stream(list=LIST, run=RUN, keyspace=name).save(folder / "stream.json")
    return parts


@pytest.mark.parametrize("samplers", [1, 2])
def test_members_are_sampled_at_once_and_not_mixed_up(
    store: StoreClient, store_server: StoreServer, tmp_path: Path, samplers: int
) -> None:
    expected = {}
    for name, flow in MEMBERS.items():
        (tmp_path / f"{name}-alone").mkdir()
        alone = flow.inputs(store_server, tmp_path / f"{name}-alone")
        send(store, flow, tiles(flow))
        sample(alone, lambda series, /, **values: None)
        expected[name] = rows([alone])
    parts = {name: shared(name, store_server, tmp_path / name, samplers) for name in MEMBERS}
    clients = {name: StoreClient.at(store.published, keyspace=name) for name in MEMBERS}
    sampled = {name: [Sampler(part) for part in parts[name]] for name in MEMBERS}
    # By turns, so that both are under way all the time.
    for day in range(max(flow.times for flow in MEMBERS.values())):
        for name, flow in MEMBERS.items():
            put(clients[name], flow, [tile for tile in tiles(flow) if tile[0] == day])
    for name, flow in MEMBERS.items():
        clients[name].put_dataset(flow.end, LIST)
        clients[name].close()
    for name, flow in MEMBERS.items():
        ended = [sampler.end() for sampler in sampled[name]]
        assert [said for _, said in ended] == [""] * samplers
        assert sum(metrics["times"] for metrics, _ in ended) == flow.times
        found = rows(parts[name])
        assert len(found) > 0
        for column in ("day", "j", "i", "eke", "features"):
            np.testing.assert_array_equal(getattr(found, column), getattr(expected[name], column))
    assert len(expected["first"]) != len(expected["second"])
    assert present(store) == []
