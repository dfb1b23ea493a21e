"""The sampling stage: of all that a running simulation sends, keep what is new to the networks."""

from __future__ import annotations

from pathlib import Path

from pydantic import NonNegativeInt
from pydantic import PositiveInt

from parslflow.errors import ParslflowError
from parslflow.learning.clusters import Clusters
from parslflow.records import Artifact
from parslflow.records import Inputs
from parslflow.records import Record
from parslflow.records import Report
from parslflow.sampling.ahead import Ahead
from parslflow.sampling.assembly import Assembly
from parslflow.sampling.batch import new_batch
from parslflow.sampling.drain import Drain
from parslflow.sampling.features import FIELDS
from parslflow.sampling.selection import Selection
from parslflow.store.client import StoreClient
from parslflow.store.sharing import Share
from parslflow.store.stream import Stream

IN_FLIGHT = 2
"""Times at once: while one is worked on, the next is read."""


class SampleInputs(Inputs):
    """What `sample` needs.

    Attributes:
        address_file: Where the store says how to reach it.
        stream: The file that the simulation writes when it starts: which list, which run.
        clusters: The clusters file of the base data.
        output: The batch that is written, a samples file.
        time_limit_s: Seconds without anything new after which the simulation is taken for stuck.
        threads: Threads that work on a time while another one reads the next.
        sampler: Which of the samplers of this simulation it is, from 0.
        samplers: How many there are; they share its days.
    """

    address_file: Path
    stream: Path
    clusters: Path
    output: Path
    time_limit_s: float
    threads: PositiveInt = 1
    sampler: NonNegativeInt = 0
    samplers: PositiveInt = 1


def sample(inputs: SampleInputs, report: Report) -> Record:
    """Keep the samples of the withheld cluster from all times of this sampler's share.

    Ends when the simulation has said that it ended and all its times are sampled. Memory holds the
    replies of one time, the fields of two, and the samples of a chunk of the file.

    Raises:
        UsageError: The clusters file is unusable, or was made on another grid.
        ParslflowError: The simulation died, is stuck, or left a time incomplete; or a tile is
            wrong.
    """
    clusters = Clusters.load(inputs.clusters)
    stream = Stream.load(inputs.stream, inputs.time_limit_s)
    assembly = Assembly(clusters.mke, inputs.clusters, IN_FLIGHT, inputs.threads)
    selection = Selection(clusters, stream.run, inputs.threads)
    share = Share(inputs.sampler, inputs.samplers)
    seen = 0
    with (
        StoreClient.from_address_file(inputs.address_file) as store,
        new_batch(inputs.output, stream.run) as batch,
        Drain(store, stream.list, stream.run, FIELDS, inputs.time_limit_s, share) as drain,
        Ahead(assembly.each(drain), IN_FLIGHT, drain.close) as times,
    ):
        for fields in times:
            samples, seen_now = selection.of(fields)
            batch.append(fields.stamp, samples)
            drain.release(fields.names, fields.tensors)
            seen += seen_now
            report("time", day=fields.day, times=batch.times, seen=seen, kept=len(batch))
        if not batch.times:
            raise ParslflowError(
                f"The run '{stream.run}' ended without sending any time: let it run for at least "
                "one interval of its stream."
            )
        batch.describe(
            {
                "clusters": clusters.id,
                "run": stream.run,
                "times": batch.times,
                "filter_scale": clusters.filter_scale,
            }
        )
        metrics = {"times": batch.times, "seen": seen, "kept": len(batch)}
    return Record(
        read=(Artifact(inputs.stream, "dataset"), Artifact(inputs.clusters, "dataset")),
        wrote=(
            Artifact(
                inputs.output,
                "dataset",
                {"clusters": clusters.id, "run": stream.run, "samples": metrics["kept"]},
            ),
        ),
        metrics=dict(metrics),
    )
