"""The same calls of the stock client and of ours leave the same keys, in whatever keyspaces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import smartredis
import torch

from parslflow.store.client import StoreClient
from parslflow.store.wire import Dataset
from tests.conformance.conftest import Place
from tests.store.conftest import Scripted


class Twice(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


class Stock:
    """The stock client's calls, by the names that ours have."""

    def __init__(self, script: bytes) -> None:
        self._client = smartredis.Client(logger_name="tests")
        self._script = script

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._client, {"list_length": "get_list_length"}.get(name, name))

    def set_model(self, name: str, script: bytes) -> None:
        self._client.set_model(name, script, "TORCH", "CPU")

    def delete(self, name: str) -> None:
        self._client.delete_tensor(name)

    def put_dataset(self, dataset: Dataset, list: str) -> None:
        made = smartredis.Dataset(dataset.name)
        for name, array in dataset.tensors.items():
            made.add_tensor(name, array)
        self._client.put_dataset(made)
        self._client.append_to_list(list, made)

    def get_list(self, name: str) -> list[str]:
        found = self._client.get_datasets_from_list(name)
        return [smartredis.Dataset.from_pybind(one).get_name() for one in found]

    def delete_datasets(self, names: list[str]) -> None:
        for name in names:
            self._client.delete_dataset(name)


def work(client: Any, script: bytes) -> list[object]:  # noqa: ANN401
    """Calls of each kind, and what they said."""
    said: list[object] = []
    client.set_model("twice", script)
    for name in ("x", "y", "z"):
        client.put_tensor(name, np.ones(2))
    for name in ("d1", "d2"):
        client.put_dataset(Dataset(name, {"h": np.ones(3)}), "tiles")

    def look() -> None:
        said.extend(client.tensor_exists(name) for name in ("x", "y", "z", "c.x"))
        said.extend(client.key_exists(name) for name in ("x", "a.x", "c.x"))
        said.extend([client.list_length("tiles"), client.get_list("tiles")])
        said.extend(client.dataset_exists(name) for name in ("d1", "d2"))

    for source in ("a", "b", "c", "a"):
        try:
            client.set_data_source(source)
        except Exception:
            said.append(f"no source {source}")
        look()
    client.copy_tensor("x", "copied")
    client.rename_tensor("y", "renamed")
    client.delete("z")
    client.run_model("twice", ["x"], ["answer"])
    client.delete_datasets(["d1"])
    look()
    return said


@pytest.mark.parametrize("target", ["", "a", "c"])
@pytest.mark.parametrize("sources", ["a,b", ",a,,c", "a", ""])
def test_the_same_calls_leave_the_same_keys(
    place: Place, monkeypatch: pytest.MonkeyPatch, scripted: Scripted, sources: str, target: str
) -> None:
    script = scripted(Twice())
    variables = place.environment() | {"SSKEYIN": sources, "SSKEYOUT": target}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    said, left = [], []
    for stock in (True, False):
        place.clear()
        for keyspace in {"a", sources and "b"} - {target}:
            before = {**variables, "SSKEYIN": keyspace, "SSKEYOUT": keyspace}
            with StoreClient.of_environment(before) as client:
                for name in ("x", "y", "z"):
                    client.put_tensor(name, np.zeros(2))
                for name in ("d1", "d2"):
                    client.put_dataset(Dataset(name, {"h": np.zeros(3)}), "tiles")
        if stock:
            said.append(work(Stock(script), script))
        else:
            with StoreClient.of_environment(variables) as client:
                said.append(work(client, script))
        found = place.keys()
        left.append({key for key in found if b".TMP" not in key and b".append" not in key})
    assert said[0] == said[1]
    assert left[0] == left[1]
