"""The polynomial filter of gcm-filters on a regular Cartesian grid, periodic in x.

The filter is p(t) = sum of c_m T_m(t), T_m the Chebyshev polynomials and t the operator
-(1 + Laplacian/4), Laplacian the five-point one without 1/dx^2. The identity that makes it cheap:
t f = -(sum of the four neighbours)/4, where a neighbour that is a wall or land counts as the cell
itself, which is the condition of no flux.

Grooms et al. (2021), Diffusion-based smoothers for spatial filtering of gridded geophysical data,
JAMES 13, doi:10.1029/2021MS002552.
"""

from cython cimport floating
from libc.math cimport NAN
from libc.stdlib cimport calloc
from libc.stdlib cimport free
from libc.string cimport memcpy
from libc.string cimport memset


def chebyshev_filter(
    const floating[:, :, ::1] fields,       # IN
    floating[:, :, ::1] out,                # OUT
    const double[::1] coefficients,         # IN
    bint walls,                             # IN
):
    """Filter each of ``fields`` into ``out``.

    A cell that is NaN is land: nothing passes through its faces, and it is NaN in ``out`` too. This
    is REGULAR_WITH_LAND with the mask of the cells that are not NaN.

    Args:
        fields: (fields, ny, nx).
        out: (fields, ny, nx); not the memory of ``fields``.
        coefficients: (steps + 1,), at least two: c_m, of the Chebyshev polynomials.
        walls: Walls beyond the first and the last row (as a row of land there); otherwise y is
            periodic too.

    Raises:
        ValueError: Shapes differ, or there are fewer than two coefficients.
    """
    cdef Py_ssize_t n = fields.shape[0]
    cdef Py_ssize_t ny = fields.shape[1]
    cdef Py_ssize_t nx = fields.shape[2]
    cdef Py_ssize_t f
    cdef floating* work

    if out.shape[0] != n or out.shape[1] != ny or out.shape[2] != nx:
        raise ValueError(
            f"The fields have the shape {(n, ny, nx)}, but the array for the result has "
            f"{(out.shape[0], out.shape[1], out.shape[2])}."
        )
    if coefficients.shape[0] < 2:
        raise ValueError("A filter needs at least two coefficients.")
    if n * ny * nx == 0:
        return

    work = <floating*> calloc(4 * ny * nx, sizeof(floating))
    if work == NULL:
        raise MemoryError
    with nogil:
        for f in range(n):
            _filter(
                &fields[f, 0, 0],
                &out[f, 0, 0],
                ny,
                nx,
                &coefficients[0],
                coefficients.shape[0],
                walls,
                work,
            )
    free(work)


cdef void _filter(
    const floating* field,          # IN
    floating* out,                  # OUT
    Py_ssize_t ny,                  # IN
    Py_ssize_t nx,                  # IN
    const double* coefficients,     # IN
    Py_ssize_t n_coefficients,      # IN
    bint walls,                     # IN
    floating* work,                 # (4, ny, nx)
) noexcept nogil:
    """T_{m+1} = 2 t T_m - T_{m-1}; T_{m+1} overwrites T_{m-1}, which is needed cell by cell only."""
    cdef Py_ssize_t size = ny * nx
    cdef floating* older = work
    cdef floating* newer = work + size
    cdef floating* wet = NULL
    cdef floating* closed = NULL
    cdef Py_ssize_t i, j, m, south, north
    cdef floating factor

    memset(older, 0, size * sizeof(floating))
    memcpy(newer, field, size * sizeof(floating))
    if _mask(field, ny, nx, walls, work + 2 * size, work + 3 * size):
        wet = work + 2 * size
        closed = work + 3 * size
        for i in range(size):
            if wet[i] == 0:
                newer[i] = 0
    for i in range(size):
        out[i] = <floating> coefficients[0] * newer[i]

    for m in range(1, n_coefficients):
        factor = -0.25 if m == 1 else -0.5
        for j in range(ny):
            south = _row(j - 1, ny, walls)
            north = _row(j + 1, ny, walls)
            _step_row(
                newer + south * nx,
                newer + j * nx,
                newer + north * nx,
                older + j * nx,
                out + j * nx,
                NULL if wet == NULL else wet + j * nx,
                NULL if wet == NULL else closed + j * nx,
                nx,
                factor,
                <floating> coefficients[m],
            )
        older, newer = newer, older

    if wet != NULL:
        for i in range(size):
            if wet[i] == 0:
                out[i] = NAN


cdef inline Py_ssize_t _row(Py_ssize_t j, Py_ssize_t ny, bint walls) noexcept nogil:
    """The row that stands for row ``j``: at a wall the one before it."""
    if 0 <= j < ny:
        return j
    if walls:
        return 0 if j < 0 else ny - 1
    return ny - 1 if j < 0 else 0


cdef bint _mask(
    const floating* field,      # IN
    Py_ssize_t ny,              # IN
    Py_ssize_t nx,              # IN
    bint walls,                 # IN
    floating* wet,              # OUT
    floating* closed,           # OUT
) noexcept nogil:
    """For each cell 1 or 0, and how many of its neighbours are land; whether there is any land."""
    cdef Py_ssize_t i, j
    cdef bint land = False

    for i in range(ny * nx):
        wet[i] = 1 if field[i] == field[i] else 0
        if wet[i] == 0:
            land = True
    if not land:
        return False
    for j in range(ny):
        for i in range(nx):
            closed[j * nx + i] = 4 - (
                wet[j * nx + (i - 1 if i > 0 else nx - 1)]
                + wet[j * nx + (i + 1 if i < nx - 1 else 0)]
                + wet[_row(j - 1, ny, walls) * nx + i]
                + wet[_row(j + 1, ny, walls) * nx + i]
            )
    return True


cdef inline void _step_row(
    const floating* south,      # IN
    const floating* centre,     # IN
    const floating* north,      # IN
    floating* older,            # IN/OUT
    floating* out,              # IN/OUT
    const floating* wet,        # IN, NULL if there is no land
    const floating* closed,     # IN, NULL if there is no land
    Py_ssize_t nx,              # IN
    floating factor,            # IN
    floating coefficient,       # IN
) noexcept nogil:
    """One row of T_{m+1} and what it adds to the result."""
    cdef Py_ssize_t i, west, east
    cdef floating total

    if wet != NULL:
        for i in range(nx):
            west = i - 1 if i > 0 else nx - 1
            east = i + 1 if i < nx - 1 else 0
            total = centre[west] + centre[east] + south[i] + north[i] + closed[i] * centre[i]
            older[i] = wet[i] * (factor * total - older[i])
            out[i] += coefficient * older[i]
        return

    for i in range(1, nx - 1):
        older[i] = factor * (centre[i - 1] + centre[i + 1] + south[i] + north[i]) - older[i]
        out[i] += coefficient * older[i]
    # The seam in x; a single column is its own neighbour.
    total = centre[nx - 1] + centre[1 if nx > 1 else 0] + south[0] + north[0]
    older[0] = factor * total - older[0]
    out[0] += coefficient * older[0]
    if nx > 1:
        i = nx - 1
        total = centre[i - 1] + centre[0] + south[i] + north[i]
        older[i] = factor * total - older[i]
        out[i] += coefficient * older[i]
