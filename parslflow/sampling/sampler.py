"""The sampling stage: of all that a running simulation sends, keep what is new to the networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parslflow._ext.membership import members
from parslflow._ext.tiles import assemble
from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.learning.clusters import Clusters
from parslflow.learning.samples import Samples
from parslflow.learning.samples import write_samples
from parslflow.records import Artifact
from parslflow.records import Inputs
from parslflow.records import Record
from parslflow.records import Report
from parslflow.sampling.drain import Drain
from parslflow.sampling.drain import ModelTime
from parslflow.sampling.drain import Tile
from parslflow.sampling.features import FIELDS
from parslflow.sampling.features import features
from parslflow.store.client import StoreClient
from parslflow.store.stream import Stream

BOUNDS = ("rank", "idg_offset", "jdg_offset", "isc", "iec", "jsc", "jec")
"""The metadata that say where a tile lies, in the order that ``tiles.assemble`` takes them."""


class SampleInputs(Inputs):
    """What `sample` needs.

    Attributes:
        address_file: Where the store says how to reach it.
        stream: The file that the simulation writes when it starts: which list, which run.
        clusters: The clusters file of the base data.
        output: The batch that is written, a samples file.
        time_limit_s: Seconds without anything new after which the simulation is taken for stuck.
    """

    address_file: Path
    stream: Path
    clusters: Path
    output: Path
    time_limit_s: float


def sample(inputs: SampleInputs, report: Report) -> Record:
    """Keep the samples of the withheld cluster from all times that the simulation sends.

    Ends when the simulation has said that it ended and all its times are sampled. Memory holds one
    time's fields and the samples kept so far.

    Raises:
        UsageError: The clusters file is unusable, or was made on another grid.
        ParslflowError: The simulation died, is stuck, or left a time incomplete; or a tile is
            wrong.
    """
    clusters = Clusters.load(inputs.clusters)
    ny, nx = clusters.mke.shape
    stream = Stream.load(inputs.stream, inputs.time_limit_s)
    fields = np.empty((len(FIELDS), ny, nx))
    kept: dict[str, Samples] = {}
    seen = rows = 0
    with StoreClient.from_address_file(inputs.address_file) as store:
        for time in Drain(store, stream.list, stream.run, FIELDS, inputs.time_limit_s):
            _check_grid(time, inputs.clusters, (ny, nx))
            _fill(fields, time)
            kept[time.stamp], seen_now = _keep(fields, clusters, time.day, stream.run)
            seen += seen_now
            rows += len(kept[time.stamp])
            report("time", day=time.day, times=len(kept), seen=seen, kept=rows)
    if not kept:
        raise ParslflowError(
            f"The run '{stream.run}' ended without sending any time: let it run for at least one "
            "interval of its stream."
        )
    # By time, and not as they became whole, so that a batch does not depend on the ranks' pace.
    batch = Samples.concatenate([kept[stamp] for stamp in sorted(kept)])
    write_samples(
        inputs.output,
        batch,
        {
            "clusters": clusters.id,
            "run": stream.run,
            "times": len(kept),
            "filter_scale": clusters.filter_scale,
        },
    )
    return Record(
        read=(Artifact(inputs.stream, "dataset"), Artifact(inputs.clusters, "dataset")),
        wrote=(
            Artifact(
                inputs.output,
                "dataset",
                {"clusters": clusters.id, "run": stream.run, "samples": rows},
            ),
        ),
        metrics={"times": len(kept), "seen": seen, "kept": rows},
    )


def _check_grid(time: ModelTime, clusters: Path, shape: tuple[int, int]) -> None:
    """The simulation's grid is that of the clusters' mean kinetic energy."""
    tile = time.tiles[0]
    sent = (tile.integer("jeg"), tile.integer("ieg"))
    if sent != shape:
        raise UsageError(
            f"{clusters}: the base data are of {shape[1]} by {shape[0]} cells, but the run sends "
            f"{sent[1]} by {sent[0]}: prepare base data of the same grid."
        )


def _fill(fields: NDArray[np.float64], time: ModelTime) -> None:
    """The global fields (fields, ny, nx) of a time, from its tiles."""
    for tile in time.tiles:
        _check_tensors(tile)
    bounds = np.array(
        [(*(tile.integer(key) for key in BOUNDS), *tile.tensors[0].shape) for tile in time.tiles],
        dtype=np.intc,
    )
    raw = [[tensor.data for tensor in tile.tensors] for tile in time.tiles]
    try:
        assemble(fields, bounds, raw, FIELDS, time.ranks, "ij")
    except ValueError as error:
        raise ParslflowError(f"The time {time.stamp} cannot be put together: {error}") from error


def _check_tensors(tile: Tile) -> None:
    """The bytes of a tile's tensors may be taken for doubles of one two-dimensional shape."""
    shape = tile.tensors[0].shape
    for field, tensor in zip(FIELDS, tile.tensors, strict=True):
        if tensor.dtype != np.float64 or len(shape) != 2 or tensor.shape != shape:
            raise ParslflowError(
                f"The data set '{tile.name}' has '{field}' of type {tensor.dtype} and shape "
                f"{tensor.shape}: send all fields as doubles, of the tile's two extents."
            )


def _keep(
    fields: NDArray[np.float64], clusters: Clusters, day: float, run: str
) -> tuple[Samples, int]:
    """The samples of the withheld cluster at one time, and how many there were of any cluster."""
    kinetic_energy = fields[FIELDS.index("KE_vert_sum")]
    of_features, eke, origin, seen = members(
        features(dict(zip(FIELDS, fields, strict=True)), clusters.dx, clusters.filter_scale),
        np.maximum(kinetic_energy - clusters.mke, 0.0),
        clusters.rv_offset,
        clusters.mean,
        clusters.std,
        clusters.centres,
        clusters.withheld,
        clusters.wall_rows,
    )
    n = len(eke)
    samples = Samples(
        features=of_features,
        eke=eke,
        cluster=np.full(n, clusters.withheld, dtype=np.int32),
        day=np.full(n, day),
        j=origin[:, 0],
        i=origin[:, 1],
        run=np.zeros(n, dtype=np.int32),
        runs=(run,),
    )
    return samples, seen
