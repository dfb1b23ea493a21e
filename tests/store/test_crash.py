"""The server is killed and started again under clients that stream to it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from parslflow.store.server import StoreServer
from tests.store import streaming_client

CRASHES = {False: 2, True: 30}
CLIENTS = 3


@pytest.mark.timeout(600)
@pytest.mark.parametrize("shards", [1, 3])
def test_what_was_acknowledged_is_there_once(tmp_path: Path, long: bool, shards: int) -> None:
    seed = int(time.time())
    draw = random.Random(seed)
    acknowledged = [tmp_path / f"acknowledged-{number}" for number in range(CLIENTS)]
    folder = tmp_path / "store"
    server = StoreServer(folder, persist=True, shards=shards)
    server.start()
    environment = os.environ | server.published.environment()
    clients = [
        subprocess.Popen([sys.executable, streaming_client.__file__, str(path)], env=environment)
        for path in acknowledged
    ]
    try:
        for _ in range(CRASHES[long]):
            before = sum(map(_size, acknowledged))
            deadline = time.monotonic() + 30
            while sum(map(_size, acknowledged)) < before + 500 or not all(map(_size, acknowledged)):
                assert time.monotonic() < deadline, "nothing is acknowledged any more"
                time.sleep(0.01)
            time.sleep(draw.random() * 0.2)
            os.kill(draw.choice(server.pids), signal.SIGKILL)
            server.stop()
            address = server.address
            server = StoreServer(folder, persist=True, shards=shards, address=address)
            server.start()
            assert server.address == address
        time.sleep(0.5)
        for client in clients:
            client.terminate()  # which ends it between two data sets
            assert client.wait(60) == 0
        names = [name for path in acknowledged for name in path.read_text().split()]
        with server.client() as store:
            counted = Counter(store.get_list(streaming_client.LIST))
            assert {name: counted[name] for name in names} == dict.fromkeys(names, 1), seed
            assert max(counted.values()) == 1, seed
            for name in counted:
                number = float(name.rpartition("_")[2])
                for array in store.get_dataset(name).tensors.values():
                    np.testing.assert_array_equal(array, np.full((10, 10), number))
    finally:
        for client in clients:
            client.kill()
        server.stop()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
