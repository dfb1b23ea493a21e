"""The form in which a network leaves for a simulation: TorchScript that takes plain features."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch import nn

from parslflow.errors import ParslflowError
from parslflow.learning.clusters import Clusters
from parslflow.rundir import atomic_path

TOLERANCE = 1e-4
"""How far TorchScript may be from the network it was made of, in ln(1 + EKE)."""


class Deployable(nn.Module):
    """A network that takes features as a simulation has them.

    The transform and its statistics travel with the weights, so that no simulation has to know
    them. The transform is computed in float64, the network in float32.
    """

    rv_offset: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, clusters: Clusters, network: nn.Module) -> None:
        super().__init__()
        self.register_buffer("rv_offset", torch.tensor(clusters.rv_offset, dtype=torch.float64))
        self.register_buffer("mean", torch.from_numpy(clusters.mean))
        self.register_buffer("std", torch.from_numpy(clusters.std))
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        """ln(1 + EKE), EKE in m3/s2, (n,) float32.

        Args:
            features: (n, 4), float64 or float32, dimensional, columns as ``FEATURES``.
        """
        energy, vorticity, slope, radius = features.to(torch.float64).unbind(1)
        compressed = torch.stack(
            [
                torch.log1p(energy),
                torch.sign(vorticity) * torch.log1p(torch.abs(vorticity) + self.rv_offset),
                torch.log1p(slope),
                radius,
            ],
            dim=1,
        )
        y: Tensor = self.network(((compressed - self.mean) / self.std).to(torch.float32))
        return y


def write_script(path: Path, deployable: Deployable, features: Tensor) -> None:
    """Write ``deployable`` as TorchScript that needs no Python, when it answers as it should.

    Weights become constants and batch normalisation goes into the layers before it, which halves
    the time of an inference. Load it onto its device: a frozen module does not move afterwards.

    Args:
        path: Where the script goes.
        deployable: On the CPU.
        features: (n, 4), the rows that the script is tried on, in both precisions.

    Raises:
        ParslflowError: The script answers otherwise than the network.
    """
    deployable.eval()
    buffer = io.BytesIO()
    with torchscript(), torch.no_grad():
        # Traced with two rows and tried with all, in place of trace's own check.
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            deployable, features[:2], check_trace=False
        )
        torch.jit.save(torch.jit.freeze(traced), buffer)
        buffer.seek(0)
        script = torch.jit.load(buffer)  # type: ignore[no-untyped-call]
        for precision in (torch.float64, torch.float32):
            expected, got = deployable(features.to(precision)), script(features.to(precision))
            if not torch.allclose(got, expected, rtol=0, atol=TOLERANCE):
                raise ParslflowError(
                    f"{path} was not written, since the TorchScript's answer to {precision} "
                    f"features is off by {float((got - expected).abs().max()):.2g}: check the "
                    "network for parts that depend on their input's values."
                )
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


@contextmanager
def torchscript() -> Iterator[None]:
    """Use torch.jit, which torch deprecates though its stores and simulations know no other."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch.jit", DeprecationWarning)
        yield
