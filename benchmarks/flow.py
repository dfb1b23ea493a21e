"""A flow to sample: its fields, its tiles in a live store, and the clusters to look for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from benchmarks.tiles import HALO
from benchmarks.tiles import cuts
from parslflow.learning.clusters import Clusters
from parslflow.learning.clusters import compress
from parslflow.sampling.features import FIELDS
from parslflow.sampling.features import features
from parslflow.sampling.sampler import SampleInputs
from parslflow.store.server import StoreServer
from parslflow.store.stream import Stream
from parslflow.store.wire import Dataset

DX, FILTER_SCALE = 5e3, 80e3
WALL_ROWS = 20
RV_OFFSET = 3e-6
CLUSTERS = 6
LIST, RUN = "tiles", "high"

Array = NDArray[np.float64]


def noise(random: np.random.Generator, ny: int, nx: int) -> Array:
    """A smooth random field of mean 0 and variance 1, with eddies of some 10 cells."""
    ky, kx = np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nx)
    wavenumber = np.hypot(kx, ky)
    spectrum = wavenumber / (1 + (wavenumber * 12) ** 4)
    field = np.fft.irfft2(np.fft.rfft2(random.normal(size=(ny, nx))) * spectrum, s=(ny, nx))
    return np.asarray((field - field.mean()) / field.std())


def fields(seed: int, ny: int, nx: int) -> Array:
    """(4, ny, nx), ``FIELDS`` with the magnitudes of the two-layer case."""
    random = np.random.default_rng(seed)
    energy, vorticity, slope, radius = (noise(random, ny, nx) for _ in FIELDS)
    return np.stack(
        [50 * np.exp(energy), 0.008 * vorticity, 1e-3 * np.exp(slope), 4.5 + 0.8 * radius]
    )


@dataclass(frozen=True)
class Flow:
    """A simulation's stream.

    Attributes:
        ranks_i: Ranks in i.
        ranks_j: Ranks in j.
        times: How many times it sends.
        ny: Rows of the grid.
        nx: Columns of the grid.
    """

    ranks_i: int
    ranks_j: int
    times: int
    ny: int = 240
    nx: int = 320

    @cached_property
    def day(self) -> Array:
        """(4, ny, nx), the fields of every time: what they are makes no difference to the cost."""
        return fields(0, self.ny, self.nx)

    @cached_property
    def clusters(self) -> Clusters:
        """Clusters of the flow itself."""
        day = dict(zip(FIELDS, self.day, strict=True))
        found = features(day, DX, FILTER_SCALE)
        points = compress(found.reshape(-1, 4), RV_OFFSET)
        mean, std = points.mean(axis=0), points.std(axis=0)
        fit = KMeans(CLUSTERS, n_init=1, random_state=0).fit(((points - mean) / std)[::7])
        return Clusters(
            rv_offset=RV_OFFSET,
            mean=mean,
            std=std,
            centres=fit.cluster_centers_,
            withheld=int(fit.cluster_centers_[:, 1].argmax()),
            mke=found[..., 0].copy(),
            filter_scale=FILTER_SCALE,
            dx=DX,
            wall_rows=WALL_ROWS,
        )

    @property
    def ranks(self) -> int:
        """How many ranks there are."""
        return self.ranks_i * self.ranks_j

    @cached_property
    def wide(self) -> Array:
        """(4, ny + 2 HALO, nx + 2 HALO), the day with its halo."""
        wide = np.pad(self.day, ((0, 0), (HALO, HALO), (0, 0)), mode="edge")
        return np.pad(wide, ((0, 0), (0, 0), (HALO, HALO)), mode="wrap")

    def tile(self, rank: int) -> tuple[dict[str, Array], dict[str, object]]:
        """Tensors and metadata of a rank."""
        i_cuts, j_cuts = cuts(self.nx, self.ranks_i), cuts(self.ny, self.ranks_j)
        q, p = divmod(rank, self.ranks_i)
        i0, i1, j0, j1 = i_cuts[p], i_cuts[p + 1], j_cuts[q], j_cuts[q + 1]
        tile = self.wide[:, j0 : j1 + 2 * HALO, i0 : i1 + 2 * HALO].transpose(0, 2, 1)
        integers = {
            "idg_offset": i0 - HALO,
            "jdg_offset": j0 - HALO,
            "isc": HALO + 1,
            "iec": HALO + i1 - i0,
            "jsc": HALO + 1,
            "jec": HALO + j1 - j0,
            "ieg": self.nx,
            "jeg": self.ny,
            "rank": rank,
            "ranks": self.ranks,
        }
        metadata: dict[str, object] = {key: np.int32(value) for key, value in integers.items()}
        metadata["run"] = RUN
        tensors = {
            name: np.ascontiguousarray(field) for name, field in zip(FIELDS, tile, strict=True)
        }
        return tensors, metadata

    @cached_property
    def tiles(self) -> list[tuple[dict[str, Array], dict[str, object]]]:
        """Tensors and metadata of each rank."""
        return [self.tile(rank) for rank in range(self.ranks)]

    @property
    def end(self) -> Dataset:
        """What marks the end of the run."""
        marker = {"times": np.int32(self.times), "status": np.int32(0), "run": RUN}
        return Dataset(f"{RUN}_end", {}, marker)

    def names(self, time: int) -> list[str]:
        """The data sets of one time."""
        return [f"{RUN}_{time:07d}.00000_{rank:06d}" for rank in range(self.ranks)]

    def send(self, server: StoreServer) -> None:
        """Put all times and the end into the store."""
        with server.client() as client:
            for time in range(self.times):
                for name, (tensors, metadata) in zip(self.names(time), self.tiles, strict=True):
                    day = metadata | {"day": float(time)}
                    client.put_dataset(Dataset(name, tensors, day), LIST)
            client.put_dataset(self.end, LIST)

    def inputs(self, server: StoreServer, folder: Path, threads: int = 1) -> SampleInputs:
        """What a sampler of all times needs, with its files."""
        [inputs] = self.shared(server, folder, 1, threads)
        return inputs

    def shared(
        self, server: StoreServer, folder: Path, samplers: int, threads: int = 1
    ) -> list[SampleInputs]:
        """What samplers that share the times need, with their files."""
        Stream(list=LIST, run=RUN).save(folder / "stream.json")
        self.clusters.save(folder / "clusters.h5")
        return [
            SampleInputs(
                address_file=server.address_file,
                stream=folder / "stream.json",
                clusters=folder / "clusters.h5",
                outputs=tuple(folder / f"batch-{number}.h5" for number in range(samplers)),
                sampler=sampler,
                time_limit_s=60.0,
                threads=threads,
            )
            for sampler in range(samplers)
        ]


@contextmanager
def live_store(memory_mb: int = 2048) -> Iterator[tuple[StoreServer, Path]]:
    """Yield a server on a unix socket and a folder for files."""
    with (
        TemporaryDirectory(prefix="parslflow-") as folder,
        StoreServer(Path(folder) / "store", memory_mb=memory_mb) as server,
    ):
        yield server, Path(folder)
