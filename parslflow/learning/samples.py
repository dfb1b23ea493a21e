"""Samples: what a network learns from, and where each came from."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from parslflow.learning import hdf5
from parslflow.records import Value

FEATURES = ("KE_vert_sum", "RV_vert_avg", "slope_vert_avg", "Rd_dx_scaled")
"""The columns of every feature array, in this order."""

COLUMNS = {"eke": "f8", "cluster": "i4", "day": "f8", "j": "i4", "i": "i4", "run": "i4"}
"""The other columns and their types."""

CHUNK_ROWS = 16_384
"""Rows that are written at a time."""


@dataclass(frozen=True)
class Samples:
    """n samples with their origin.

    Attributes:
        features: (n, 4) float64, dimensional, columns as ``FEATURES``: m3/s2, m/s, 1, 1.
        eke: (n,) float64, eddy kinetic energy of the column in m3/s2, positive.
        cluster: (n,) int32, index of the nearest centre.
        day: (n,) float64, model day of the run's case.
        j: (n,) int32, global row, 0-based.
        i: (n,) int32, global column, 0-based.
        run: (n,) int32, index into ``runs``.
        runs: Names of the simulations.
    """

    features: NDArray[np.float64]
    eke: NDArray[np.float64]
    cluster: NDArray[np.int32]
    day: NDArray[np.float64]
    j: NDArray[np.int32]
    i: NDArray[np.int32]
    run: NDArray[np.int32]
    runs: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.features.shape != (len(self.eke), len(FEATURES)):
            raise ValueError(
                f"features of shape {self.features.shape} do not go with {len(self.eke)} samples"
            )
        for column in COLUMNS:
            if getattr(self, column).shape != (len(self.eke),):
                raise ValueError(
                    f"{column} of shape {getattr(self, column).shape} does not go with "
                    f"{len(self.eke)} samples"
                )

    def __len__(self) -> int:
        return len(self.eke)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Samples:
        """The samples chosen by a mask or by indices."""
        columns = {column: getattr(self, column)[rows] for column in COLUMNS}
        return Samples(features=self.features[rows], runs=self.runs, **columns)

    @staticmethod
    def concatenate(parts: Sequence[Samples]) -> Samples:
        """The samples of all parts in order, their runs in one table."""
        runs = tuple(dict.fromkeys(name for part in parts for name in part.runs))
        columns: dict[str, Any] = {
            column: np.concatenate([getattr(part, column) for part in parts])
            for column in COLUMNS
            if column != "run"
        }
        index = [
            np.array([runs.index(name) for name in part.runs], dtype=np.int32)[part.run]
            for part in parts
        ]
        return Samples(
            features=np.concatenate([part.features for part in parts]),
            run=np.concatenate(index),
            runs=runs,
            **columns,
        )

    def put(self, file: h5py.File) -> None:
        """Write the samples into an open file."""
        file.create_dataset("features", data=self.features.astype("f8"), **hdf5.FILTERS)
        for column, dtype in COLUMNS.items():
            file.create_dataset(column, data=getattr(self, column).astype(dtype), **hdf5.FILTERS)
        file.create_dataset("runs", data=list(self.runs), dtype=h5py.string_dtype())

    @staticmethod
    def get(reader: hdf5.Reader) -> Samples:
        """Read the samples of an open file."""
        features = reader.array("features", "f8", -1, len(FEATURES))
        columns = {
            column: reader.array(column, dtype, len(features)) for column, dtype in COLUMNS.items()
        }
        return Samples(features=features, runs=reader.strings("runs"), **columns)


class SamplesWriter:
    """Writes samples of one run to an open file, part by part.

    In memory are the samples of one chunk of the file.

    Args:
        file: An open HDF5 file.
        run: The name of the simulation.
    """

    def __init__(self, file: h5py.File, run: str) -> None:
        self._columns: dict[str, tuple[h5py.Dataset, NDArray[Any]]] = {}
        self._held = 0
        self._written = 0
        shapes = {"features": (len(FEATURES),)} | dict.fromkeys(COLUMNS, ())
        for column, shape in shapes.items():
            # The mantissas of what was measured hardly shrink, and packing them would take longer
            # than all else that makes a sample; the other columns shrink to almost nothing.
            filters = hdf5.CHECKED if column in ("features", "eke") else hdf5.FILTERS
            data = file.create_dataset(
                column,
                shape=(0, *shape),
                dtype=COLUMNS.get(column, "f8"),
                maxshape=(None, *shape),
                chunks=(CHUNK_ROWS, *shape),
                **filters,
            )
            self._columns[column] = data, np.empty((CHUNK_ROWS, *shape), data.dtype)
        file.create_dataset("runs", data=[run], dtype=h5py.string_dtype())

    def __len__(self) -> int:
        return self._written + self._held

    def append(self, samples: Samples) -> None:
        """Add samples behind those before."""
        start = 0
        while start < len(samples):
            n = min(CHUNK_ROWS - self._held, len(samples) - start)
            for column, (_, chunk) in self._columns.items():
                chunk[self._held : self._held + n] = getattr(samples, column)[start : start + n]
            start += n
            self._held += n
            if self._held == CHUNK_ROWS:
                self.flush()

    def flush(self) -> None:
        """Write what is held to the file."""
        for data, chunk in self._columns.values():
            data.resize(self._written + self._held, axis=0)
            data[self._written :] = chunk[: self._held]
        self._written += self._held
        self._held = 0


def write_samples(path: Path, samples: Samples, attributes: Mapping[str, Value]) -> None:
    """Write a samples file (HDF5: one data set a column, compressed, with checksums)."""
    with hdf5.create(path, "samples") as file:
        file.attrs.update(attributes)
        samples.put(file)


def read_samples(path: Path) -> Samples:
    """Read a samples file.

    Raises:
        UsageError: The file is missing, damaged or no samples file.
    """
    with hdf5.read(path, "samples") as reader:
        return Samples.get(reader)


def read_attributes(path: Path) -> dict[str, Value]:
    """The attributes that a samples file was written with.

    Raises:
        UsageError: The file is missing, damaged or no samples file.
    """
    with hdf5.read(path, "samples") as reader:
        return reader.attributes()
