"""Tensors to the store and back, against the same bytes by redis-py alone."""

from __future__ import annotations

import numpy as np
import redis

from benchmarks.flow import live_store
from benchmarks.measure import Figure
from benchmarks.measure import duration

VALUES = 32 * 1024
RUNS = 30


def put_get() -> Figure:
    """Put and get 256 KiB of doubles by our client; SET and GET of the same bytes by redis-py."""
    tensor = np.random.default_rng(0).normal(size=VALUES)
    data = tensor.tobytes()
    with live_store() as (server, _), server.client() as client:
        path = server.address.removeprefix("unix://")
        with redis.Redis(unix_socket_path=path, protocol=2) as plain:

            def ours() -> None:
                client.put_tensor("tensor", tensor)
                client.get_tensor("tensor")

            def against() -> None:
                plain.set("plain", data)
                plain.get("plain")

            ours()
            against()
            assert np.array_equal(client.get_tensor("tensor"), tensor)
            assert plain.get("plain") == data
            return duration(ours, against, runs=RUNS)
