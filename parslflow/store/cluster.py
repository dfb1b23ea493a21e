"""Makes a Redis Cluster of servers of this machine that are not one yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import redis

from parslflow.errors import ParslflowError
from parslflow.store.shards import SLOTS

FORM_S = 60.0


def form(servers: Sequence[redis.Redis], ports: Sequence[int], check: Callable[[], None]) -> None:
    """Divide the slots among the servers and wait until they are a cluster.

    Servers that have been one before, as the files in their folders say, keep their slots.

    Args:
        servers: Each of them.
        ports: The port of each on loopback.
        check: Raises when one has ended.

    Raises:
        ParslflowError: It takes too long.
    """
    count = len(servers)
    for number, server in enumerate(servers):
        if _info(server)["cluster_slots_assigned"] == "0":
            _cluster(server, "SET-CONFIG-EPOCH", number + 1)
            first, last = SLOTS * number // count, SLOTS * (number + 1) // count - 1
            _cluster(server, "ADDSLOTSRANGE", first, last)
    for port in ports[1:]:
        _cluster(servers[0], "MEET", "127.0.0.1", port)
    deadline = time.monotonic() + FORM_S
    while not all(_is_whole(server, count) for server in servers):
        check()
        if time.monotonic() > deadline:
            raise ParslflowError(
                f"The store's {count} servers did not form a cluster in {FORM_S:g} s, see their "
                "logs."
            )
        time.sleep(0.05)


def _is_whole(server: redis.Redis, count: int) -> bool:
    info = _info(server)
    return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == count


def _info(server: redis.Redis) -> dict[str, str]:
    found: dict[str, str] = server.cluster("INFO")
    return found


def _cluster(server: redis.Redis, *words: str | int) -> Any:  # noqa: ANN401
    return server.execute_command("CLUSTER", *words)  # type: ignore[no-untyped-call]
