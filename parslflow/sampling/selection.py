"""From the global fields of one model time to its samples that are new to the networks."""

from __future__ import annotations

import numpy as np

from parslflow._ext.membership import members
from parslflow.learning.clusters import Clusters
from parslflow.learning.samples import Samples
from parslflow.sampling.assembly import GlobalFields
from parslflow.sampling.features import FIELDS
from parslflow.sampling.features import SMOOTHED
from parslflow.sampling.features import smooth


class Selection:
    """Finds the samples of the withheld cluster, in arrays that serve for all times.

    Args:
        clusters: The definitions of the base data.
        run: The name of the simulation.
        threads: How many threads work.
    """

    def __init__(self, clusters: Clusters, run: str, threads: int) -> None:
        self._clusters = clusters
        self._run = run
        self._threads = threads
        self._smoothed = np.empty((len(SMOOTHED), *clusters.mke.shape))
        land = np.isnan(clusters.mke)
        self._land = land if land.any() else None

    def flaw(self, fields: GlobalFields) -> str:
        """Why a time is rejected: a field that is not finite where the base data are; or nothing.

        A single such cell tells that the simulation breaks down, and the filter would take it for
        land.
        """
        for name, values in zip(FIELDS, fields.values, strict=True):
            finite = np.isfinite(values)
            if self._land is not None:
                finite |= self._land
            if not finite.all():
                j, i = np.argwhere(~finite)[0]
                return f"{name} is {values[j, i]:g} at j = {j}, i = {i}"
        return ""

    def of(self, fields: GlobalFields) -> tuple[Samples, int]:
        """The samples of the withheld cluster at one time, and how many there were of any."""
        clusters = self._clusters
        smooth(
            fields.values[: len(SMOOTHED)],
            clusters.dx,
            clusters.filter_scale,
            out=self._smoothed,
            threads=self._threads,
        )
        features, eke, j, i, seen = members(
            self._smoothed,
            fields.values[FIELDS.index("Rd_dx")],
            fields.values[FIELDS.index("KE_vert_sum")],
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
            day=np.full(n, fields.day),
            j=j,
            i=i,
            run=np.zeros(n, dtype=np.int32),
            runs=(self._run,),
        )
        return samples, seen
