"""The samples of one cluster, against NumPy's transform, scikit-learn's prediction and a mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from benchmarks.measure import Figure
from benchmarks.measure import throughput
from parslflow._ext.membership import members

NY, NX = 2400, 320
CLUSTERS = 6
RV_OFFSET = 3e-6

Array = NDArray[np.float64]
Kept = tuple[Array, Array, NDArray[np.intp]]


def compress(features: Array) -> Array:
    """The transform as a user writes it; ``features`` is (n, 4)."""
    energy, vorticity, slope, radius = features.T
    symmetric = np.sign(vorticity) * np.log1p(np.abs(vorticity) + RV_OFFSET)
    return np.column_stack([np.log1p(energy), symmetric, np.log1p(slope), radius])


@dataclass(frozen=True)
class Cells:
    """Fields of the magnitudes of the two-layer case, and the clusters of their features."""

    features: Array
    """(4, ny, nx)."""
    energy: Array
    """(ny, nx), larger than the mean flow's in every cell, so that every cell is a sample."""
    mke: Array
    mean: Array
    std: Array
    model: KMeans

    @property
    def wanted(self) -> int:
        """The cluster of the largest vorticity, as in the loop."""
        return int(self.model.cluster_centers_[:, 1].argmax())

    def ours(self, threads: int) -> tuple[Array, Array, NDArray[np.int32], NDArray[np.int32], int]:
        """By parslflow, in one pass over the fields."""
        return members(
            self.features[:3], self.features[3], self.energy, self.mke, 1.0, RV_OFFSET,
            self.mean, self.std, self.model.cluster_centers_, self.wanted, 0, threads,
        )  # fmt: skip

    def reference(self) -> Kept:
        """By NumPy and scikit-learn."""
        rows = self.features.reshape(4, -1).T
        points = (compress(rows) - self.mean) / self.std
        eke = np.maximum(self.energy - self.mke, 0).ravel()
        keep = (self.model.predict(points) == self.wanted) & (np.log1p(eke) > 0)
        return rows[keep], eke[keep], np.flatnonzero(keep)


def cells() -> Cells:
    """768,000 cells."""
    random = np.random.default_rng(0)
    features = random.normal(size=(4, NY, NX))
    features[0] = 50 * np.exp(features[0])
    features[1] *= 0.01
    features[2] = 1e-3 * np.exp(features[2])
    features[3] = 0.28 + 0.05 * features[3]
    points = compress(features.reshape(4, -1).T)
    mean, std = points.mean(axis=0), points.std(axis=0)
    model = KMeans(CLUSTERS, n_init=1, random_state=0).fit((points[:20_000] - mean) / std)
    mke = random.uniform(20, 60, size=(NY, NX))
    energy = mke + random.exponential(20, size=(NY, NX)) + 1e-6
    return Cells(features, energy, mke, mean, std, model)


def membership() -> Figure:
    """``membership``: one thread on either side."""
    data = cells()
    features, eke, j, i, _ = data.ours(1)
    expected_features, expected_eke, expected_cells = data.reference()
    np.testing.assert_array_equal(features, expected_features)
    np.testing.assert_array_equal(eke, expected_eke)
    np.testing.assert_array_equal(j * NX + i, expected_cells)
    with threadpool_limits(1):
        return throughput(lambda: data.ours(1), data.reference, runs=11)


def threads() -> Figure:
    """``membership_threads``: two threads against one."""
    data = cells()
    return throughput(lambda: data.ours(2), lambda: data.ours(1), runs=21)
