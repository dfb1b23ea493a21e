"""A batch: the samples file of all that was kept of one simulation."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path

from parslflow.learning import hdf5
from parslflow.learning.samples import Samples
from parslflow.learning.samples import SamplesWriter
from parslflow.records import Value


def write_batch(
    path: Path, run: str, parts: Iterable[Samples], attributes: Mapping[str, Value]
) -> None:
    """Write the samples of one time after the other, in memory a chunk of the file.

    Args:
        path: The file, which appears when it is whole.
        run: The name of the simulation.
        parts: The samples of each time.
        attributes: Of the file.
    """
    with hdf5.create(path, "samples") as file:
        writer = SamplesWriter(file, run)
        for samples in parts:
            writer.append(samples)
        writer.flush()
        file.attrs.update(attributes)
