"""The features of a network at every cell of the global grid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from parslflow._ext.smoothing import chebyshev_filter

SMOOTHED = ("KE_vert_sum", "RV_vert_avg", "slope_vert_avg")
"""The fields that are smoothed, in the order of the features."""

FIELDS = (*SMOOTHED, "Rd_dx")
"""The fields that features are made of, as simulations name them."""

STEPS_PER_FACTOR = 1.1
"""Steps that a Gaussian in two dimensions needs for each grid spacing in the filter's width."""


@lru_cache(maxsize=16)
def gaussian(factor: float) -> NDArray[np.float64]:
    """Chebyshev coefficients of the Gaussian filter whose width is ``factor`` grid spacings.

    The filter multiplies a wave of wavenumber k by exp(-(k L)^2 / 24), L the filter's width. With
    s = k^2 mapped from [0, 8/dx^2], the spectrum of the discrete Laplacian, to t in [-1, 1], the
    polynomial equals the target at both ends, so that a mean stays a mean, and is its projection,
    in the inner product of the Chebyshev polynomials, in between. The degree is that which
    gcm-filters takes by default.

    Source: Grooms et al. (2021), JAMES 13, doi:10.1029/2021MS002552, section 2; basis of Shen
    (1995), T_m - T_(m+2), which vanishes at both ends.
    """
    degree = max(math.ceil(STEPS_PER_FACTOR * factor), 3)
    # The points of Gauss-Chebyshev quadrature, of equal weight: exact up to 2 * degree + 1.
    angles = (np.arange(degree + 1) + 0.5) * np.pi / (degree + 1)
    polynomials: NDArray[np.float64] = np.cos(np.outer(angles, np.arange(degree + 1)))
    basis = polynomials[:, :-2] - polynomials[:, 2:]

    target = np.exp(-(np.cos(angles) + 1) * factor**2 / 6)
    end = math.exp(-(factor**2) / 3)
    coefficients = np.zeros(degree + 1)
    coefficients[:2] = (1 + end) / 2, (end - 1) / 2
    rest = target - polynomials @ coefficients
    in_basis = np.linalg.solve(basis.T @ basis, basis.T @ rest)
    coefficients[:-2] += in_basis
    coefficients[2:] -= in_basis
    coefficients.setflags(write=False)
    return coefficients


def smooth(
    field: NDArray[np.float64],
    dx: float,
    filter_scale: float,
    out: NDArray[np.float64] | None = None,
    threads: int = 1,
) -> NDArray[np.float64]:
    """The Gaussian filter of gcm-filters on a regular grid, periodic in x, with walls in y.

    Nothing passes through the walls: the result is that of gcm-filters' REGULAR_WITH_LAND for the
    field with a row of land beside it. Its plain REGULAR would join the first row to the last.

    Args:
        field: (..., ny, nx); NaN where there is land.
        dx: Grid spacing, m.
        filter_scale: Width of the filter, m: waves k are damped by exp(-(k filter_scale)^2 / 24).
        out: (..., ny, nx), C-contiguous, for the result; a new array by default.
        threads: How many threads filter.

    Returns:
        (..., ny, nx), NaN where ``field`` is.
    """
    stack = np.ascontiguousarray(field, dtype=np.float64).reshape(-1, *field.shape[-2:])
    result = np.empty_like(stack) if out is None else out.reshape(stack.shape)
    chebyshev_filter(stack, result, gaussian(filter_scale / dx), walls=True, threads=threads)
    return result.reshape(field.shape)


def features(
    fields: Mapping[str, NDArray[np.float64]], dx: float, filter_scale: float
) -> NDArray[np.float64]:
    """The features of every cell: three fields smoothed, the deformation radius scaled.

    Args:
        fields: ``FIELDS``, each (ny, nx); Rd_dx is the deformation radius over the grid spacing.
        dx: Grid spacing, m.
        filter_scale: Width of the filter, m.

    Returns:
        (ny, nx, 4), columns as ``parslflow.learning.samples.FEATURES``: m3/s2, m/s, 1, 1.
    """
    out = np.empty((*fields["Rd_dx"].shape, len(FIELDS)))
    smoothed = smooth(np.stack([fields[name] for name in SMOOTHED]), dx, filter_scale)
    out[..., :-1] = np.moveaxis(smoothed, 0, -1)
    out[..., -1] = fields["Rd_dx"] * (dx / filter_scale)
    return out
