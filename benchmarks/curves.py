"""``python -m benchmarks.curves PICTURE.png``: how cost grows with ranks, grid size and times."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

from benchmarks.flow import DX
from benchmarks.flow import FILTER_SCALE
from benchmarks.flow import Flow
from benchmarks.flow import live_store
from benchmarks.measure import Work
from benchmarks.measure import seconds
from benchmarks.sampler import fetch
from benchmarks.sampler import silent
from benchmarks.tiles import FIELDS
from benchmarks.tiles import NX
from benchmarks.tiles import NY
from benchmarks.tiles import cut
from parslflow._ext.membership import members
from parslflow._ext.smoothing import chebyshev_filter
from parslflow.rundir import atomic_path
from parslflow.sampling.features import gaussian
from parslflow.sampling.sampler import sample

LAYOUTS = ((1, 1), (4, 6), (16, 16), (40, 30), (80, 60), (160, 120))
"""Ranks in i and in j, up to 19,200."""

GRIDS = ((120, 160), (240, 320), (480, 640), (1024, 1024), (2048, 2048), (4096, 4096))
TIMES = (3, 10, 30, 100, 300)


def best(work: Work, runs: int = 5) -> float:
    """The median of a few runs."""
    work()
    return sorted(seconds(work) for _ in range(runs))[runs // 2]


def bandwidth() -> float:
    """Bytes a second that a plain copy reads, out of the cache."""
    source = np.ones(64 << 20, dtype=np.uint8)
    target = np.empty_like(source)
    return source.nbytes / best(lambda: np.copyto(target, source))


def of_layout(ranks_i: int, ranks_j: int) -> tuple[float, float]:
    """Seconds to put 4 fields of 240 by 320 together: ours and NumPy's."""
    tiles = cut(ranks_i, ranks_j)
    out = np.empty((len(FIELDS), NY, NX))
    return best(lambda: tiles.ours(out)), best(lambda: tiles.numpy(out))


def of_grid(ny: int, nx: int) -> dict[str, float]:
    """Nanoseconds a cell of each kernel, by one thread."""
    tiles = cut(8, 8, ny, nx)
    out = np.empty((len(FIELDS), ny, nx))
    random = np.random.default_rng(0)
    fields = random.random((4, ny, nx))
    mke = fields[1] / 4
    smoothed = np.empty_like(fields[:1])
    steps = gaussian(FILTER_SCALE / DX)
    centres = random.random((6, 4))
    zeros, ones = np.zeros(4), np.ones(4)

    def membership() -> None:
        members(
            fields[:3], fields[3], fields[0], mke, 1.0, 1e-6, zeros, ones, centres, 0, 0
        )  # fmt: skip

    works: dict[str, Work] = {
        "tiles, 4 fields": lambda: tiles.ours(out),
        "smoothing, 1 field": lambda: chebyshev_filter(fields[:1], smoothed, steps, walls=True),
        "membership": membership,
    }
    return {name: best(work, 3) / (ny * nx) * 1e9 for name, work in works.items()}


def of_times(times: int) -> tuple[float, float]:
    """Seconds of the whole sampler, and of the bare fetch of the same bytes by redis-py."""
    flow = Flow(4, 6, times)
    with live_store(memory_mb=4096) as (server, folder), server.client() as client:
        inputs = flow.inputs(server, folder)
        flow.send(server)
        bare = seconds(lambda: fetch(client, flow))
        return seconds(lambda: sample(inputs, silent)), bare


def draw(path: Path) -> None:
    """Measure all curves and draw them."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    copied = bandwidth()
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    size = len(FIELDS) * NY * NX * 8

    ranks = [i * j for i, j in LAYOUTS]
    costs = 1e3 * np.array([of_layout(*layout) for layout in LAYOUTS])
    axes[0].loglog(ranks, costs[:, 1], "s-", c="0.6", label="NumPy slice assignments")
    axes[0].loglog(ranks, costs[:, 0], "o-", label="parslflow")
    axes[0].axhline(1e3 * size / copied, c="k", ls=":", label="a copy at memory bandwidth")
    axes[0].set(title="4 fields of 240 by 320 from tiles", xlabel="ranks", ylabel="ms")

    cells = [ny * nx for ny, nx in GRIDS]
    of_kernels = [of_grid(*grid) for grid in GRIDS]
    for name in of_kernels[0]:
        axes[1].loglog(cells, [costs[name] for costs in of_kernels], "o-", label=name)
    axes[1].axhline(32 / copied * 1e9, c="k", ls=":", label="a copy of 4 fields")
    axes[1].set(title="One thread, up to 4096 by 4096", xlabel="cells", ylabel="ns a cell")

    times = np.array(TIMES)
    costs = np.array([of_times(number) for number in TIMES])
    axes[2].loglog(times, costs[:, 1], "s-", c="0.6", label="bare fetch by redis-py")
    axes[2].loglog(times, costs[:, 0], "o-", label="parslflow, to the file")
    axes[2].loglog(times, times * size / copied, "k:", label="a copy at memory bandwidth")
    axes[2].set(title="24 ranks, live store", xlabel="model times", ylabel="s")
    for axis in axes:
        axis.legend(fontsize=8)
        axis.grid(alpha=0.3)
    figure.suptitle(f"Memory bandwidth (np.copyto): {copied / 1e9:.1f} GB/s")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=90)
    plt.close(figure)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
