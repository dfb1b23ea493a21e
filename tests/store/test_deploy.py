from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.store.client import StoreClient
from parslflow.store.deploy import DeployInputs
from parslflow.store.deploy import deploy
from parslflow.store.server import StoreServer
from tests.store.conftest import Scripted
from tests.store.test_server import ignore


class Double(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


@pytest.fixture
def script(tmp_path: Path, scripted: Scripted) -> Path:
    path = tmp_path / "double.pt"
    path.write_bytes(scripted(Double()))
    return path


def test_deployed_model_answers(
    store_server: StoreServer, store: StoreClient, script: Path
) -> None:
    inputs = DeployInputs(address_file=store_server.address_file, script=script, model="eke")
    record = deploy(DeployInputs.model_validate_json(inputs.model_dump_json()), ignore)
    [artifact] = record.read
    assert artifact.path == script
    assert artifact.kind == "model"
    assert artifact.properties == {"key": "eke", "device": "CPU"}
    assert record.wrote == ()
    assert record.metrics["bytes"] == script.stat().st_size
    store.put_tensor("x", np.arange(3.0))
    store.run_model("eke", ["x"], ["y"])
    np.testing.assert_array_equal(store.get_tensor("y"), 2 * np.arange(3.0))


def test_missing_script_is_the_users_error(store_server: StoreServer, tmp_path: Path) -> None:
    inputs = DeployInputs(
        address_file=store_server.address_file, script=tmp_path / "none.pt", model="eke"
    )
    with pytest.raises(UsageError, match=r"none\.pt cannot be read"):
        deploy(inputs, ignore)


def test_script_that_torch_cannot_load_is_an_error(
    store_server: StoreServer, store: StoreClient, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"no zip")
    inputs = DeployInputs(address_file=store_server.address_file, script=broken, model="eke")
    with pytest.raises(ParslflowError, match="model 'eke': this is not TorchScript"):
        deploy(inputs, ignore)
    assert store.connection.dbsize() == 0


def test_a_network_that_ranks_run_themselves_is_recorded_where_it_lies(script: Path) -> None:
    inputs = DeployInputs(address_file=None, script=script, model="eke")
    record = deploy(DeployInputs.model_validate_json(inputs.model_dump_json()), ignore)
    [artifact] = record.read
    assert (artifact.path, artifact.kind) == (script, "model")
    assert artifact.properties == {"key": "eke", "device": "CPU", "inference": "in-process"}
    with pytest.raises(UsageError, match="cannot be read"):
        deploy(inputs.model_copy(update={"script": script.with_name("none.pt")}), ignore)
