"""The sampling stage: of all that a running simulation sends, keep what is new to the networks."""

from __future__ import annotations

from pathlib import Path

from pydantic import NonNegativeInt
from pydantic import PositiveInt

from parslflow.errors import ParslflowError
from parslflow.learning.clusters import Clusters
from parslflow.provenance import events
from parslflow.records import Artifact
from parslflow.records import Inputs
from parslflow.records import Record
from parslflow.records import Report
from parslflow.records import Value
from parslflow.sampling.ahead import Ahead
from parslflow.sampling.assembly import Assembly
from parslflow.sampling.batch import write_batch
from parslflow.sampling.drain import Drain
from parslflow.sampling.features import FIELDS
from parslflow.sampling.kept import Kept
from parslflow.sampling.kept import are_batched
from parslflow.sampling.kept import kept_path
from parslflow.sampling.kept import open_kept
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
        outputs: The batches that are written, samples files, one for each of the samplers that
            share the days of this simulation.
        time_limit_s: Seconds without anything new after which the simulation is taken for stuck.
        threads: Threads that work on a time while another one reads the next.
        sampler: Which of them it is, from 0.
    """

    address_file: Path
    stream: Path
    clusters: Path
    outputs: tuple[Path, ...]
    time_limit_s: float
    threads: PositiveInt = 1
    sampler: NonNegativeInt = 0

    @property
    def output(self) -> Path:
        """The batch that this sampler writes."""
        return self.outputs[self.sampler]


def sample(inputs: SampleInputs, report: Report) -> Record:
    """Keep the samples of the withheld cluster from all times of this sampler's share.

    Ends when the simulation has said that it ended and all its times are sampled. Memory holds the
    replies of one time, the fields of two, and the samples of a chunk of the file.

    What an earlier sampler of the same simulation kept before it was killed is not sampled again.
    Of a time with a field that is not finite nothing is kept.

    Raises:
        UsageError: The clusters file is unusable, or was made on another grid.
        ParslflowError: The simulation died, is stuck, or left a time incomplete; or a tile is
            wrong.
    """
    clusters = Clusters.load(inputs.clusters)
    stream = Stream.load(inputs.stream)
    about = {"run": stream.run, "stream": stream.inputs, "clusters": clusters.id}
    with open_kept(kept_path(inputs.output), about) as kept:
        # What a simulation that goes on sends again is taken until nobody needs it any more.
        if not are_batched(inputs.outputs, stream.inputs):
            _sample(inputs, clusters, stream, kept, report)
        metrics: dict[str, Value] = {
            "times": kept.times,
            "seen": kept.seen,
            "kept": len(kept),
            "rejected": len(kept.flaws),
        }
    return Record(
        read=(Artifact(inputs.stream, "dataset"), Artifact(inputs.clusters, "dataset")),
        wrote=(
            Artifact(
                inputs.output,
                "dataset",
                {"clusters": clusters.id, "run": stream.run, "samples": metrics["kept"]},
            ),
        ),
        metrics=metrics,
    )


def _sample(
    inputs: SampleInputs, clusters: Clusters, stream: Stream, kept: Kept, report: Report
) -> None:
    """Take what comes, and write the batch of it and of what was kept already."""
    assembly = Assembly(clusters.mke, inputs.clusters, IN_FLIGHT, inputs.threads)
    selection = Selection(clusters, stream.run, inputs.threads)
    share = Share(inputs.sampler, len(inputs.outputs))
    with (
        StoreClient.from_address_file(inputs.address_file, keyspace=stream.keyspace) as store,
        Drain(
            store, stream.list, stream.run, FIELDS, inputs.time_limit_s, kept.stamps, share
        ) as drain,
        Ahead(assembly.each(drain), IN_FLIGHT, drain.close) as times,
    ):
        for fields in times:
            if flaw := selection.flaw(fields):
                kept.reject(fields.stamp, flaw)
                report("rejected", day=fields.day, flaw=flaw)
            else:
                samples, seen = selection.of(fields)
                kept.append(fields.stamp, samples, seen)
            drain.release(fields.stamp, fields.names, fields.tensors)
            report("time", day=fields.day, times=kept.times, seen=kept.seen, kept=len(kept))
        if not kept.times:
            raise ParslflowError(
                f"The run '{stream.run}' ended without sending any time: let it run for at least "
                "one interval of its stream."
            )
        if not kept.batch:
            attributes: dict[str, Value] = {
                "clusters": clusters.id,
                "run": stream.run,
                "times": kept.times,
                "rejected": len(kept.flaws),
                "filter_scale": clusters.filter_scale,
            }
            write_batch(inputs.output, stream.run, kept.in_order(), attributes)
            kept.finish(events.sha256(inputs.output))
