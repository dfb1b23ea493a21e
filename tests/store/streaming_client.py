"""A client of the crash test: streams data sets and writes down which were acknowledged."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path

import numpy as np

from parslflow.store.client import StoreClient
from parslflow.store.wire import Dataset

LIST = "stream"


def main(acknowledged: Path) -> None:
    """Stream until told to end."""
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    with StoreClient.of_environment() as store, acknowledged.open("w") as file:
        for number in itertools.count():
            if ended:
                break
            name = f"run{os.getpid()}_{number}"
            tensors = {field: np.full((10, 10), float(number)) for field in "ab"}
            store.put_dataset(Dataset(name, tensors, {"number": number}), LIST)
            file.write(f"{name}\n")
            file.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
