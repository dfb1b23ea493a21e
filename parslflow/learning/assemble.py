"""Stage: base samples and new batches become a training set, drawn evenly from the clusters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt
from pydantic import PositiveInt

from parslflow.errors import UsageError
from parslflow.learning import hdf5
from parslflow.learning.clusters import Clusters
from parslflow.learning.samples import Samples
from parslflow.learning.samples import read_attributes
from parslflow.learning.samples import read_samples
from parslflow.records import Artifact
from parslflow.records import Inputs
from parslflow.records import Record
from parslflow.records import Report
from parslflow.records import Value

PARTS = ("train", "validation", "held", "test")
"""The parts of a training set, by their number in its data set ``split``.

``held`` is for the loss on known clusters; ``test`` is the withheld cluster of the base data.
"""

SHARES = (0.8, 0.9)
"""Where the drawn rows are cut into train, validation and held."""

RANDOM = "random"
"""The attribute ``draw`` of a samples file whose rows were drawn at random from all clusters."""

FEWEST = 20
"""Rows below which a split makes no sense."""


class AssembleInputs(Inputs):
    """The inputs of ``assemble``."""

    base: Path
    """The base samples, of all clusters."""
    batches: list[Path]
    """Samples files that were generated since: of the withheld cluster, or random draws, which say
    so in their attribute ``draw``."""
    clusters_file: Path
    rows: PositiveInt
    """Rows to draw for train, validation and held together; fewer if there are not as many."""
    seed: NonNegativeInt
    output: Path


@dataclass(frozen=True)
class TrainingSet:
    """Samples, each in one of ``PARTS``.

    Attributes:
        samples: n samples.
        split: (n,) int8, the part of each.
        clusters: Id of the clusters that the samples were assigned to.
    """

    samples: Samples
    split: NDArray[np.int8]
    clusters: str

    def part(self, name: str) -> Samples:
        """The samples of one of ``PARTS``."""
        return self.samples.take(self.split == PARTS.index(name))


def assemble(inputs: AssembleInputs, report: Report) -> Record:
    """Draw a training set and split it.

    The pool is the base data without the withheld cluster, and the batches, which are of the
    withheld cluster or, for a control, drawn at random. The test part is the withheld cluster of
    the base data: never trained on, and the same in every iteration.

    Raises:
        UsageError: A file is missing, damaged or made with other clusters, or holds too few rows.
    """
    clusters = Clusters.load(inputs.clusters_file)
    base = read_of_clusters(inputs.base, clusters, inputs.clusters_file)
    batches = [read_of_clusters(path, clusters, inputs.clusters_file) for path in inputs.batches]
    for path, batch in zip(inputs.batches, batches, strict=True):
        chosen = read_attributes(path).get("draw") != RANDOM
        if chosen and (batch.cluster != clusters.withheld).any():
            raise UsageError(
                f"{path} holds samples outside the withheld cluster {clusters.withheld}: give a "
                "batch of the sampler."
            )
    withheld = base.cluster == clusters.withheld
    test = base.take(withheld)
    pool = Samples.concatenate([base.take(~withheld), *batches])

    random = np.random.default_rng(inputs.seed)
    drawn = pool.take(draw(pool.cluster, inputs.rows, random))
    if len(drawn) < FEWEST or len(test) == 0:
        raise UsageError(
            f"{inputs.base} leaves {len(drawn)} rows to train with and {len(test)} to test with, "
            f"where {FEWEST} and 1 are needed: run the base simulation for more days."
        )
    ends = (np.array(SHARES) * len(drawn)).round()
    split = np.searchsorted(ends, np.arange(len(drawn)), side="right")
    training_set = TrainingSet(
        Samples.concatenate([drawn, test]),
        np.concatenate([split, np.full(len(test), PARTS.index("test"))]).astype(np.int8),
        clusters.id,
    )
    sizes = np.bincount(training_set.split, minlength=len(PARTS))
    properties: dict[str, Value] = {
        "seed": inputs.seed,
        "rows": len(drawn),
        "batches": len(batches),
    }
    write_training_set(inputs.output, training_set, properties)
    for cluster, count in enumerate(np.bincount(drawn.cluster, minlength=len(clusters.centres))):
        report("cluster", cluster=cluster, rows=int(count))
    return Record(
        read=tuple(
            Artifact(path, "dataset")
            for path in (inputs.base, inputs.clusters_file, *inputs.batches)
        ),
        wrote=(Artifact(inputs.output, "dataset", {**properties, "clusters": clusters.id}),),
        metrics={
            "rows": len(drawn),
            "withheld_rows": int((drawn.cluster == clusters.withheld).sum()),
            **{part: int(size) for part, size in zip(PARTS, sizes, strict=True)},
        },
    )


def draw(cluster: NDArray[np.int32], rows: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Indices of ``rows`` samples in random order, as many of each cluster as can be.

    A cluster with less than its share gives all it has, and the others share the rest. Nothing is
    drawn twice, so there are fewer than ``rows`` where there are not as many.
    """
    # Smallest first: what it cannot give is shared among those that follow.
    labels, sizes = np.unique(cluster, return_counts=True)
    order = sizes.argsort(kind="stable")
    chosen: list[NDArray[np.intp]] = []
    left = rows
    for position, (label, size) in enumerate(zip(labels[order], sizes[order], strict=True)):
        count = min(int(size), left // (len(labels) - position))
        chosen.append(random.choice(np.flatnonzero(cluster == label), count, replace=False))
        left -= count
    together = np.concatenate(chosen) if chosen else np.empty(0, dtype=np.intp)
    return random.permutation(together)


def write_training_set(path: Path, training_set: TrainingSet, attributes: dict[str, Value]) -> None:
    """Write a training set: a samples file with one more data set, ``split``."""
    with hdf5.create(path, "training-set") as file:
        file.attrs.update(attributes)
        file.attrs["clusters"] = training_set.clusters
        training_set.samples.put(file)
        file.create_dataset("split", data=training_set.split, **hdf5.FILTERS)


def read_training_set(path: Path) -> TrainingSet:
    """Read a training set.

    Raises:
        UsageError: The file is missing, damaged or no training set.
    """
    with hdf5.read(path, "training-set") as reader:
        samples = Samples.get(reader)
        split = reader.array("split", "i1", len(samples))
        return TrainingSet(samples, split, str(reader.attribute("clusters")))


def read_with_clusters(path: Path, clusters_file: Path) -> tuple[TrainingSet, Clusters]:
    """Read a training set and the clusters that it was made with.

    Raises:
        UsageError: A file is missing or damaged, or they do not go with each other.
    """
    clusters = Clusters.load(clusters_file)
    training_set = read_training_set(path)
    _demand_clusters(path, training_set.clusters, clusters, clusters_file)
    return training_set, clusters


def read_of_clusters(path: Path, clusters: Clusters, clusters_file: Path) -> Samples:
    """Samples that were assigned to these clusters.

    Raises:
        UsageError: The file is missing or damaged, or was made with other clusters.
    """
    _demand_clusters(path, read_attributes(path).get("clusters"), clusters, clusters_file)
    return read_samples(path)


def _demand_clusters(path: Path, found: object, clusters: Clusters, clusters_file: Path) -> None:
    if found != clusters.id:
        raise UsageError(
            f"{path} was made with other clusters than those in {clusters_file}: give files of one "
            "run."
        )
