"""Stage: a simulation's daily fields become the base samples and the clusters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic import NonNegativeInt
from pydantic import PositiveFloat

from parslflow.errors import UsageError
from parslflow.learning.clusters import Clusters
from parslflow.learning.clusters import compress
from parslflow.learning.clusters import rv_offset
from parslflow.learning.samples import FEATURES
from parslflow.learning.samples import Samples
from parslflow.learning.samples import write_samples
from parslflow.records import Artifact
from parslflow.records import Inputs
from parslflow.records import Record
from parslflow.records import Report
from parslflow.sampling.features import FIELDS
from parslflow.sampling.features import features

DECIMALS = 9
"""To which the centres are rounded, in standard deviations."""

FIT_ROWS = 200_000
"""K-means is fitted to at most so many rows; the centres hardly move with more."""

RESTARTS = 4
"""K-means starts from so many random sets of centres and keeps the best."""


class PrepareInputs(Inputs):
    """The inputs of ``prepare``."""

    daily: Path
    """NetCDF-4 file of the simulation: ``FIELDS`` (time, yh, xh), and time, xh, yh."""
    run: str
    """Name of the simulation."""
    filter_scale: PositiveFloat
    """Width of the Gaussian filter, m."""
    wall_rows: NonNegativeInt
    """Rows left out at each wall."""
    clusters: Annotated[int, Field(ge=2)]
    seed: NonNegativeInt
    samples: Path
    """Where the base samples go."""
    clusters_file: Path
    """Where the clusters go."""


@dataclass(frozen=True)
class Fields:
    """What is read of a daily file.

    Attributes:
        day: (nt,) days since the start of the case.
        dx: Grid spacing, m.
        values: Each of ``FIELDS`` (nt, ny, nx).
    """

    day: NDArray[np.float64]
    dx: float
    values: dict[str, NDArray[np.float64]]


def prepare(inputs: PrepareInputs, report: Report) -> Record:
    """Make base samples of all clusters, and the definitions that all later stages use.

    The target of each sample is EKE = max(0, KE_vert_sum - MKE), where the MKE is the time mean of
    the filtered KE_vert_sum. Cells without EKE are left out, as are the rows next to the walls. The
    cluster whose centre has the largest relative vorticity is the withheld one.

    Raises:
        UsageError: The file is missing, damaged, lacks a variable or is too small.
    """
    fields = read_daily(inputs.daily)
    ny = fields.values["Rd_dx"].shape[1]
    if ny <= 2 * inputs.wall_rows:
        raise UsageError(
            f"{inputs.daily} has {ny} rows, of which 'wall_rows' = {inputs.wall_rows} at each wall "
            "leaves none: choose fewer wall rows."
        )
    smoothed = daily_features(fields, inputs.filter_scale, report)
    mke = smoothed[..., 0].mean(axis=0)

    samples = rows_with_eke(fields, smoothed, mke, inputs.wall_rows, inputs.run)
    if len(samples) < inputs.clusters:
        raise UsageError(
            f"{inputs.daily} gives {len(samples)} samples with EKE, too few for 'clusters' = "
            f"{inputs.clusters}: run the simulation for more days, or from a turbulent state."
        )
    clusters = _clusters(inputs, fields.dx, samples, mke)
    cluster = clusters.assign(samples.features)
    samples = Samples(**{**vars(samples), "cluster": cluster})

    clusters.save(inputs.clusters_file)
    write_samples(
        inputs.samples,
        samples,
        {"clusters": clusters.id, "run": inputs.run, "days": len(fields.day), "seed": inputs.seed},
    )
    counts = np.bincount(cluster, minlength=inputs.clusters)
    metrics = {
        "samples": len(samples),
        "withheld_samples": int(counts[clusters.withheld]),
        "clusters": inputs.clusters,
        "withheld": clusters.withheld,
        "days": len(fields.day),
        "eke_mean": float(samples.eke.mean()),
        "target_variance": float(np.log1p(samples.eke).var()),
    }
    return Record(
        read=(Artifact(inputs.daily, "dataset", {"run": inputs.run}),),
        wrote=(
            Artifact(inputs.samples, "dataset", {"samples": len(samples), "clusters": clusters.id}),
            Artifact(
                inputs.clusters_file,
                "dataset",
                {"clusters": clusters.id, "withheld": clusters.withheld},
            ),
        ),
        metrics=dict(metrics),
    )


def read_daily(path: Path) -> Fields:
    """Read the fields that features are made of.

    Raises:
        UsageError: The file is missing, damaged, or lacks a variable, or its cells are not square.
    """
    if not path.is_file():
        raise UsageError(f"{path} does not exist: give the daily output of the simulation.")
    try:
        with h5py.File(path, "r") as file:
            for name in (*FIELDS, "time", "xh", "yh"):
                if name not in file:
                    raise UsageError(
                        f"{path} has no variable '{name}': give the daily output of the simulation."
                    )
            read: dict[str, NDArray[np.float64]] = {
                name: file[name][()].astype(np.float64) for name in (*FIELDS, "time", "xh", "yh")
            }
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error}): run the simulation again.") from error
    day, xh, yh = read.pop("time"), read.pop("xh"), read.pop("yh")
    for name, values in read.items():
        if values.shape != (len(day), len(yh), len(xh)) or 0 in values.shape:
            raise UsageError(
                f"{path}: '{name}' has the shape {values.shape} where (time, yh, xh) is "
                f"({len(day)}, {len(yh)}, {len(xh)}): run the simulation again."
            )
    spacings = np.concatenate([np.diff(xh), np.diff(yh)])
    if not len(spacings) or spacings.min() <= 0 or np.ptp(spacings) > 1e-6 * spacings.min():
        raise UsageError(f"{path}: 'xh' and 'yh' are not evenly spaced in m: use square cells.")
    return Fields(day, float(spacings.mean()), read)


def daily_features(fields: Fields, filter_scale: float, report: Report) -> NDArray[np.float64]:
    """The features (nt, ny, nx, 4) of every cell and day, columns as ``FEATURES``."""
    days = len(fields.day)
    smoothed = np.empty((*fields.values["Rd_dx"].shape, len(FEATURES)))
    for day in range(days):
        at_day = {name: values[day] for name, values in fields.values.items()}
        smoothed[day] = features(at_day, fields.dx, filter_scale)
        report("day", day=day + 1, days=days)
    return smoothed


def rows_with_eke(
    fields: Fields,
    smoothed: NDArray[np.float64],
    mke: NDArray[np.float64],
    wall_rows: int,
    run: str,
) -> Samples:
    """The samples with EKE, not yet assigned to clusters, ordered by day, row, column.

    Args:
        fields: what was read of a daily file.
        smoothed: (nt, ny, nx, 4) its features.
        mke: (ny, nx) time mean of the filtered KE_vert_sum, m3/s2.
        wall_rows: rows left out at each wall.
        run: name of the simulation.
    """
    eke = np.maximum(fields.values["KE_vert_sum"] - mke, 0)
    # A NaN compares false, so land drops out here too.
    keep = (np.log1p(eke) > 0) & ~np.isnan(smoothed).any(axis=-1)
    keep[:, :wall_rows] = False
    keep[:, keep.shape[1] - wall_rows :] = False
    time, j, i = np.nonzero(keep)
    unknown = np.full(len(time), -1, dtype=np.int32)
    return Samples(
        features=smoothed[keep],
        eke=eke[keep],
        cluster=unknown,
        day=fields.day[time],
        j=j.astype(np.int32),
        i=i.astype(np.int32),
        run=np.zeros(len(time), dtype=np.int32),
        runs=(run,),
    )


def _clusters(
    inputs: PrepareInputs, dx: float, samples: Samples, mke: NDArray[np.float64]
) -> Clusters:
    """Transform, K-means centres and the withheld cluster of the base samples."""
    # Here, since the driver imports this module for its inputs and needs no scikit-learn.
    from sklearn.cluster import KMeans

    if not samples.features[:, 1].any():
        raise UsageError(f"{inputs.daily}: 'RV_vert_avg' is 0: start from a state that moves.")
    offset = rv_offset(samples.features[:, 1])
    compressed = compress(samples.features, offset)
    mean, std = compressed.mean(axis=0), compressed.std(axis=0)
    for name, spread in zip(FEATURES, std, strict=True):
        if not spread > 0:
            raise UsageError(
                f"{inputs.daily}: the feature '{name}' is the same everywhere: start from a "
                "turbulent state."
            )
    points = (compressed - mean) / std
    if len(points) > FIT_ROWS:
        rows = np.random.default_rng(inputs.seed).choice(len(points), FIT_ROWS, replace=False)
        points = points[rows]
    # scikit-learn takes 32 bits of seed.
    fit: Any = KMeans(inputs.clusters, n_init=RESTARTS, random_state=inputs.seed % 2**32)
    # The last digits are of chance: they change with where arrays lie in memory, and with threads.
    centres: NDArray[np.float64] = fit.fit(points).cluster_centers_.round(DECIMALS)
    return Clusters(
        rv_offset=offset,
        mean=mean,
        std=std,
        centres=centres,
        # The transform keeps the order, so the largest here is the largest in m/s.
        withheld=int(centres[:, 1].argmax()),
        mke=mke,
        filter_scale=inputs.filter_scale,
        dx=dx,
        wall_rows=inputs.wall_rows,
    )
