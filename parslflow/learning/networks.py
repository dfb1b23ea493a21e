"""The two networks of the paper.

Both map the four transformed features (n, 4) to ln(1 + EKE) (n,), in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch import nn

from parslflow.learning.settings import NetworkName


class ResNet(nn.Module):
    """EKE-ResNet: fully connected, with three residual blocks 64 wide."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, 64, bias=False),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            *(LinearBlock(64, dropout) for _ in range(3)),
            nn.Linear(64, 32),
            nn.ReLU(),
            nn.Linear(32, 8),
            nn.ReLU(),
            nn.Linear(8, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """ln(1 + EKE) (n,) of the transformed features (n, 4)."""
        y: Tensor = self.layers(x)
        return y.squeeze(1)


class LinearBlock(nn.Module):
    """Two fully connected layers with a skip connection around them."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The rectified sum of ``x`` and what the layers make of it."""
        return torch.relu(x + self.body(x))


class Bottleneck(nn.Module):
    """EKE-Bottleneck: the features as an image of one channel, 1 by 4, with residual convolutions.

    The transposed convolutions mix neighbouring features and make the image 2 by 4 with 32
    channels: no larger than the pooling at the end needs, since each point costs time at each
    inference. Few groups and channels last are what oneDNN is quick at on a CPU.
    """

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.ConvTranspose2d(1, 16, kernel_size=(1, 3), padding=(0, 1), bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 32, kernel_size=(2, 1), bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            BottleneckBlock(32, 64),
            BottleneckBlock(64, 64),
            BottleneckBlock(64, 64),
            nn.AdaptiveMaxPool2d(2),
            nn.Flatten(),
        )
        self.head = nn.Sequential(
            nn.Linear(256, 32),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(32, 8),
            nn.ReLU(),
            nn.Linear(8, 1),
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """ln(1 + EKE) (n,) of the transformed features (n, 4)."""
        y: Tensor = self.head(self.convolutions(x.view(-1, 1, 1, 4)))
        return y.squeeze(1)


class BottleneckBlock(nn.Module):
    """Convolutions 1x1, grouped 3x3 and 1x1 with a skip connection around them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        width = outputs // 4
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, groups=2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = (
            nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The rectified sum of ``x`` and what the layers make of it."""
        return torch.relu(self.skip(x) + self.body(x))


NETWORKS: dict[NetworkName, type[ResNet] | type[Bottleneck]] = {
    "EKE-ResNet": ResNet,
    "EKE-Bottleneck": Bottleneck,
}
"""The architectures by name; each is made with its dropout."""
