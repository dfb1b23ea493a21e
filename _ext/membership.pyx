"""Which cluster a sample belongs to, and the samples of the wanted one, in one pass over a field.

A sample's features, in the order of ``parslflow.learning.samples.FEATURES``, are transformed
(ln(1+x) for kinetic energy and slope, sign(x) ln(1+|x|+C) for the vorticity, the deformation radius
as it is), normalised with mean and standard deviation, and belong to the nearest centre.
"""

from cython cimport floating
from libc.math cimport fabs
from libc.math cimport log1p

import numpy as np

cdef enum:
    FEATURES = 4


def assign(
    const floating[:, ::1] features,     # IN
    double rv_offset,                    # IN
    const double[::1] mean,              # IN
    const double[::1] std,               # IN
    const double[:, ::1] centres,        # IN
):
    """The cluster of every row.

    Args:
        features: (n, 4), dimensional.
        rv_offset: C of the vorticity's transform.
        mean: (4,), of the transformed features.
        std: (4,), of the transformed features.
        centres: (clusters, 4), transformed and normalised.

    Returns:
        (n,) int32: the nearest centre, the first one of equals; -1 for a row with a NaN.

    Raises:
        ValueError: A shape is wrong.
    """
    cdef Py_ssize_t n = features.shape[0]
    cdef Py_ssize_t row
    cdef double[FEATURES] normalised
    cdef int[::1] clusters = np.empty(n, dtype=np.intc)

    _check(features.shape[1], mean, std, centres)
    with nogil:
        for row in range(n):
            if _normalise(&features[row, 0], rv_offset, &mean[0], &std[0], normalised):
                clusters[row] = _nearest(normalised, centres)
            else:
                clusters[row] = -1
    return np.asarray(clusters)


def members(
    const floating[:, :, ::1] features,     # IN
    const floating[:, ::1] eke,             # IN
    double rv_offset,                       # IN
    const double[::1] mean,                 # IN
    const double[::1] std,                  # IN
    const double[:, ::1] centres,           # IN
    int wanted,                             # IN
    int wall_rows,                          # IN
):
    """The samples of a field that belong to the wanted cluster.

    Left out are the ``wall_rows`` rows at each wall, cells with a NaN, and cells where
    ln(1 + eke) <= 0, which is eke <= 0.

    Args:
        features: (ny, nx, 4), dimensional.
        eke: (ny, nx), m3/s2.
        rv_offset: C of the vorticity's transform.
        mean: (4,), of the transformed features.
        std: (4,), of the transformed features.
        centres: (clusters, 4), transformed and normalised.
        wanted: The cluster whose samples are kept.
        wall_rows: How many rows at each end of y are left out.

    Returns:
        features (n, 4), eke (n,), origin (n, 2) int32, the 0-based j and i of each sample, in order;
        and how many cells were samples, of whatever cluster.

    Raises:
        ValueError: A shape is wrong, or there is no such cluster.
    """
    cdef Py_ssize_t ny = features.shape[0]
    cdef Py_ssize_t nx = features.shape[1]
    cdef Py_ssize_t first = wall_rows
    cdef Py_ssize_t end = ny - wall_rows
    cdef Py_ssize_t capacity = max(end - first, 0) * nx
    cdef Py_ssize_t j, i
    cdef Py_ssize_t seen = 0
    cdef Py_ssize_t kept = 0
    cdef double[FEATURES] normalised

    _check(features.shape[2], mean, std, centres)
    if eke.shape[0] != ny or eke.shape[1] != nx:
        raise ValueError(
            f"The features are on a grid of {(ny, nx)}, but the energy is on one of "
            f"{(eke.shape[0], eke.shape[1])}."
        )
    if not 0 <= wanted < centres.shape[0]:
        raise ValueError(f"There is no cluster {wanted} among {centres.shape[0]}.")
    if wall_rows < 0:
        raise ValueError(f"The rows to leave out at a wall cannot be {wall_rows}.")

    kind = np.float32 if floating is float else np.float64
    cdef floating[:, ::1] kept_features = np.empty((capacity, FEATURES), dtype=kind)
    cdef floating[::1] kept_eke = np.empty(capacity, dtype=kind)
    cdef int[:, ::1] origin = np.empty((capacity, 2), dtype=np.intc)

    with nogil:
        for j in range(first, end):
            for i in range(nx):
                # Written so that a NaN fails it.
                if not eke[j, i] > 0:
                    continue
                if not _normalise(&features[j, i, 0], rv_offset, &mean[0], &std[0], normalised):
                    continue
                seen += 1
                if _nearest(normalised, centres) != wanted:
                    continue
                kept_features[kept, :] = features[j, i, :]
                kept_eke[kept] = eke[j, i]
                origin[kept, 0] = <int> j
                origin[kept, 1] = <int> i
                kept += 1
    return (
        np.array(kept_features[:kept]),
        np.array(kept_eke[:kept]),
        np.array(origin[:kept]),
        seen,
    )


cdef _check(
    Py_ssize_t columns,
    const double[::1] mean,
    const double[::1] std,
    const double[:, ::1] centres,
):
    """The parts of the cluster definition fit the features."""
    if columns != FEATURES:
        raise ValueError(f"There are {columns} features where {FEATURES} are needed.")
    if mean.shape[0] != FEATURES or std.shape[0] != FEATURES or centres.shape[1] != FEATURES:
        raise ValueError(f"mean, std and centres must have {FEATURES} columns.")
    if centres.shape[0] == 0:
        raise ValueError("There are no centres.")


cdef inline bint _normalise(
    const floating* features,     # IN
    double rv_offset,             # IN
    const double* mean,           # IN
    const double* std,            # IN
    double* out,                  # OUT
) noexcept nogil:
    """Transform and normalise one sample; whether it has no NaN."""
    cdef double rv = features[1]
    cdef double logarithm = log1p(fabs(rv) + rv_offset)
    cdef Py_ssize_t f

    out[0] = log1p(features[0])
    out[1] = logarithm if rv > 0 else -logarithm if rv < 0 else rv
    out[2] = log1p(features[2])
    out[3] = features[3]
    for f in range(FEATURES):
        out[f] = (out[f] - mean[f]) / std[f]
        if out[f] != out[f]:
            return False
    return True


cdef inline int _nearest(
    const double* sample,              # IN
    const double[:, ::1] centres,      # IN
) noexcept nogil:
    """The nearest centre by Euclidean distance."""
    cdef Py_ssize_t k, f
    cdef int nearest = 0
    cdef double distance, difference
    cdef double best = 0.0

    for k in range(centres.shape[0]):
        distance = 0.0
        for f in range(FEATURES):
            difference = sample[f] - centres[k, f]
            distance += difference * difference
        if k == 0 or distance < best:
            best = distance
            nearest = <int> k
    return nearest
