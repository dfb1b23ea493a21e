"""Many clients at once, some killed at whatever they do; for ten minutes with ``--long``."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from parslflow.store.client import StoreClient
from parslflow.store.server import StoreServer
from tests.conftest import present
from tests.store import soak_client
from tests.store.conftest import Scripted

SECONDS = {False: 8.0, True: 600.0}
CLIENTS = ["put_and_get", "put_and_get", "stream", "stream", "stream", "infer", "infer", "infer"]
KILL_EVERY_S = 1.0


class Twice(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


class Crowd:
    """Client processes, one a kind of work, each replaced when it is killed."""

    def __init__(self, address: str, folder: Path) -> None:
        self._address = address
        self._folder = folder
        self._members = [self._start(kind) for kind in CLIENTS]
        self.killed = 0

    def _start(self, kind: str) -> tuple[str, subprocess.Popen[bytes], Path]:
        log = self._folder / f"{kind}-{time.monotonic_ns()}.log"
        command = [sys.executable, soak_client.__file__, kind, self._address]
        with log.open("wb") as file:
            return kind, subprocess.Popen(command, stdout=file, stderr=file), log

    def check(self) -> None:
        """Fail if a client ended by itself."""
        for kind, process, log in self._members:
            assert process.poll() is None, f"{kind}: {log.read_text()}"

    def kill_one(self, draw: random.Random) -> None:
        number = draw.randrange(len(self._members))
        kind, process, log = self._members[number]
        process.kill()
        assert process.wait() == -signal.SIGKILL, log.read_text()
        log.unlink()
        self._members[number] = self._start(kind)
        self.killed += 1

    def stop(self) -> None:
        for _, process, _ in self._members:
            process.kill()
            process.wait()


@contextmanager
def crowd(address: str, folder: Path) -> Iterator[Crowd]:
    found = Crowd(address, folder)
    try:
        yield found
    finally:
        found.stop()


def consume(store: StoreClient, seen: set[str]) -> None:
    """Take what was streamed, see that each data set is whole and there once, and delete it."""
    names = store.drain_list(soak_client.LIST)
    assert not seen.intersection(names)
    assert len(set(names)) == len(names)
    seen.update(names)
    for name in names[:3]:
        dataset = store.get_dataset(name)
        number = int(np.asarray(dataset.metadata["number"])[0])
        assert sorted(dataset.tensors) == ["a", "b", "c", "d"]
        for array in dataset.tensors.values():
            np.testing.assert_array_equal(array, np.full(soak_client.TILE, float(number)))
    store.delete_datasets(names)


def resident(pid: int) -> int:
    """Resident memory of a process in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise AssertionError("there is no VmRSS")


@pytest.mark.timeout(900)
def test_store_serves_a_crowd_that_loses_members(
    tmp_path: Path, scripted: Scripted, long: bool
) -> None:
    seed = int(time.time())
    draw = random.Random(seed)
    blob = scripted(Twice())
    together = ("BATCHSIZE", 400, "MINBATCHSIZE", 60, "MINBATCHTIMEOUT", 20)
    seen: set[str] = set()
    with StoreServer(tmp_path / "store") as server, server.client() as store:
        for name, words in zip(soak_client.MODELS, [(), together], strict=True):
            words = ("AI.MODELSTORE", name, "TORCH", "CPU", *words, "BLOB", blob)
            store.connection.execute_command(*words)
        used = store.memory().used
        warm = peak = 0
        began = time.monotonic()
        with crowd(server.address, tmp_path) as clients:
            kill_at = began + 2 * KILL_EVERY_S
            while (now := time.monotonic()) < began + SECONDS[long]:
                consume(store, seen)
                clients.check()
                if now >= kill_at:
                    clients.kill_one(draw)
                    kill_at += KILL_EVERY_S
                if not warm and now > began + SECONDS[long] / 3:
                    warm = resident(server.pid)
                time.sleep(0.05)
        consume(store, seen)
        counted = {
            name: store.connection.execute_command("AI.INFO", name)[11::2]
            for name in soak_client.MODELS
        }
        # All that is left is what clients put; what dead ones put under a name of theirs included.
        for key in store.connection.keys("put_and_get-*") + store.connection.keys("infer-*"):
            store.delete(key)
        assert present(store) == sorted(name.encode() for name in soak_client.MODELS)
        deadline = time.monotonic() + 20
        while store.connection.info()["connected_clients"] > 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert store.memory().used < used + 2e6
        # The allocator may keep what the clients' data took at their most.
        grown = store.connection.info("memory")["used_memory_peak"] - peak
        assert resident(server.pid) < 1.3 * warm + grown + 50e6
        errors = store.connection.info("errorstats")
    assert clients.killed >= SECONDS[long] / KILL_EVERY_S - 5
    assert len(seen) > 20 * SECONDS[long]
    for name, (_, samples, calls, failed) in counted.items():
        assert failed == 0, f"seed {seed}: {name}"
        assert calls > 10
        assert samples >= calls
    assert errors == {}
