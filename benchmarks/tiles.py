"""Global arrays from rank tiles, against NumPy slice assignments."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Figure
from benchmarks.measure import throughput
from parslflow._ext.tiles import assemble

NY, NX, HALO = 240, 320, 4
FIELDS = ("KE_vert_sum", "RV_vert_avg", "slope_vert_avg", "Rd_dx")
LAYOUTS = {24: (4, 6), 256: (16, 16), 19200: (160, 120)}
"""Ranks in i and in j."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tiles:
    """What the ranks sent of one time.

    Attributes:
        ny: Rows of the global arrays.
        nx: Their columns.
        bounds: (1, ranks, 9), as ``assemble`` takes them.
        arrays: ``arrays[rank][field]`` is (ni, nj), as a Fortran client's ``a(i, j)`` arrives.
    """

    ny: int
    nx: int
    bounds: NDArray[np.intc]
    arrays: list[list[Array]]

    @property
    def ranks(self) -> int:
        """How many ranks there are."""
        return len(self.arrays)

    def ours(self, out: Array) -> None:
        """The global arrays by parslflow; ``out`` is (fields, ny, nx)."""
        assemble(out[None], self.bounds, [self.arrays], FIELDS, self.ranks)

    def numpy(self, out: Array) -> None:
        """The same by one slice assignment a tile and field, as a user's loop does it."""
        for (_, io, jo, isc, iec, jsc, jec, _, _), arrays in zip(
            self.bounds[0].tolist(), self.arrays, strict=True
        ):
            for f, array in enumerate(arrays):
                inner = array[isc - 1 : iec, jsc - 1 : jec]
                out[f, jo + jsc - 1 : jo + jec, io + isc - 1 : io + iec] = inner.T


def cuts(cells: int, ranks: int) -> list[int]:
    """Where so many cells are cut for so many ranks, as evenly as can be."""
    return [cells * n // ranks for n in range(ranks + 1)]


def cut(ranks_i: int, ranks_j: int, ny: int = NY, nx: int = NX, seed: int = 0) -> Tiles:
    """Random global arrays as the tiles of so many ranks, each array of its own as they arrive."""
    random = np.random.default_rng(seed)
    i_cuts, j_cuts = cuts(nx, ranks_i), cuts(ny, ranks_j)
    bounds, arrays = [], []
    for rank, (q, p) in enumerate(product(range(ranks_j), range(ranks_i))):
        ni = i_cuts[p + 1] - i_cuts[p] + 2 * HALO
        nj = j_cuts[q + 1] - j_cuts[q] + 2 * HALO
        corner = (i_cuts[p] - HALO, j_cuts[q] - HALO)
        bounds.append((rank, *corner, HALO + 1, ni - HALO, HALO + 1, nj - HALO, ni, nj))
        arrays.append([random.random((ni, nj)) for _ in FIELDS])
    return Tiles(ny, nx, np.array([bounds], dtype=np.intc), arrays)


def assembled(ranks: int) -> Figure:
    """``tiles_24``, ``tiles_256``, ``tiles_19200``."""
    tiles = cut(*LAYOUTS[ranks])
    ours, theirs = (np.empty((len(FIELDS), NY, NX)) for _ in range(2))
    figure = throughput(lambda: tiles.ours(ours), lambda: tiles.numpy(theirs), runs=11)
    np.testing.assert_array_equal(ours, theirs)
    return figure


def copy() -> Figure:
    """``tiles_copy``: the bandwidth of a plain copy is the most that can be had."""
    # Taken in turn, so many that none is in the cache any more when its turn comes again.
    many = [cut(*LAYOUTS[24], seed=seed) for seed in range(30)]
    outs = np.zeros((len(many), len(FIELDS), NY, NX))
    sources = np.ones_like(outs)

    def ours() -> None:
        for tiles, out in zip(many, outs, strict=True):
            tiles.ours(out)

    def plain() -> None:
        for source, out in zip(sources, outs, strict=True):
            np.copyto(out, source)

    return throughput(ours, plain, runs=11)
