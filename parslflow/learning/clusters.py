"""The clusters of feature space: the transform, the centres, and the cluster that is withheld."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parslflow._ext.membership import assign
from parslflow.errors import UsageError
from parslflow.learning import hdf5
from parslflow.learning.samples import FEATURES

ARRAYS = {"mean": (4,), "std": (4,), "centres": (-1, 4), "mke": (-1, -1)}
"""The data sets of a clusters file (float64) and their shapes."""


def rv_offset(relative_vorticity: NDArray[np.float64]) -> float:
    """The offset C = ln(1 + the smallest nonzero magnitude) of the vorticity's transform."""
    magnitude = np.abs(relative_vorticity)
    return float(np.log1p(magnitude[magnitude > 0].min()))


def compress(features: NDArray[np.float64], offset: float) -> NDArray[np.float64]:
    """The features (n, 4) on the scale where they are averaged.

    ln(1 + x) for kinetic energy and slope, sign(x) ln(1 + |x| + C) for the vorticity, and the
    deformation radius as it is.
    """
    energy, vorticity, slope, radius = features.T
    return np.column_stack(
        [
            np.log1p(energy),
            np.sign(vorticity) * np.log1p(np.abs(vorticity) + offset),
            np.log1p(slope),
            radius,
        ]
    )


@dataclass(frozen=True)
class Clusters:
    """What the base data define once and the sampler and the networks use again.

    Attributes:
        rv_offset: C of the vorticity's transform.
        mean: (4,) mean of the compressed features of the base data.
        std: (4,) their standard deviation.
        centres: (k, 4) centres in transformed (compressed, normalised) space.
        withheld: Index of the cluster that the networks are tested on.
        mke: (ny, nx) time mean of the filtered KE_vert_sum, m3/s2.
        filter_scale: Width of the Gaussian filter, m.
        dx: Grid spacing, m.
        wall_rows: Rows left out at each wall.
    """

    rv_offset: float
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    centres: NDArray[np.float64]
    withheld: int
    mke: NDArray[np.float64]
    filter_scale: float
    dx: float
    wall_rows: int

    @cached_property
    def id(self) -> str:
        """The SHA-256 of the contents: equal for equal definitions."""
        digest = hashlib.sha256()
        for key, value in self._attributes().items():
            digest.update(f"{key}={value!r};".encode())
        for key in ARRAYS:
            array = np.ascontiguousarray(getattr(self, key), dtype="<f8")
            digest.update(f"{key}{array.shape};".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()

    def transform(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """The dimensional features (n, 4) as (n, 4), compressed and normalised."""
        return (compress(features, self.rv_offset) - self.mean) / self.std

    def assign(self, features: NDArray[np.float64]) -> NDArray[np.int32]:
        """The nearest centre (n,) of each of the dimensional features (n, 4).

        At equal distance the lower index wins. A row with a NaN belongs to none and gets -1.
        """
        return assign(
            np.ascontiguousarray(features, dtype=np.float64),
            self.rv_offset,
            self.mean,
            self.std,
            self.centres,
        )

    def save(self, path: Path) -> None:
        """Write a clusters file (HDF5, whole or not at all)."""
        with hdf5.create(path, "clusters") as file:
            file.attrs.update(self._attributes())
            file.attrs["features"] = ",".join(FEATURES)
            file.attrs["id"] = self.id
            for key in ARRAYS:
                array = getattr(self, key).astype("f8")
                file.create_dataset(key, data=array, **hdf5.FILTERS)

    @staticmethod
    def load(path: Path) -> Clusters:
        """Read a clusters file.

        Raises:
            UsageError: The file is missing, damaged or no clusters file, or its contents are not
                those that its id was made from.
        """
        with hdf5.read(path, "clusters") as reader:
            arrays: dict[str, Any] = {
                key: reader.array(key, "f8", *shape) for key, shape in ARRAYS.items()
            }
            clusters = Clusters(
                rv_offset=float(reader.attribute("rv_offset")),
                withheld=int(reader.attribute("withheld")),
                filter_scale=float(reader.attribute("filter_scale")),
                dx=float(reader.attribute("dx")),
                wall_rows=int(reader.attribute("wall_rows")),
                **arrays,
            )
            if reader.attribute("id") != clusters.id:
                raise UsageError(
                    f"{path} was changed after it was written (its id is not that of its contents):"
                    " prepare the base data again."
                )
        return clusters

    def _attributes(self) -> dict[str, float | int]:
        return {
            "rv_offset": float(self.rv_offset),
            "withheld": int(self.withheld),
            "filter_scale": float(self.filter_scale),
            "dx": float(self.dx),
            "wall_rows": int(self.wall_rows),
        }
