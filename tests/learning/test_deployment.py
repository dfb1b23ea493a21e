from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch import nn

from parslflow.errors import ParslflowError
from parslflow.learning.clusters import Clusters
from parslflow.learning.deployment import Deployable
from parslflow.learning.deployment import write_script
from parslflow.learning.networks import NETWORKS
from parslflow.learning.settings import NetworkName

from .conftest import Prepared
from .synthetic import make_samples

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


def deployable(prepared: Prepared, name: NetworkName) -> Deployable:
    """A network that has seen some data, so that its batch normalisation does something."""
    torch.manual_seed(1)
    network = NETWORKS[name](dropout=0.3)
    for _ in range(5):
        network(torch.randn(256, 4))
    return Deployable(Clusters.load(prepared.clusters_file), network).eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_it_transforms_as_the_clusters_do(prepared: Prepared, name: NetworkName) -> None:
    module = deployable(prepared, name)
    features = make_samples(200).features
    transformed = Clusters.load(prepared.clusters_file).transform(features)
    with torch.inference_mode():
        expected = module.network(torch.from_numpy(transformed.astype(np.float32)))
        torch.testing.assert_close(module(torch.from_numpy(features)), expected)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("precision", [torch.float64, torch.float32])
def test_the_script_answers_as_the_network_does(
    prepared: Prepared, tmp_path: Path, name: NetworkName, precision: torch.dtype
) -> None:
    module, path = deployable(prepared, name), tmp_path / "model.script.pt"
    write_script(path, module, torch.from_numpy(make_samples(100).features))
    script = torch.jit.load(path)
    for n in (0, 1, 2, 777):
        features = torch.from_numpy(make_samples(n, seed=n).features).to(precision)
        with torch.inference_mode():
            got, expected = script(features), module(features)
        assert got.shape == (n,)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_the_script_needs_nothing_of_this_project(prepared: Prepared, tmp_path: Path) -> None:
    path = tmp_path / "model.script.pt"
    module = deployable(prepared, "EKE-ResNet")
    write_script(path, module, torch.from_numpy(make_samples(100).features))
    code = (
        "import sys, torch; script = torch.jit.load(sys.argv[1]); "
        "print(script(torch.ones(3, 4, dtype=torch.float64)).tolist(), 'parslflow' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        timeout=60,
    )
    with torch.inference_mode():
        expected = module(torch.ones(3, 4, dtype=torch.float64)).tolist()
    values, imported = result.stdout.strip().rsplit(" ", 1)
    assert [float(value) for value in values.strip("[]").split(",")] == pytest.approx(expected)
    assert imported == "False"


def test_a_network_that_cannot_be_traced_is_not_written(prepared: Prepared, tmp_path: Path) -> None:
    class Counting(nn.Module):
        """Answers differently each time, as no trace can."""

        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x.sum(dim=1) + self.calls

    module = Deployable(Clusters.load(prepared.clusters_file), Counting())
    path = tmp_path / "model.script.pt"
    with pytest.raises(ParslflowError, match=r"model\.script\.pt was not written"):
        write_script(path, module, torch.from_numpy(make_samples(100).features))
    assert list(tmp_path.iterdir()) == []


def test_statistics_travel_with_the_script(prepared: Prepared, tmp_path: Path) -> None:
    clusters = Clusters.load(prepared.clusters_file)
    network = NETWORKS["EKE-ResNet"](dropout=0.0)
    features = torch.from_numpy(make_samples(100).features)
    answers = []
    for name, mean in (("a", clusters.mean), ("b", clusters.mean + 1)):
        write_script(tmp_path / name, Deployable(replace(clusters, mean=mean), network), features)
        answers.append(torch.jit.load(tmp_path / name)(features))
    assert not torch.allclose(*answers)
