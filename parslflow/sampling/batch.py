"""A batch: the samples file that grows while the simulation runs."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py

from parslflow.learning import hdf5
from parslflow.learning.samples import COLUMNS
from parslflow.learning.samples import Samples
from parslflow.learning.samples import SamplesWriter
from parslflow.records import Value
from parslflow.rundir import atomic_path


class Batch:
    """The samples of one time after the other.

    Args:
        file: An open HDF5 file.
        run: The name of the simulation.
    """

    def __init__(self, file: h5py.File, run: str) -> None:
        self.file = file
        self.run = run
        self._writer = SamplesWriter(file, run)
        self._parts: list[tuple[str, int, int]] = []

    def __len__(self) -> int:
        return len(self._writer)

    @property
    def times(self) -> int:
        """How many times there are."""
        return len(self._parts)

    @property
    def in_order(self) -> bool:
        """Whether the times came in their order."""
        return self._parts == sorted(self._parts)

    def append(self, stamp: str, samples: Samples) -> None:
        """Add the samples of the time ``stamp``."""
        start = len(self)
        self._writer.append(samples)
        self._parts.append((stamp, start, len(self)))

    def flush(self) -> None:
        """Write to the file what is not yet in it."""
        self._writer.flush()

    def describe(self, attributes: Mapping[str, Value]) -> None:
        """Set attributes of the file."""
        self.file.attrs.update(attributes)

    def copy_in_order(self, source: h5py.File, target: h5py.File) -> None:
        """Write the samples of the file ``source``, which is closed here, in the order of time."""
        writer = SamplesWriter(target, self.run)
        for _, start, end in sorted(self._parts):
            columns = {column: source[column][start:end] for column in ("features", *COLUMNS)}
            writer.append(Samples(runs=(self.run,), **columns))
        writer.flush()
        target.attrs.update(source.attrs)


@contextmanager
def new_batch(path: Path, run: str) -> Iterator[Batch]:
    """Yield a batch whose file appears at ``path`` when the block succeeds.

    It has the samples in the order of time, in whatever order the times became whole, so that it
    does not depend on the ranks' pace.
    """
    with atomic_path(path) as temporary:
        with hdf5.new(temporary, "samples") as file:
            batch = Batch(file, run)
            yield batch
            batch.flush()
        if not batch.in_order:
            with (
                atomic_path(temporary) as ordered,
                hdf5.new(ordered, "samples") as target,
                h5py.File(temporary) as source,
            ):
                batch.copy_in_order(source, target)
