# distutils: language = c++
"""The polynomial filter of gcm-filters on a regular Cartesian grid, periodic in x.

The filter is p(t) = sum of c_k T_k(t), T_k the Chebyshev polynomials and t the operator
-(1 + Laplacian/4), Laplacian the five-point one without 1/dx^2. The identity that makes it cheap:
t f = -(sum of the four neighbours)/4, where a neighbour that is a wall or land counts as the cell
itself, which is the condition of no flux. Clenshaw's recurrence sums it from the highest term:
b_k = c_k f + 2 t b_(k+1) - b_(k+2), and p(t) f = c_0 f + t b_1 - b_2.

Grooms et al. (2021), Diffusion-based smoothers for spatial filtering of gridded geophysical data,
JAMES 13, doi:10.1029/2021MS002552.

All steps are taken in one sweep over the rows: step m follows step m - 1 by one row, so that the
few rows between the first and the last step stay in the cache. A block of the field is swept by
itself, with as many cells more at each side as there are steps, since each step spoils one.
"""

from cython cimport floating
from cython.parallel cimport prange
from cython.parallel cimport threadid
from libc.math cimport NAN
from libc.stdlib cimport free
from libc.string cimport memcpy
from libc.string cimport memset

import numpy as np

from parslflow._ext import arguments

cdef extern from "stdlib.h" nogil:
    void* aligned_alloc(size_t, size_t)

cdef extern from "kernels/stencil.h" namespace "parslflow" nogil:
    cdef cppclass Row[Real]:
        const Real* field
        const Real* south
        const Real* centre
        const Real* north
        const Real* before
        const Real* sea
        const Real* closed
        Real* out
    void recur(const Row[double]&, double, double, Py_ssize_t, Py_ssize_t) noexcept
    void recur(const Row[float]&, float, float, Py_ssize_t, Py_ssize_t) noexcept
    void recur_twice(
        const Row[double]&, const Row[double]&, double, double, double, double,
        Py_ssize_t, Py_ssize_t,
    ) noexcept
    void recur_twice(
        const Row[float]&, const Row[float]&, float, float, float, float, Py_ssize_t, Py_ssize_t
    ) noexcept
    bint begin(const double*, double*, double*, double, Py_ssize_t) noexcept
    bint begin(const float*, float*, float*, float, Py_ssize_t) noexcept

cdef enum:
    # The rows of a sweep that a block may fill: half of a small second-level cache.
    CACHE_BYTES = 256 * 1024
    # Narrower blocks would spend more on their sides than the cache saves.
    NARROWEST = 512
    LINE_BYTES = 64
    VECTOR_BYTES = 32
    # Rows of the ring: the field, b of even and of odd steps, sea, its closed sides; and zeros.
    KINDS = 6


cdef struct Sweep:
    Py_ssize_t ny
    Py_ssize_t nx
    Py_ssize_t steps
    bint walls
    bint land
    Py_ssize_t first_row    # of the block that is written
    Py_ssize_t end_row
    Py_ssize_t first_column
    Py_ssize_t end_column
    Py_ssize_t stride       # of a row of the ring
    Py_ssize_t rows         # of the ring


def chebyshev_filter(fields, out, coefficients, bint walls, int threads=1):
    """Filter each of ``fields`` into ``out``.

    A cell that is NaN is land: nothing passes through its faces, and it is NaN in ``out`` too. This
    is REGULAR_WITH_LAND with the mask of the cells that are not NaN.

    Args:
        fields: (fields, ny, nx), float32 or float64.
        out: (fields, ny, nx), of the same type; not the memory of ``fields``.
        coefficients: (steps + 1,) float64, at least two: c_k, of the Chebyshev polynomials.
        walls: Walls beyond the first and the last row (as a row of land there); otherwise y is
            periodic too.
        threads: How many threads filter.

    Raises:
        ValueError: An array has a wrong type or shape, shares its memory with another, there are
            fewer than two coefficients or one that is not finite, or no thread.
    """
    kind = arguments.real(fields, "fields", 3)
    arguments.typed(out, "out", 3, kind)
    arguments.finite(coefficients, "coefficients", (None,))
    arguments.threads(threads)
    if out.shape != fields.shape:
        raise ValueError(
            f"The fields have the shape {fields.shape}, but the array for the result has "
            f"{out.shape}."
        )
    if len(coefficients) < 2:
        raise ValueError("A filter needs at least two coefficients.")
    if np.may_share_memory(fields, out):
        raise ValueError("The result needs memory of its own, not that of the fields.")
    if fields.size == 0:
        return
    if kind == np.float64:
        _filter_all[double](fields, out, coefficients, walls, threads)
    else:
        _filter_all[float](fields, out, coefficients, walls, threads)


cdef _filter_all(
    const floating[:, :, ::1] fields,       # IN
    floating[:, :, ::1] out,                # OUT
    const double[::1] coefficients,         # IN
    bint walls,                             # IN
    int threads,                            # IN
):
    """Filter all blocks of all fields."""
    cdef Py_ssize_t n = fields.shape[0]
    cdef Py_ssize_t ny = fields.shape[1]
    cdef Py_ssize_t nx = fields.shape[2]
    cdef Py_ssize_t steps = coefficients.shape[0] - 1
    cdef Py_ssize_t column_blocks, row_blocks, blocks, item, widest, line
    cdef size_t ring
    cdef floating* work
    cdef Sweep sweep

    sweep.ny, sweep.nx, sweep.steps, sweep.walls = ny, nx, steps, walls
    sweep.rows = steps + 2
    widest = CACHE_BYTES // <Py_ssize_t> (3 * sweep.rows * sizeof(floating)) - 2 * steps
    widest = max(widest, <Py_ssize_t> NARROWEST)
    column_blocks = (nx + widest - 1) // widest
    # Each thread gets as many blocks as any other.
    row_blocks = min(threads // _common_divisor(threads, n * column_blocks), ny)
    blocks = n * column_blocks * row_blocks
    # An odd number of cache lines, so that rows do not all start in the same place of the cache,
    # and a line before the first cell, since whole vectors are computed.
    line = LINE_BYTES // <Py_ssize_t> sizeof(floating)
    widest = (nx + column_blocks - 1) // column_blocks + 2 * steps
    sweep.stride = ((widest + line - 1) // line + 2 | 1) * line
    ring = KINDS * sweep.rows * sweep.stride
    work = <floating*> aligned_alloc(LINE_BYTES, threads * ring * sizeof(floating))
    if work == NULL:
        raise MemoryError
    memset(work, 0, threads * ring * sizeof(floating))
    with nogil:
        for item in prange(blocks, num_threads=threads, schedule="dynamic"):
            _filter_block(
                &fields[0, 0, 0],
                &out[0, 0, 0],
                &coefficients[0],
                sweep,
                item,
                row_blocks,
                column_blocks,
                work + threadid() * ring + line,
            )
    free(work)


cdef Py_ssize_t _common_divisor(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    while b:
        a, b = b, a % b
    return a


cdef void _filter_block(
    const floating* fields,         # IN
    floating* out,                  # OUT
    const double* coefficients,     # IN
    Sweep sweep,                    # IN
    Py_ssize_t item,                # IN, which block of which field
    Py_ssize_t row_blocks,          # IN
    Py_ssize_t column_blocks,       # IN
    floating* work,                 # (KINDS, rows, stride)
) noexcept nogil:
    """Filter one block, as if there were no land until some is found."""
    cdef Py_ssize_t row_block = item % row_blocks
    cdef Py_ssize_t column_block = item // row_blocks % column_blocks
    cdef Py_ssize_t start = item // (row_blocks * column_blocks) * sweep.ny * sweep.nx

    sweep.first_row = sweep.ny * row_block // row_blocks
    sweep.end_row = sweep.ny * (row_block + 1) // row_blocks
    sweep.first_column = sweep.nx * column_block // column_blocks
    sweep.end_column = sweep.nx * (column_block + 1) // column_blocks
    sweep.land = False
    if not _sweep(fields + start, out + start, coefficients, sweep, work):
        sweep.land = True
        _sweep(fields + start, out + start, coefficients, sweep, work)


cdef bint _sweep(
    const floating* field,          # IN
    floating* out,                  # OUT
    const double* coefficients,     # IN
    Sweep sweep,                    # IN
    floating* work,                 # (KINDS, rows, stride)
) noexcept nogil:
    """All steps for one block; False, with nothing of use done, at land that was not expected."""
    cdef Py_ssize_t kind = sweep.rows * sweep.stride
    cdef floating* values = work
    cdef floating* sea = work + 3 * kind
    cdef floating* closed = work + 4 * kind
    cdef Py_ssize_t width = sweep.end_column - sweep.first_column + 2 * sweep.steps
    cdef Py_ssize_t low = sweep.first_row - sweep.steps
    cdef Py_ssize_t high = sweep.end_row + sweep.steps
    cdef Py_ssize_t tick, m, j
    cdef bint both
    cdef Py_ssize_t slot = -1

    if sweep.walls:
        low = max(low, <Py_ssize_t> 0)
        high = min(high, sweep.ny)
    for tick in range(low, high + sweep.steps):
        slot = slot + 1 if slot + 1 < sweep.rows else 0
        if tick < high and not _read_row(field, values, sea, coefficients, sweep, tick, slot, width):
            return False
        if sweep.land and low < tick <= high:
            j = tick - 1
            _count_closed(
                _at(sea, sweep, slot - 2 if j > low else slot - 1),
                _at(sea, sweep, slot - 1),
                _at(sea, sweep, slot if j < high - 1 else slot - 1),
                _at(closed, sweep, slot - 1),
                width,
            )
        m = 1
        while m <= sweep.steps:
            # Step m + 1 for the row to the south goes with step m where both are to be taken.
            both = (
                m < sweep.steps
                and not sweep.land
                and _is_due(sweep, m, tick - m, low, high)
                and _is_due(sweep, m + 1, tick - m - 1, low, high)
            )
            if both:
                _step_twice(values, sea, closed, coefficients, sweep, m, tick, slot, low, high, width)
                m += 2
                continue
            if _is_due(sweep, m, tick - m, low, high):
                _step(values, sea, closed, coefficients, sweep, m, tick, slot, low, high, width)
            m += 1
        j = tick - sweep.steps
        if _is_due(sweep, sweep.steps, j, low, high):
            _write_row(values, sea, out, sweep, j, slot - sweep.steps)
    return True


cdef inline bint _is_due(
    const Sweep& sweep, Py_ssize_t m, Py_ssize_t j, Py_ssize_t low, Py_ssize_t high
) noexcept nogil:
    """Whether row ``j`` is still right after step ``m``, which spoils one at a side but a wall."""
    cdef Py_ssize_t first = low if sweep.walls and low == 0 else low + m
    cdef Py_ssize_t end = high if sweep.walls and high == sweep.ny else high - m
    return first <= j < end


cdef inline floating* _at(floating* ring, const Sweep& sweep, Py_ssize_t slot) noexcept nogil:
    """Row ``slot`` of the ring, counted round from either end."""
    if slot < 0:
        slot += sweep.rows
    return ring + slot * sweep.stride


cdef bint _read_row(
    const floating* field,          # IN
    floating* values,               # OUT
    floating* sea,                  # OUT
    const double* coefficients,     # IN
    const Sweep& sweep,             # IN
    Py_ssize_t j,                   # IN, may be before the first row or after the last
    Py_ssize_t slot,                # IN, the row's place in the ring
    Py_ssize_t width,               # IN
) noexcept nogil:
    """A row of the field with the sides of the block, 0 on land, and of b_K = c_K f.

    False at land that was not expected.
    """
    cdef const floating* source = field + (j % sweep.ny + sweep.ny) % sweep.ny * sweep.nx
    cdef floating* row = _at(values, sweep, slot)
    cdef floating* first = _at(values + sweep.rows * sweep.stride, sweep, slot)
    cdef floating* wet = _at(sea, sweep, slot)
    cdef floating coefficient = <floating> coefficients[sweep.steps]
    cdef Py_ssize_t i = (sweep.first_column - sweep.steps) % sweep.nx
    cdef Py_ssize_t done = 0
    cdef Py_ssize_t part
    cdef bint dry = False

    if i < 0:
        i += sweep.nx
    while done < width:
        part = min(sweep.nx - i, width - done)
        dry |= begin(source + i, row + done, first + done, coefficient, part)
        done += part
        i = 0
    if not sweep.land:
        return not dry
    for i in range(width):
        wet[i] = 1 if row[i] == row[i] else 0
        if wet[i] == 0:
            row[i] = 0
            first[i] = 0
    return True


cdef inline Row[floating] _row(
    floating* values,               # IN
    floating* sea,                  # IN
    floating* closed,               # IN
    const Sweep& sweep,             # IN
    Py_ssize_t m,                   # IN, the step
    Py_ssize_t tick,                # IN
    Py_ssize_t slot,                # IN, the place in the ring of the row that is read at this tick
    Py_ssize_t low,                 # IN, the first row there is
    Py_ssize_t high,                # IN, the end of the rows
) noexcept nogil:
    """What step ``m`` makes of b_(K - m) at this tick, K the number of steps."""
    cdef Py_ssize_t kind = sweep.rows * sweep.stride
    cdef floating* newer = values + (2 - m % 2) * kind
    cdef floating* older = values + (1 + m % 2) * kind
    cdef Py_ssize_t j = tick - m
    cdef Py_ssize_t here = slot - m
    cdef Row[floating] row

    row.field = _at(values, sweep, here)
    # Beyond a wall the row itself stands for the one that is not there.
    row.south = _at(newer, sweep, here - 1 if j > low else here)
    row.centre = _at(newer, sweep, here)
    row.north = _at(newer, sweep, here + 1 if j < high - 1 else here)
    row.before = _at(older, sweep, here) if m > 1 else values + 5 * kind
    row.sea = _at(sea, sweep, here) if sweep.land else NULL
    row.closed = _at(closed, sweep, here) if sweep.land else NULL
    row.out = _at(older, sweep, here)
    return row


cdef inline void _step(
    floating* values,               # IN/OUT
    floating* sea,                  # IN
    floating* closed,               # IN
    const double* coefficients,     # IN
    const Sweep& sweep,             # IN
    Py_ssize_t m,                   # IN, the step
    Py_ssize_t tick,                # IN
    Py_ssize_t slot,                # IN
    Py_ssize_t low,                 # IN
    Py_ssize_t high,                # IN
    Py_ssize_t width,               # IN
) noexcept nogil:
    """One step for its row."""
    cdef Py_ssize_t lanes = VECTOR_BYTES // <Py_ssize_t> sizeof(floating)
    cdef Row[floating] row = _row(values, sea, closed, sweep, m, tick, slot, low, high)

    # Whole aligned vectors; what is computed too much is as little used as what is spoilt.
    recur(
        row,
        <floating> coefficients[sweep.steps - m],
        <floating> (-0.5 if m < sweep.steps else -0.25),
        m // lanes * lanes,
        (width - m + lanes - 1) // lanes * lanes,
    )


cdef inline void _step_twice(
    floating* values,               # IN/OUT
    floating* sea,                  # IN
    floating* closed,               # IN
    const double* coefficients,     # IN
    const Sweep& sweep,             # IN
    Py_ssize_t m,                   # IN, the first of the two steps
    Py_ssize_t tick,                # IN
    Py_ssize_t slot,                # IN
    Py_ssize_t low,                 # IN
    Py_ssize_t high,                # IN
    Py_ssize_t width,               # IN
) noexcept nogil:
    """Step ``m`` for its row, and step m + 1 for the row to the south of it."""
    cdef Py_ssize_t lanes = VECTOR_BYTES // <Py_ssize_t> sizeof(floating)
    cdef Row[floating] row = _row(values, sea, closed, sweep, m, tick, slot, low, high)
    cdef Row[floating] next_row = _row(values, sea, closed, sweep, m + 1, tick, slot, low, high)

    recur_twice(
        row,
        next_row,
        <floating> coefficients[sweep.steps - m],
        <floating> coefficients[sweep.steps - m - 1],
        <floating> -0.5,
        <floating> (-0.5 if m + 1 < sweep.steps else -0.25),
        m // lanes * lanes,
        (width - m + lanes - 1) // lanes * lanes,
    )


cdef void _write_row(
    const floating* values,     # IN
    const floating* sea,        # IN
    floating* out,              # OUT
    const Sweep& sweep,         # IN
    Py_ssize_t j,               # IN
    Py_ssize_t slot,            # IN, the row's place in the ring
) noexcept nogil:
    """Copy a row of the result, without the sides of the block, and NaN on land."""
    cdef Py_ssize_t kind = sweep.rows * sweep.stride
    cdef const floating* row = _at(
        <floating*> values + (1 + sweep.steps % 2) * kind, sweep, slot
    ) + sweep.steps
    cdef const floating* wet = _at(<floating*> sea, sweep, slot) + sweep.steps
    cdef floating* target = out + j * sweep.nx + sweep.first_column
    cdef Py_ssize_t n = sweep.end_column - sweep.first_column
    cdef Py_ssize_t i

    memcpy(target, row, n * sizeof(floating))
    if sweep.land:
        for i in range(n):
            if wet[i] == 0:
                target[i] = NAN


cdef void _count_closed(
    const floating* south,     # IN
    const floating* centre,    # IN
    const floating* north,     # IN
    floating* closed,          # OUT
    Py_ssize_t width,          # IN
) noexcept nogil:
    """How many neighbours of each cell are land."""
    cdef Py_ssize_t i
    for i in range(1, width - 1):
        closed[i] = 4 - (centre[i - 1] + centre[i + 1] + south[i] + north[i])
