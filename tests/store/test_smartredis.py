"""The stock SmartRedis client on our store, and ours beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import smartredis
import torch
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from parslflow.store.client import StoreClient
from parslflow.store.wire import Dataset
from tests.store.conftest import Scripted

DTYPES = ["f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2"]


class Line(torch.nn.Module):
    """Two inputs, two outputs."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return 2 * x + y, x - y


@pytest.fixture
def stock(any_store: StoreClient, monkeypatch: pytest.MonkeyPatch) -> smartredis.Client:
    """A stock client, which reads all its settings from the environment."""
    monkeypatch.setenv("SSDB", any_store.address)
    monkeypatch.setenv("SR_DB_TYPE", "Standalone")
    monkeypatch.setenv("SR_LOG_LEVEL", "QUIET")
    # Its default of 250 ms sends what takes longer again.
    monkeypatch.setenv("SR_SOCKET_TIMEOUT", "60000")
    return smartredis.Client(logger_name="tests")


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_pass_both_ways(
    any_store: StoreClient, stock: smartredis.Client, dtype: str
) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    stock.put_tensor("theirs", array)
    any_store.put_tensor("ours", array)
    for name in ("theirs", "ours"):
        for back in (stock.get_tensor(name), any_store.get_tensor(name)):
            assert back.dtype == array.dtype
            np.testing.assert_array_equal(back, array)


@settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=1, max_dims=4))
    )
)
def test_any_tensor_passes_both_ways(
    any_store: StoreClient, stock: smartredis.Client, array: np.ndarray
) -> None:
    stock.put_tensor("theirs", array)
    assert any_store.get_tensor("theirs").tobytes() == array.tobytes()
    any_store.put_tensor("ours", array)
    assert stock.get_tensor("ours").tobytes() == array.tobytes()


def test_we_read_their_data_set(any_store: StoreClient, stock: smartredis.Client) -> None:
    field = np.arange(6.0).reshape(2, 3)
    theirs = smartredis.Dataset("tile")
    theirs.add_tensor("field", field)
    theirs.add_tensor("mask", np.array([0, 1], np.uint8))
    theirs.add_meta_scalar("day", 151.5)
    theirs.add_meta_scalar("rank", np.int32(3))
    theirs.add_meta_scalar("rank", np.int32(4))
    theirs.add_meta_string("run", "high-1")
    stock.put_dataset(theirs)
    ours = any_store.get_dataset("tile")
    assert sorted(ours.tensors) == ["field", "mask"]
    np.testing.assert_array_equal(ours.tensors["field"], field)
    np.testing.assert_array_equal(ours.tensors["mask"], [0, 1])
    assert ours.metadata.keys() == {"day", "rank", "run"}
    np.testing.assert_array_equal(ours.metadata["day"], [151.5])
    np.testing.assert_array_equal(ours.metadata["rank"], [3, 4])
    assert ours.metadata["rank"].dtype == np.int32  # type: ignore[attr-defined]
    assert ours.metadata["run"] == ["high-1"]


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int32, np.int64, np.uint32, np.uint64])
def test_they_read_our_data_set(
    any_store: StoreClient, stock: smartredis.Client, kind: type[np.generic]
) -> None:
    field = np.arange(6.0).reshape(2, 3)
    numbers = np.array([1, 2, 3], kind)
    metadata = {"numbers": numbers, "texts": ["one", "", "drei ü"]}
    any_store.put_dataset(Dataset("tile", {"field": field, "x": field.T}, metadata))
    assert stock.dataset_exists("tile")
    theirs = stock.get_dataset("tile")
    assert theirs.get_name() == "tile"
    assert theirs.get_tensor_names() == ["field", "x"]
    np.testing.assert_array_equal(theirs.get_tensor("field"), field)
    np.testing.assert_array_equal(theirs.get_tensor("x"), field.T)
    # Their Python client says double for a float, of its own fields too.
    seen = np.float64 if kind is np.float32 else kind
    assert theirs.get_metadata_field_type("numbers") == seen
    assert list(theirs.get_meta_scalars("numbers")) == [1, 2, 3]
    assert theirs.get_meta_strings("texts") == ["one", "", "drei ü"]


def test_data_set_without_tensors_passes_both_ways(
    any_store: StoreClient, stock: smartredis.Client
) -> None:
    theirs = smartredis.Dataset("theirs")
    theirs.add_meta_string("run", "high-1")
    stock.put_dataset(theirs)
    assert any_store.get_dataset("theirs") == Dataset("theirs", {}, {"run": ["high-1"]})
    any_store.put_dataset(Dataset("ours", {}, {"run": "high-1"}))
    assert stock.get_dataset("ours").get_meta_strings("run") == ["high-1"]


def test_lists_pass_both_ways(any_store: StoreClient, stock: smartredis.Client) -> None:
    for index in range(3):
        dataset = smartredis.Dataset(f"theirs-{index}")
        dataset.add_tensor("x", np.full(2, index))
        stock.put_dataset(dataset)
        stock.append_to_list("tiles", dataset)
        any_store.put_dataset(Dataset(f"ours-{index}", {"x": np.full(2, index)}), "tiles")
    assert stock.get_list_length("tiles") == 6
    assert stock.poll_list_length_gte("tiles", 6, 10, 3)
    theirs = [
        smartredis.Dataset.from_pybind(item) if not isinstance(item, smartredis.Dataset) else item
        for item in stock.get_datasets_from_list("tiles")
    ]
    names = [f"{who}-{index}" for index in range(3) for who in ("theirs", "ours")]
    assert [item.get_name() for item in theirs] == names
    assert [int(item.get_tensor("x")[0]) for item in theirs] == [0, 0, 1, 1, 2, 2]
    assert any_store.drain_list("tiles") == names
    assert stock.get_list_length("tiles") == 0


def test_their_delete_and_ours_leave_nothing(
    any_store: StoreClient, stock: smartredis.Client
) -> None:
    any_store.put_dataset(Dataset("ours", {"x": np.ones(2)}, {"day": 1.0}))
    stock.delete_dataset("ours")
    theirs = smartredis.Dataset("theirs")
    theirs.add_tensor("x", np.ones(2))
    stock.put_dataset(theirs)
    any_store.delete_datasets(["theirs"])
    assert any_store.connection.dbsize() == 0


def test_model_runs_as_in_torch(
    any_store: StoreClient, stock: smartredis.Client, scripted: Scripted, tmp_path: Path
) -> None:
    script = scripted(Line())
    file = tmp_path / "line.pt"
    file.write_bytes(script)
    stock.set_model("bytes", script, "TORCH", "CPU", tag="v1")
    stock.set_model_from_file("file", str(file), "TORCH", "CPU", 4, 2, 10)
    any_store.set_model("ours", script)
    x, y = np.arange(4.0), np.full(4, 3.0)
    expected = Line()(torch.from_numpy(x), torch.from_numpy(y))
    stock.put_tensor("x", x)
    stock.put_tensor("y", y)
    for model in ("bytes", "file", "ours"):
        assert stock.model_exists(model)
        assert stock.get_model(model) == script
        stock.run_model(model, ["x", "y"], ["p", "q"])
        np.testing.assert_array_equal(stock.get_tensor("p"), expected[0].numpy())
        np.testing.assert_array_equal(any_store.get_tensor("q"), expected[1].numpy())
    stock.delete_model("bytes")
    assert not stock.model_exists("bytes")
    assert any_store.get_model("file") == script
