"""The Gaussian filter, against gcm-filters."""

from __future__ import annotations

import gcm_filters
import numpy as np
import xarray

from benchmarks.flow import DX
from benchmarks.flow import FILTER_SCALE
from benchmarks.flow import fields
from benchmarks.measure import Figure
from benchmarks.measure import throughput
from benchmarks.tiles import NX
from benchmarks.tiles import NY
from parslflow._ext.smoothing import chebyshev_filter
from parslflow.sampling.features import gaussian

STACK = 8
"""Fields that two threads share."""


def smoothing() -> Figure:
    """``smoothing``: one field, one thread, periodic as gcm-filters' REGULAR."""
    field = fields(0, NY, NX)[:1]
    out = np.empty_like(field)
    coefficients = gaussian(FILTER_SCALE / DX)
    labelled = xarray.DataArray(field[0], dims=("y", "x"))
    reference = gcm_filters.Filter(
        filter_scale=FILTER_SCALE,
        dx_min=DX,
        filter_shape=gcm_filters.FilterShape.GAUSSIAN,
        grid_type=gcm_filters.GridType.REGULAR,
    )
    figure = throughput(
        lambda: chebyshev_filter(field, out, coefficients, walls=False),
        lambda: reference.apply(labelled, dims=["y", "x"]),
        runs=11,
    )
    expected = reference.apply(labelled, dims=["y", "x"]).values
    np.testing.assert_allclose(out[0], expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())
    return figure


def threads() -> Figure:
    """``smoothing_threads``: a stack of fields with two threads against one."""
    stack = np.concatenate([fields(seed, NY, NX) for seed in range(STACK // 4)])
    out = np.empty_like(stack)
    coefficients = gaussian(FILTER_SCALE / DX)

    def work(number: int) -> None:
        chebyshev_filter(stack, out, coefficients, walls=True, threads=number)

    return throughput(lambda: work(2), lambda: work(1), runs=21)
