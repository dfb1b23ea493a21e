# distutils: language = c++
"""Which cluster a sample belongs to, and the samples of the wanted one, in one pass over the fields.

A sample's features, in the order of ``parslflow.learning.samples.FEATURES``, are transformed
(ln(1+x) for kinetic energy and slope, sign(x) ln(1+|x|+C) for the vorticity, the deformation radius
as it is), normalised with mean and standard deviation, and belong to the nearest centre.

Of the squared distance |t - c|^2 between features t and centre c only |c|^2/2 - t.c differs from
centre to centre, and the normalisation of t goes into the weights of that sum.
"""

from cython cimport floating
from cython.parallel cimport prange
from cython.parallel cimport threadid
from libc.stdint cimport int64_t
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc
from libc.stdlib cimport free
from libc.stdlib cimport realloc

import numpy as np

from parslflow._ext import arguments

cdef extern from "kernels/nearest.h" namespace "parslflow" nogil:
    enum:
        FEATURES
    cdef cppclass Samples[Real]:
        const Real* features[4]
        Py_ssize_t stride
    struct Centres:
        Py_ssize_t count
        const double* constants
        const double* weights
        double rv_offset
        double radius_scale
    void nearest_centres(
        const Samples[double]&, Py_ssize_t, const Centres&, int*
    ) noexcept
    void nearest_centres(const Samples[float]&, Py_ssize_t, const Centres&, int*) noexcept
    struct Chosen:
        uint64_t bits
        Py_ssize_t seen
    Chosen choose(
        const Samples[double]&, const double*, const double*, Py_ssize_t, const Centres&, int64_t
    ) noexcept
    Chosen choose(
        const Samples[float]&, const float*, const double*, Py_ssize_t, const Centres&, int64_t
    ) noexcept

cdef extern from *:
    int first_bit "__builtin_ctzll" (unsigned long long) noexcept nogil

cdef enum:
    # Cells whose centres are found at a time, and whose fate is then one word.
    WORD = 64
    # Cells that a thread takes at a time.
    CHUNK = 16 * WORD


def assign(features, double rv_offset, mean, std, centres):
    """The cluster of every row.

    Args:
        features: (n, 4), float32 or float64, dimensional.
        rv_offset: C of the vorticity's transform.
        mean: (4,), of the transformed features.
        std: (4,), of the transformed features.
        centres: (clusters, 4), transformed and normalised.

    Returns:
        (n,) int32: the nearest centre, the first one of equals; -1 for a row with a value that is
        not finite after the transform.

    Raises:
        ValueError: An array has a wrong type or shape, or a parameter is not finite.
    """
    kind = arguments.real(features, "features", 2)
    if features.shape[1] != FEATURES:
        raise ValueError(f"There are {features.shape[1]} features where {FEATURES} are needed.")
    parameters = _parameters(mean, std, centres)
    clusters = np.empty(len(features), dtype=np.intc)
    if len(features) == 0:
        return clusters
    if kind == np.float64:
        _assign[double](features, rv_offset, *parameters, clusters)
    else:
        _assign[float](features, rv_offset, *parameters, clusters)
    return clusters


def members(
    smoothed,
    radius,
    energy,
    mke,
    double radius_scale,
    double rv_offset,
    mean,
    std,
    centres,
    int wanted,
    int wall_rows,
    int threads=1,
):
    """The samples of a field that belong to the wanted cluster.

    A sample's target is eke = energy - mke. Left out are the ``wall_rows`` rows at each wall, cells
    with a NaN, and cells where ln(1 + eke) <= 0, which is eke <= 0.

    Args:
        smoothed: (3, ny, nx), float32 or float64: the first three features, dimensional.
        radius: (ny, nx), of the same type: the deformation radius over the grid spacing.
        energy: (ny, nx), of the same type: the kinetic energy that was not smoothed, m3/s2.
        mke: (ny, nx), float64: the kinetic energy of the mean flow, m3/s2.
        radius_scale: The fourth feature is ``radius`` times this.
        rv_offset: C of the vorticity's transform.
        mean: (4,), of the transformed features.
        std: (4,), of the transformed features.
        centres: (clusters, 4), transformed and normalised.
        wanted: The cluster whose samples are kept.
        wall_rows: How many rows at each end of y are left out.
        threads: How many threads work.

    Returns:
        features (n, 4) float64, eke (n,) float64, and j (n,) and i (n,) int32, the 0-based place of
        each sample, in order of the place; and how many cells were samples, of whatever cluster.

    Raises:
        ValueError: An array has a wrong type or shape, a parameter is not finite, or there is no
            such cluster.
    """
    kind = arguments.real(smoothed, "smoothed", 3)
    arguments.typed(radius, "radius", 2, kind)
    arguments.typed(energy, "energy", 2, kind)
    arguments.typed(mke, "mke", 2, np.float64)
    arguments.threads(threads)
    shape = radius.shape
    if smoothed.shape != (FEATURES - 1, *shape):
        raise ValueError(
            f"smoothed has the shape {smoothed.shape} where {(FEATURES - 1, *shape)} is needed."
        )
    for name, array in (("energy", energy), ("mke", mke)):
        if array.shape != shape:
            raise ValueError(
                f"The features are on a grid of {shape}, but {name} is on one of {array.shape}."
            )
    parameters = _parameters(mean, std, centres)
    if not 0 <= wanted < len(centres):
        raise ValueError(f"There is no cluster {wanted} among {len(centres)}.")
    if wall_rows < 0:
        raise ValueError(f"The rows to leave out at a wall cannot be {wall_rows}.")
    inside = slice(wall_rows, max(shape[0] - wall_rows, wall_rows))
    if kind == np.float64:
        return _members[double](
            smoothed[:, inside], radius[inside], energy[inside], mke[inside], radius_scale,
            rv_offset, *parameters, wanted, wall_rows, threads,
        )
    return _members[float](
        smoothed[:, inside], radius[inside], energy[inside], mke[inside], radius_scale,
        rv_offset, *parameters, wanted, wall_rows, threads,
    )


def _parameters(mean, std, centres):
    """The constants (clusters,) and weights (clusters, 4) of the centres."""
    arguments.finite(mean, "mean", (FEATURES,))
    arguments.finite(std, "std", (FEATURES,))
    arguments.finite(centres, "centres", (None, FEATURES))
    if not (std > 0).all():
        raise ValueError("std has values that are not positive.")
    weights = centres / std
    return (centres**2).sum(axis=1) / 2 + weights @ mean, weights


cdef _assign(
    const floating[:, ::1] features,     # IN
    double rv_offset,                    # IN
    const double[::1] constants,         # IN
    const double[:, ::1] weights,        # IN
    int[::1] clusters,                   # OUT
):
    """The cluster of each of at least one row."""
    cdef Samples[floating] samples
    cdef Centres found = _centres(constants, weights, rv_offset, 1.0)
    cdef Py_ssize_t f

    samples.stride = FEATURES
    for f in range(FEATURES):
        samples.features[f] = &features[0, f]
    with nogil:
        nearest_centres(samples, features.shape[0], found, &clusters[0])


cdef Centres _centres(
    const double[::1] constants, const double[:, ::1] weights, double rv_offset, double radius_scale
):
    cdef Centres centres
    centres.count = constants.shape[0]
    centres.constants = &constants[0]
    centres.weights = &weights[0, 0]
    centres.rv_offset = rv_offset
    centres.radius_scale = radius_scale
    return centres


cdef struct Grid:
    Py_ssize_t cells
    Py_ssize_t nx
    Py_ssize_t first_row
    double radius_scale
    int wanted


# A sample that is kept.
cdef struct Row:
    double[FEATURES] features
    double eke
    int j
    int i


# The rows that one thread keeps, of all its chunks.
cdef struct Rows:
    Row* rows
    Py_ssize_t n
    Py_ssize_t capacity


# Where the rows of a chunk are and where they go, and how many samples it had.
cdef struct Part:
    int thread
    Py_ssize_t first
    Py_ssize_t n
    Py_ssize_t target
    Py_ssize_t seen


cdef _members(
    const floating[:, :, :] smoothed,    # IN, each field contiguous
    const floating[:, ::1] radius,       # IN
    const floating[:, ::1] energy,       # IN
    const double[:, ::1] mke,            # IN
    double radius_scale,                 # IN
    double rv_offset,                    # IN
    const double[::1] constants,         # IN
    const double[:, ::1] weights,        # IN
    int wanted,                          # IN
    int first_row,                       # IN
    int threads,                         # IN
):
    """The samples of rows without walls, of which the first is row ``first_row`` of the field."""
    cdef Py_ssize_t n_chunks, chunk, f
    cdef Py_ssize_t seen = 0
    cdef Py_ssize_t n = 0
    cdef Grid grid
    cdef Samples[floating] samples
    cdef Centres centres = _centres(constants, weights, rv_offset, radius_scale)
    cdef Rows* kept
    cdef Part* parts
    cdef bint full = False
    cdef double[:, ::1] out_features
    cdef double[::1] out_eke
    cdef int[::1] out_j, out_i

    grid.cells = radius.shape[0] * radius.shape[1]
    grid.nx = radius.shape[1]
    grid.first_row = first_row
    grid.radius_scale = radius_scale
    grid.wanted = wanted
    n_chunks = (grid.cells + CHUNK - 1) // CHUNK
    samples.stride = 1
    kept = <Rows*> calloc(threads, sizeof(Rows))
    parts = <Part*> calloc(max(n_chunks, 1), sizeof(Part))
    try:
        if kept == NULL or parts == NULL:
            raise MemoryError
        if grid.cells > 0:
            for f in range(FEATURES - 1):
                samples.features[f] = &smoothed[f, 0, 0]
            samples.features[FEATURES - 1] = &radius[0, 0]
            for chunk in prange(n_chunks, nogil=True, num_threads=threads, schedule="static"):
                if not _keep(
                    samples, &energy[0, 0], &mke[0, 0], centres, grid, chunk,
                    threadid(), kept, &parts[chunk],
                ):
                    full = True
        if full:
            raise MemoryError
        for chunk in range(n_chunks):
            parts[chunk].target = n
            seen += parts[chunk].seen
            n += parts[chunk].n
        features = np.empty((n, FEATURES))
        eke = np.empty(n)
        j = np.empty(n, dtype=np.intc)
        i = np.empty(n, dtype=np.intc)
        out_features, out_eke, out_j, out_i = features, eke, j, i
        for chunk in prange(n_chunks, nogil=True, num_threads=threads, schedule="static"):
            _write(
                parts[chunk],
                kept[parts[chunk].thread].rows,
                out_features,
                out_eke,
                out_j,
                out_i,
            )
    finally:
        if kept != NULL:
            for chunk in range(threads):
                free(kept[chunk].rows)
        free(kept)
        free(parts)
    return features, eke, j, i, seen


cdef bint _keep(
    const Samples[floating]& samples,     # IN
    const floating* energy,               # IN
    const double* mke,                    # IN
    const Centres& centres,               # IN
    const Grid& grid,                     # IN
    Py_ssize_t chunk,                     # IN
    int thread,                           # IN
    Rows* kept,                           # IN/OUT, (threads,)
    Part* part,                           # OUT
) noexcept nogil:
    """Keep the samples of a chunk that belong to the wanted cluster; False without memory."""
    # Copies, since what lies beside them belongs to other threads.
    cdef Rows rows = kept[thread]
    cdef Py_ssize_t seen = 0
    cdef Row* row
    cdef Py_ssize_t k, first, cell, j, i, f
    cdef Samples[floating] word
    cdef Chosen chosen
    cdef uint64_t bits

    if rows.n + CHUNK > rows.capacity:
        row = <Row*> realloc(rows.rows, (2 * rows.capacity + CHUNK) * sizeof(Row))
        if row == NULL:
            return False
        rows.rows = row
        rows.capacity = 2 * rows.capacity + CHUNK
    part.thread = thread
    part.first = rows.n
    word.stride = 1
    for k in range(CHUNK // WORD):
        first = chunk * CHUNK + k * WORD
        if first >= grid.cells:
            break
        for f in range(FEATURES):
            word.features[f] = samples.features[f] + first
        chosen = choose(
            word,
            energy + first,
            mke + first,
            min(grid.cells - first, <Py_ssize_t> WORD),
            centres,
            grid.wanted,
        )
        seen += chosen.seen
        bits = chosen.bits
        j = first // grid.nx
        while bits:
            cell = first + first_bit(bits)
            bits &= bits - 1
            i = cell - j * grid.nx
            while i >= grid.nx:
                i -= grid.nx
                j += 1
            row = &rows.rows[rows.n]
            for f in range(FEATURES - 1):
                row.features[f] = samples.features[f][cell]
            row.features[FEATURES - 1] = (
                samples.features[FEATURES - 1][cell] * grid.radius_scale
            )
            row.eke = energy[cell] - mke[cell]
            row.j = <int> (grid.first_row + j)
            row.i = <int> i
            rows.n += 1
    part.n = rows.n - part.first
    part.seen = seen
    kept[thread] = rows
    return True


cdef void _write(
    const Part& part,             # IN
    const Row* rows,              # IN, of the thread that kept them
    double[:, ::1] features,      # OUT
    double[::1] eke,              # OUT
    int[::1] j,                   # OUT
    int[::1] i,                   # OUT
) noexcept nogil:
    """Put the rows of a chunk to their place among all."""
    cdef Py_ssize_t k, f
    cdef Py_ssize_t n = part.target
    cdef const Row* row = rows + part.first

    for k in range(part.n):
        for f in range(FEATURES):
            features[n, f] = row.features[f]
        eke[n] = row.eke
        j[n] = row.j
        i[n] = row.i
        row += 1
        n += 1
