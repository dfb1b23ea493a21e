"""From the replies of the store to the global fields of a model time."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parslflow._ext import replies
from parslflow._ext.tiles import assemble_bytes
from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.sampling.drain import ModelTime
from parslflow.sampling.features import FIELDS

BOUNDS = (b"rank", b"idg_offset", b"jdg_offset", b"isc", b"iec", b"jsc", b"jec")
"""The metadata that say where a tile lies, in the order that ``assemble_bytes`` takes them."""

NUMBERS = (*BOUNDS, b"ieg", b"jeg", b"ranks", b"day")
"""All the metadata of a tile that are read."""


@dataclass(frozen=True)
class GlobalFields:
    """The fields of one model time.

    Attributes:
        stamp: Sorts by time.
        day: Model day of the run's case.
        values: (fields, ny, nx), ``FIELDS``; NaN on land that has no rank.
        names: The data sets that they were made of.
        tensors: For each of those the blob of the names of its tensors.
    """

    stamp: str
    day: float
    values: NDArray[np.float64]
    names: list[str]
    tensors: list[bytes | None]


class Assembly:
    """Puts tiles together, in arrays that serve for all times.

    Args:
        mke: (ny, nx) of the base data, whose grid is wanted; NaN on land.
        clusters_file: The file that it is from, for messages.
        arrays: How many times' fields there may be at a time.
        threads: How many threads copy.
    """

    def __init__(
        self, mke: NDArray[np.float64], clusters_file: Path, arrays: int, threads: int
    ) -> None:
        land = np.isnan(mke)
        self._land = land if land.any() else None
        self._file = clusters_file
        self._arrays = [np.empty((len(FIELDS), *mke.shape)) for _ in range(arrays)]
        self._threads = threads

    def each(self, times: Iterable[ModelTime]) -> Iterator[GlobalFields]:
        """The fields of each time, which are overwritten when ``arrays`` more are asked for.

        Raises:
            UsageError: The run's grid is not that of the base data.
            ParslflowError: A tile is missing, doubled or wrong.
        """
        for n, time in enumerate(times):
            yield self._fields(time, self._arrays[n % len(self._arrays)])

    def _fields(self, time: ModelTime, out: NDArray[np.float64]) -> GlobalFields:
        try:
            numbers, extents, offsets, kind, tensors = replies.tiles(
                time.replies.data,
                time.replies.start,
                time.replies.end,
                time.names,
                NUMBERS,
                FIELDS,
            )
        except ValueError as error:
            raise ParslflowError(f"The time {time.stamp} cannot be read: {error}") from error
        whole = self._whole_numbers(time, numbers)
        self._check_grid(time, whole, out.shape[1:])
        bounds = np.concatenate([whole[:, : len(BOUNDS)], extents], axis=1, dtype=np.intc)
        sent = out if kind == "DOUBLE" else np.empty(out.shape, np.float32)
        try:
            assemble_bytes(
                sent[None],
                bounds[None],
                time.replies.data,
                offsets[None],
                FIELDS,
                time.ranks,
                "ij",
                self._land,
                self._threads,
            )
        except ValueError as error:
            raise ParslflowError(
                f"The time {time.stamp} cannot be put together: {error}"
            ) from error
        if sent is not out:
            out[...] = sent
        day = float(numbers[0, NUMBERS.index(b"day")])
        return GlobalFields(time.stamp, day, out, time.names, tensors)

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

    def _check_grid(self, time: ModelTime, whole: NDArray[np.intc], shape: tuple[int, ...]) -> None:
        """Every tile is of the grid of the base data, and of as many ranks."""
        ny, nx = shape
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
