"""From the replies of a live store to the samples file, against the same in plain Python."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gcm_filters
import h5py
import numpy as np
import redis
import smartredis
import xarray
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from benchmarks.flow import LIST
from benchmarks.flow import Flow
from benchmarks.flow import live_store
from benchmarks.measure import Figure
from benchmarks.measure import duration
from benchmarks.measure import throughput
from parslflow.learning.clusters import Clusters
from parslflow.learning.samples import read_samples
from parslflow.records import Value
from parslflow.sampling.features import FIELDS
from parslflow.sampling.features import SMOOTHED
from parslflow.sampling.sampler import SampleInputs
from parslflow.sampling.sampler import sample
from parslflow.store.server import StoreServer

FLOWS = {24: Flow(4, 6, times=30), 256: Flow(16, 16, times=10)}
RUNS = 5
BOUNDS = ("idg_offset", "jdg_offset", "isc", "iec", "jsc", "jec")

Array = NDArray[np.float64]


def silent(series: str, /, **values: Value) -> None:
    """Nobody listens."""


class Reference:
    """The sampler as it is written today: SmartRedis, NumPy, gcm-filters, scikit-learn, h5py."""

    def __init__(self, server: StoreServer, clusters: Clusters, output: Path) -> None:
        os.environ["SR_LOG_LEVEL"] = "QUIET"
        os.environ["SR_SOCKET_TIMEOUT"] = "60000"
        self._client = smartredis.Client(address=server.address, cluster=False)
        self._clusters = clusters
        self._output = output
        self._filter = gcm_filters.Filter(
            filter_scale=clusters.filter_scale,
            dx_min=clusters.dx,
            filter_shape=gcm_filters.FilterShape.GAUSSIAN,
            grid_type=gcm_filters.GridType.REGULAR,
        )
        self._model = KMeans(len(clusters.centres), n_init=1)
        self._model.fit(clusters.centres)
        self._model.cluster_centers_ = clusters.centres

    def run(self) -> None:
        """All that is on the list, to a file."""
        times: dict[str, list[Any]] = {}
        for raw in self._client.get_datasets_from_list(LIST):
            dataset = smartredis.Dataset.from_pybind(raw)
            stamp = dataset.get_name().split("_")[1]
            if stamp != "end":
                times.setdefault(stamp, []).append(dataset)
        parts = [self._time(times[stamp]) for stamp in sorted(times)]
        with h5py.File(self._output, "w") as file:
            for n, column in enumerate(("features", "eke", "day", "j", "i")):
                file.create_dataset(column, data=np.concatenate([part[n] for part in parts]))
        self._client.delete_list(LIST)

    def _time(self, datasets: list[Any]) -> tuple[Array, ...]:
        clusters = self._clusters
        ny, nx = clusters.mke.shape
        fields = {name: np.zeros((ny, nx)) for name in FIELDS}
        for dataset in datasets:
            io, jo, isc, iec, jsc, jec = (int(dataset.get_meta_scalars(key)[0]) for key in BOUNDS)
            for name, field in fields.items():
                inner = dataset.get_tensor(name)[isc - 1 : iec, jsc - 1 : jec]
                field[jo + jsc - 1 : jo + jec, io + isc - 1 : io + iec] = inner.T
        columns = [
            self._filter.apply(xarray.DataArray(fields[name], dims=("y", "x")), dims=["y", "x"])
            for name in SMOOTHED
        ]
        radius = fields["Rd_dx"] * (clusters.dx / clusters.filter_scale)
        features = np.stack([*(column.values for column in columns), radius], axis=-1)
        eke = np.maximum(fields["KE_vert_sum"] - clusters.mke, 0)
        valid = np.log1p(eke) > 0
        valid[: clusters.wall_rows] = valid[ny - clusters.wall_rows :] = False
        valid &= ~np.isnan(features).any(axis=-1)
        j, i = np.nonzero(valid)
        rows, eke = features[valid], eke[valid]
        keep = self._model.predict(clusters.transform(rows)) == clusters.withheld
        day = np.full(keep.sum(), float(datasets[0].get_meta_scalars("day")[0]))
        return rows[keep], eke[keep], day, j[keep], i[keep]


def fetch(client: redis.Redis, flow: Flow) -> int:
    """The bare transport: all bytes of all times by redis-py with hiredis, a pipeline a time."""
    received = 0
    for time in range(flow.times):
        pipeline = client.pipeline(transaction=False)
        for name in flow.names(time):
            pipeline.execute_command("HGETALL", f"{{{name}}}.meta")
            for field in FIELDS:
                pipeline.execute_command("AI.TENSORGET", f"{{{name}}}.{field}", "META", "BLOB")
        received += len(pipeline.execute())
    return received


def against_reference(ranks: int) -> Figure:
    """``sampler`` and ``sampler_256``."""
    flow = FLOWS[ranks]
    with live_store() as (server, folder), server.client() as client:
        inputs = flow.inputs(server, folder)
        reference = Reference(server, flow.clusters, folder / "reference.h5")

        def fill() -> None:
            client.connection.flushdb()
            flow.send(server)

        figure = throughput(lambda: sample(inputs, silent), reference.run, RUNS, fill)
        check(inputs, folder / "reference.h5")
    return figure


def check(inputs: SampleInputs, reference: Path) -> None:
    """Both kept the same samples."""
    ours = read_samples(inputs.output)
    with h5py.File(reference) as theirs:
        for column in ("j", "i", "day"):
            np.testing.assert_array_equal(getattr(ours, column), theirs[column][()])
        np.testing.assert_allclose(ours.features, theirs["features"][()], rtol=1e-9)
        np.testing.assert_allclose(ours.eke, theirs["eke"][()], rtol=1e-12)


def transport() -> Figure:
    """``sampler_transport``."""
    flow = FLOWS[24]
    with live_store() as (server, folder), server.client() as client:
        inputs = flow.inputs(server, folder)

        def fill() -> None:
            client.connection.flushdb()
            flow.send(server)

        with redis.Redis(unix_socket_path=server.address.removeprefix("unix://")) as plain:
            return duration(lambda: sample(inputs, silent), lambda: fetch(plain, flow), RUNS, fill)
