from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.testing import assert_array_equal
from torch import Tensor
from torch import nn

from parslflow.errors import UsageError
from parslflow.learning.clusters import Clusters
from parslflow.learning.deployment import torchscript
from parslflow.report.offline import offline_profile
from parslflow.sampling.features import FIELDS
from parslflow.sampling.features import smooth

NY, NX, DX, SCALE = 16, 12, 20e3, 80e3
CLUSTERS = Clusters(
    1e-6, np.zeros(4), np.ones(4), np.zeros((1, 4)), 0, np.zeros((NY, NX)), SCALE, DX, 1
)


class Energy(nn.Module):
    """Takes the resolved kinetic energy for the eddies'."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.log1p(features[:, 0]).float()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "energy.script.pt"
    with torchscript():
        torch.jit.save(torch.jit.trace(Energy(), torch.ones(2, 4)), path)
    return path


def write(path: Path, days: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    energy = 20 * rng.random((days, NY, NX))
    with h5py.File(path, "w") as file:
        for name in FIELDS:
            file[name] = energy
        file["time"] = np.arange(float(days))
        file["yh"], file["xh"] = ((np.arange(n) + 0.5) * DX for n in (NY, NX))
    return energy


def test_it_is_the_zonal_mean_of_what_the_network_answers_to_smoothed_fields(
    tmp_path: Path, script: Path
) -> None:
    first, second = write(tmp_path / "a.nc", 61, 1), write(tmp_path / "b.nc", 3, 2)
    profile = offline_profile([tmp_path / "a.nc", tmp_path / "b.nc"], script, CLUSTERS)
    assert_array_equal(profile.days, [30, 30, 3])
    assert_allclose(profile.y, (np.arange(NY) + 0.5) * DX)
    windows = [first[:30], first[30:60], second]
    expected = [smooth(window, DX, SCALE).mean(axis=(0, 2)) for window in windows]
    assert_allclose(profile.windows, expected, rtol=1e-5)


def test_a_fine_grid_is_asked_at_a_part_of_its_columns(tmp_path: Path, script: Path) -> None:
    energy = write(tmp_path / "a.nc", 1, 3)
    wide = Clusters(**{**vars(CLUSTERS), "filter_scale": 2 * SCALE})
    profile = offline_profile([tmp_path / "a.nc"], script, wide)
    smoothed = smooth(energy[0], DX, 2 * SCALE)[:, ::2]
    assert_allclose(profile.windows, [smoothed.mean(axis=1)], rtol=1e-5)


def test_a_field_that_is_not_there_is_named(tmp_path: Path, script: Path) -> None:
    write(tmp_path / "a.nc", 1, 4)
    with h5py.File(tmp_path / "a.nc", "a") as file:
        del file["Rd_dx"]
    with pytest.raises(UsageError, match=r"a\.nc has no variable Rd_dx"):
        offline_profile([tmp_path / "a.nc"], script, CLUSTERS)
