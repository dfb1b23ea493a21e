from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from parslflow.learning.networks import NETWORKS
from parslflow.learning.settings import NetworkName


def widths(network: nn.Module) -> list[tuple[int, int]]:
    return [
        (layer.in_features, layer.out_features)
        for layer in network.modules()
        if isinstance(layer, nn.Linear)
    ]


def test_every_name_that_settings_allow_is_a_network() -> None:
    assert set(NETWORKS) == set(get_args(NetworkName))


@pytest.mark.parametrize("name", NETWORKS)
def test_one_answer_for_each_row_whatever_the_others_are(name: NetworkName) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name](dropout=0.5).eval()
    x = torch.randn(33, 4)
    with torch.inference_mode():
        together = network(x)
        alone = torch.cat([network(row[None]) for row in x])
    assert together.shape == (33,)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, alone)
    assert together.std() > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_learns(name: NetworkName) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name](dropout=0.0)
    network(torch.randn(64, 4)).square().mean().backward()
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_dropout_acts_in_training_alone(name: NetworkName) -> None:
    torch.manual_seed(0)
    network, x = NETWORKS[name](dropout=0.5), torch.randn(64, 4)
    assert not torch.equal(network(x), network(x))
    network.eval()
    torch.testing.assert_close(network(x), network(x))


def test_resnet_is_the_one_of_the_paper() -> None:
    network = NETWORKS["EKE-ResNet"](dropout=0.0)
    assert widths(network) == [(4, 64), *[(64, 64)] * 6, (64, 32), (32, 8), (8, 1)]
    assert sum(isinstance(layer, nn.BatchNorm1d) for layer in network.modules()) == 7


def test_bottleneck_is_the_one_of_the_paper() -> None:
    network = NETWORKS["EKE-Bottleneck"](dropout=0.0)
    layers = list(network.modules())
    transposed = [layer for layer in layers if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in transposed] == [16, 32]
    grouped = [layer for layer in layers if isinstance(layer, nn.Conv2d) and layer.groups > 1]
    assert [layer.kernel_size for layer in grouped] == [(3, 3)] * 3
    assert widths(network) == [(256, 32), (32, 8), (8, 1)]
