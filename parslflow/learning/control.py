"""Stage: as many random rows of a simulation's days as the sampler kept, to compare its choice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import NonNegativeInt

from parslflow.errors import UsageError
from parslflow.learning.assemble import RANDOM
from parslflow.learning.assemble import read_of_clusters
from parslflow.learning.clusters import Clusters
from parslflow.learning.prepare import daily_features
from parslflow.learning.prepare import read_daily
from parslflow.learning.prepare import rows_with_eke
from parslflow.learning.samples import Samples
from parslflow.learning.samples import read_attributes
from parslflow.learning.samples import write_samples
from parslflow.records import Artifact
from parslflow.records import Inputs
from parslflow.records import Record
from parslflow.records import Report
from parslflow.records import Value


class DrawRandomInputs(Inputs):
    """The inputs of ``draw_random``."""

    daily: Path
    """Daily output of the simulation that streamed."""
    run: str
    """Name of the simulation."""
    batches: list[Path]
    """What the samplers kept of it, which shared its days."""
    clusters_file: Path
    seed: NonNegativeInt
    output: Path


def draw_random(inputs: DrawRandomInputs, report: Report) -> Record:
    """Draw as many rows as the batches have from all days of its simulation, none of them twice.

    Features, EKE and the rows that are left out are those of the base data, with their MKE. The
    rows are of all clusters, in the shares that they have in the simulation.

    Raises:
        UsageError: A file is missing or damaged, or they do not go with one another.
    """
    clusters = Clusters.load(inputs.clusters_file)
    kept = sum(
        len(read_of_clusters(path, clusters, inputs.clusters_file)) for path in inputs.batches
    )
    times = sum(int(read_attributes(path).get("times", 0)) for path in inputs.batches)
    files = " and ".join(map(str, inputs.batches))
    fields = read_daily(inputs.daily)
    if fields.values["Rd_dx"].shape[1:] != clusters.mke.shape:
        raise UsageError(
            f"{inputs.daily} is on another grid than {inputs.clusters_file}: give files of one run."
        )
    if len(fields.day) != times:
        raise UsageError(
            f"{inputs.daily} has {len(fields.day)} days where {files} was chosen from {times}: "
            "give the output of the simulation that streamed, and all its batches."
        )
    smoothed = daily_features(fields, clusters.filter_scale, report)
    rows = rows_with_eke(fields, smoothed, clusters.mke, clusters.wall_rows, inputs.run)
    if len(rows) < kept:
        raise UsageError(
            f"{inputs.daily} has {len(rows)} rows with EKE, fewer than the {kept} of {files}: "
            "give the output of the simulation that streamed."
        )
    chosen = np.random.default_rng(inputs.seed).choice(len(rows), kept, replace=False)
    chosen.sort()
    drawn = rows.take(chosen)
    drawn = Samples(**{**vars(drawn), "cluster": clusters.assign(drawn.features)})
    properties: dict[str, Value] = {
        "clusters": clusters.id,
        "run": inputs.run,
        "draw": RANDOM,
        "seed": inputs.seed,
    }
    write_samples(inputs.output, drawn, properties)
    return Record(
        read=tuple(
            Artifact(path, "dataset")
            for path in (inputs.daily, *inputs.batches, inputs.clusters_file)
        ),
        wrote=(Artifact(inputs.output, "dataset", {**properties, "samples": kept}),),
        metrics={
            "rows": len(rows),
            "drawn": kept,
            "withheld_rows": int((drawn.cluster == clusters.withheld).sum()),
        },
    )
