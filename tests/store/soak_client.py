"""A client of the soak test: does one kind of work for ever, and checks what it gets."""

from __future__ import annotations

import itertools
import os
import sys

import numpy as np

from parslflow.store.client import StoreClient
from parslflow.store.wire import Dataset

LIST = "stream"
MODELS = ("alone", "together")
"""TorchScript that doubles; the second is batched."""
TILE = (4, 30, 40)


def put_and_get(store: StoreClient, name: str, number: int) -> None:
    """Bring a tensor back."""
    array = np.full((64, 512), float(number))
    store.put_tensor(name, array)
    if not np.array_equal(store.get_tensor(name), array):
        raise AssertionError(f"{name} came back changed")


def stream(store: StoreClient, name: str, number: int) -> None:
    """Append a data set, once its predecessors have been taken off the list."""
    tensors = {field: np.full(TILE, float(number)) for field in "abcd"}
    store.put_dataset(Dataset(f"{name}_{number}", tensors, {"number": number}), LIST)


def infer(store: StoreClient, name: str, number: int) -> None:
    """Ask both models."""
    array = np.full((1 + number % 50, 4), float(number))
    store.put_tensor(name, array)
    for model in MODELS:
        store.run_model(model, [name], [f"{name}.{model}"])
        if not np.array_equal(store.get_tensor(f"{name}.{model}"), 2 * array):
            raise AssertionError(f"{model} gave {name} another answer")


WORK = {"put_and_get": put_and_get, "stream": stream, "infer": infer}


def main(kind: str, address: str) -> None:
    """Work until killed."""
    name = f"{kind}-{os.getpid()}"
    with StoreClient(address) as store:
        for number in itertools.count():
            WORK[kind](store, name, number)


if __name__ == "__main__":
    main(*sys.argv[1:])
