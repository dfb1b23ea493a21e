"""From the tiles of one model time to its samples that are new to the networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parslflow._ext import replies
from parslflow._ext.membership import members
from parslflow._ext.tiles import assemble_bytes
from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.learning.clusters import Clusters
from parslflow.learning.samples import Samples
from parslflow.sampling.drain import ModelTime
from parslflow.sampling.features import FIELDS
from parslflow.sampling.features import SMOOTHED
from parslflow.sampling.features import smooth

BOUNDS = (b"rank", b"idg_offset", b"jdg_offset", b"isc", b"iec", b"jsc", b"jec")
"""The metadata that say where a tile lies, in the order that ``assemble_bytes`` takes them."""

NUMBERS = (*BOUNDS, b"ieg", b"jeg", b"ranks", b"day")
"""All the metadata of a tile that are read."""

DTYPES = {"DOUBLE": np.float64, "FLOAT": np.float32}


@dataclass(frozen=True)
class Selected:
    """What one model time gave.

    Attributes:
        day: Model day of the run's case.
        samples: Those of the withheld cluster.
        seen: How many samples there were, of whatever cluster.
        tensors: For each of the time's data sets the blob of the names of its tensors.
    """

    day: float
    samples: Samples
    seen: int
    tensors: list[bytes | None]


class Selection:
    """Finds the samples of the withheld cluster, in arrays that serve for all times.

    Args:
        clusters: The definitions of the base data.
        clusters_file: Their file, for messages.
        run: The name of the simulation.
        threads: How many threads work.
    """

    def __init__(self, clusters: Clusters, clusters_file: Path, run: str, threads: int) -> None:
        self._clusters = clusters
        self._file = clusters_file
        self._run = run
        self._threads = threads
        ny, nx = clusters.mke.shape
        self._fields: NDArray[np.float64] | NDArray[np.float32] = np.empty((len(FIELDS), ny, nx))
        self._smoothed = np.empty((len(SMOOTHED), ny, nx))
        land = np.isnan(clusters.mke)
        self._land = land if land.any() else None

    def of(self, time: ModelTime) -> Selected:
        """The samples of one time.

        Raises:
            UsageError: The run's grid is not that of the base data.
            ParslflowError: A tile is missing, doubled or wrong.
        """
        try:
            numbers, extents, offsets, kind, tensors = replies.tiles(
                time.replies.data, time.replies.end, time.names, NUMBERS, FIELDS
            )
        except ValueError as error:
            raise ParslflowError(f"The time {time.stamp} cannot be read: {error}") from error
        whole = self._whole_numbers(time, numbers)
        self._check_grid(time, whole)
        bounds = np.concatenate([whole[:, : len(BOUNDS)], extents], axis=1, dtype=np.intc)
        if self._fields.dtype != DTYPES[kind]:
            self._fields = np.empty(self._fields.shape, DTYPES[kind])
        try:
            assemble_bytes(
                self._fields[None], bounds[None], time.replies.data, offsets[None], FIELDS,
                time.ranks, "ij", self._land, self._threads,
            )  # fmt: skip
        except ValueError as error:
            raise ParslflowError(
                f"The time {time.stamp} cannot be put together: {error}"
            ) from error
        day = float(numbers[0, NUMBERS.index(b"day")])
        samples, seen = self._members(day)
        return Selected(day, samples, seen, tensors)

    def _whole_numbers(self, time: ModelTime, numbers: NDArray[np.float64]) -> NDArray[np.intc]:
        """The metadata but for the day."""
        values = numbers[:, : NUMBERS.index(b"day")]
        wrong = (np.abs(values) > np.iinfo(np.intc).max) | (values != np.floor(values))
        if wrong.any():
            tile, number = np.argwhere(wrong)[0]
            raise ParslflowError(
                f"The data set '{time.names[tile]}' has the metadata '{NUMBERS[number].decode()}' "
                f"= {values[tile, number]:g}: send a whole number."
            )
        return values.astype(np.intc)

    def _check_grid(self, time: ModelTime, whole: NDArray[np.intc]) -> None:
        """Every tile is of the grid of the clusters' mean kinetic energy, and of so many ranks."""
        ny, nx = self._clusters.mke.shape
        for key, wanted in ((b"ieg", nx), (b"jeg", ny), (b"ranks", time.ranks)):
            sent = whole[:, NUMBERS.index(key)]
            if (sent == wanted).all():
                continue
            tile = int(np.argmax(sent != wanted))
            if key == b"ranks":
                raise ParslflowError(
                    f"The data set '{time.names[tile]}' says that there are {sent[tile]} ranks, "
                    f"but the first one said {wanted}."
                )
            i, j = (whole[tile, NUMBERS.index(extent)] for extent in (b"ieg", b"jeg"))
            raise UsageError(
                f"{self._file}: the base data are of {nx} by {ny} cells, but the run sends {i} by "
                f"{j}: prepare base data of the same grid."
            )

    def _members(self, day: float) -> tuple[Samples, int]:
        """The samples of the withheld cluster at one time, and how many there were of any."""
        clusters = self._clusters
        fields = self._fields.astype(np.float64, copy=False)
        smooth(
            fields[: len(SMOOTHED)],
            clusters.dx,
            clusters.filter_scale,
            out=self._smoothed,
            threads=self._threads,
        )
        features, eke, j, i, seen = members(
            self._smoothed,
            fields[FIELDS.index("Rd_dx")],
            fields[FIELDS.index("KE_vert_sum")],
            clusters.mke,
            clusters.dx / clusters.filter_scale,
            clusters.rv_offset,
            clusters.mean,
            clusters.std,
            clusters.centres,
            clusters.withheld,
            clusters.wall_rows,
            self._threads,
        )
        n = len(eke)
        samples = Samples(
            features=features,
            eke=eke,
            cluster=np.full(n, clusters.withheld, dtype=np.int32),
            day=np.full(n, day),
            j=j,
            i=i,
            run=np.zeros(n, dtype=np.int32),
            runs=(self._run,),
        )
        return samples, seen
