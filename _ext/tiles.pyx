# distutils: language = c++
"""Global arrays from the tiles that the ranks of a simulation send.

A tile is the array of one rank and one field, halo included. Its values are read where they lie, in
an array or in a reply of the store, and its computational domain is copied to its place.
"""

cimport numpy as cnp
from bounds cimport COLUMNS
from bounds cimport I_OFFSET
from bounds cimport IEC
from bounds cimport ISC
from bounds cimport J_OFFSET
from bounds cimport JEC
from bounds cimport JSC
from bounds cimport NI
from bounds cimport NJ
from bounds cimport RANK
from cpython.memoryview cimport PyMemoryView_GET_BUFFER
from cpython.object cimport PyObject
from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport NAN
from libc.stdint cimport int64_t
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc
from libc.stdlib cimport free
from libc.string cimport memcpy

import numpy as np

from parslflow._ext.decomposition import covered

cnp.import_array()

cdef extern from "kernels/transpose.h" namespace "parslflow" nogil:
    void transpose(
        const char*, Py_ssize_t, double*, Py_ssize_t, Py_ssize_t, Py_ssize_t
    ) noexcept
    void transpose(
        const char*, Py_ssize_t, float*, Py_ssize_t, Py_ssize_t, Py_ssize_t
    ) noexcept

cdef extern from "Python.h":
    ctypedef struct PyListObject:
        PyObject** ob_item
    bint PyList_CheckExact(object)
    Py_ssize_t PyList_GET_SIZE(object)
    PyObject* PyList_GET_ITEM(object, Py_ssize_t)

cdef extern from "kernels/vectors.h" namespace "parslflow" nogil:
    void prefetch(const void*) noexcept

cdef enum:
    # How many values ahead memory is asked for: with thousands of small tiles, waiting for it is
    # all that takes time.
    AHEAD = 16
    AHEAD_RANKS = 2
    LINES = 4


def assemble(
    floating[:, :, :, ::1] out,       # OUT
    const int[:, :, ::1] bounds,      # IN
    tiles,                            # IN
    fields,                           # IN
    int ranks,                        # IN
    str order="ij",                   # IN
    land=None,                        # IN
    int threads=1,                    # IN
):
    """Put the computational domains of the tiles of all ranks into ``out``.

    Args:
        out: (times, fields, ny, nx), C-contiguous; written whole, or not at all if a tile is
            refused.
        bounds: (times, tiles, 9), where each tile lies: rank, i and j offsets (global = local +
            offset), isc, iec, jsc, jec (computational domain, 1-based, ends included, in the tile
            with its halo), and the tile's extents ni and nj, halo included.
        tiles: ``tiles[k][t][f]`` is the tile of time k, row ``t`` and field ``f``: a C-contiguous
            array of the type of ``out``, or its bytes in any buffer object; None if it was not
            sent.
        fields: The names of the fields, for messages.
        ranks: How many ranks there are; each has one tile.
        order: "ij" for tiles of shape (ni, nj), as Fortran clients send ``a(i, j)``; "ji" for
            (nj, ni).
        land: (ny, nx) bool; cells that may lie in no tile, since no rank was started for them. They
            become NaN.
        threads: How many threads copy.

    Raises:
        ValueError: A tile is missing, doubled, has the wrong shape or type, is not contiguous,
            reaches out of the global array or overlaps another, or cells are left uncovered. The
            message names rank and field.
    """
    cdef Py_ssize_t n_times = out.shape[0]
    cdef Py_ssize_t n_fields = out.shape[1]
    cdef Py_ssize_t n_tiles = bounds.shape[1]
    cdef Py_ssize_t n = n_times * n_tiles * n_fields
    cdef Py_ssize_t k, t, f, at
    cdef Py_ssize_t rows, columns
    cdef bint transposed = _is_transposed(order)
    cdef int kind = cnp.NPY_FLOAT if floating is float else cnp.NPY_DOUBLE
    cdef const char** where
    cdef object of_time, of_rank, tile
    cdef list views = []

    cells = _check(out, bounds, fields, ranks, land, threads)
    if len(tiles) != n_times:
        raise ValueError(f"There are tiles of {len(tiles)} times where out has {n_times}.")

    where = <const char**> calloc(max(n, 1), sizeof(char*))
    if where == NULL:
        raise MemoryError
    try:
        for k in range(n_times):
            of_time = tiles[k]
            if len(of_time) != n_tiles:
                raise ValueError(f"There are {len(of_time)} tiles but {n_tiles} rows of bounds.")
            for t in range(n_tiles):
                of_rank = of_time[t]
                _fetch_ahead(of_time, t)
                if len(of_rank) != n_fields:
                    raise ValueError(
                        f"Rank {bounds[k, t, RANK]} sent {len(of_rank)} fields where {n_fields} "
                        "are needed."
                    )
                rows = bounds[k, t, NI] if transposed else bounds[k, t, NJ]
                columns = bounds[k, t, NJ] if transposed else bounds[k, t, NI]
                for f in range(n_fields):
                    at = (k * n_tiles + t) * n_fields + f
                    tile = of_rank[f]
                    where[at] = _plain(tile, rows, columns, kind)
                    if where[at] == NULL:
                        view = _view(
                            tile, rows, columns, sizeof(floating), bounds[k, t, RANK], fields[f]
                        )
                        views.append(view)
                        where[at] = <const char*> PyMemoryView_GET_BUFFER(view).buf
        # The GIL is kept: nobody may change the lists, or free their arrays, before all is copied.
        _place(out, bounds, where, transposed, cells, threads)
    finally:
        free(where)


def assemble_bytes(
    floating[:, :, :, ::1] out,       # OUT
    const int[:, :, ::1] bounds,      # IN
    const unsigned char[::1] data,    # IN
    const int64_t[:, :, ::1] offsets, # IN
    fields,                           # IN
    int ranks,                        # IN
    str order="ij",                   # IN
    land=None,                        # IN
    int threads=1,                    # IN
):
    """As ``assemble``, with all tiles in one buffer, such as the store's replies.

    Args:
        out: As in ``assemble``.
        bounds: As in ``assemble``.
        data: The buffer.
        offsets: (times, tiles, fields), where each tile's values begin in it.
        fields: As in ``assemble``.
        ranks: As in ``assemble``.
        order: As in ``assemble``.
        land: As in ``assemble``.
        threads: As in ``assemble``.

    Raises:
        ValueError: As in ``assemble``, or a tile does not lie in the buffer.
    """
    cdef Py_ssize_t n_fields = out.shape[1]
    cdef Py_ssize_t n_tiles = bounds.shape[1]
    cdef Py_ssize_t k, t, f
    cdef int64_t size
    cdef bint transposed = _is_transposed(order)
    cdef const char** where

    cells = _check(out, bounds, fields, ranks, land, threads)
    if (
        offsets.shape[0] != out.shape[0]
        or offsets.shape[1] != n_tiles
        or offsets.shape[2] != n_fields
    ):
        raise ValueError(
            f"offsets has the shape {(offsets.shape[0], offsets.shape[1], offsets.shape[2])} where "
            f"{(out.shape[0], n_tiles, n_fields)} is needed."
        )

    where = <const char**> calloc(max(out.shape[0] * n_tiles * n_fields, 1), sizeof(char*))
    if where == NULL:
        raise MemoryError
    try:
        for k in range(out.shape[0]):
            for t in range(n_tiles):
                size = <int64_t> bounds[k, t, NI] * bounds[k, t, NJ]
                for f in range(n_fields):
                    if (
                        not 0 <= offsets[k, t, f] <= data.shape[0]
                        or size > (data.shape[0] - offsets[k, t, f]) // <int64_t> sizeof(floating)
                    ):
                        raise ValueError(
                            f"{fields[f]!r} of rank {bounds[k, t, RANK]} at byte "
                            f"{offsets[k, t, f]} does not lie in the buffer of {data.shape[0]}."
                        )
                    where[(k * n_tiles + t) * n_fields + f] = (
                        <const char*> &data[0] + offsets[k, t, f]
                    )
        with nogil:
            _place(out, bounds, where, transposed, cells, threads)
    finally:
        free(where)


cdef bint _is_transposed(str order) except -1:
    if order not in ("ij", "ji"):
        raise ValueError(f"The order of a tile's indices is 'ij' or 'ji', not {order!r}.")
    return order == "ij"


cdef uint64_t[:, :, ::1] _check(
    floating[:, :, :, ::1] out, const int[:, :, ::1] bounds, fields, int ranks, land, int threads
):
    """The arguments fit together; the cells that lie in a tile, see ``decomposition.covered``."""
    cdef Py_ssize_t ny = out.shape[2]
    cdef Py_ssize_t nx = out.shape[3]

    if bounds.shape[0] != out.shape[0]:
        raise ValueError(f"There are bounds of {bounds.shape[0]} times where out has {out.shape[0]}.")
    if len(fields) != out.shape[1]:
        raise ValueError(f"There are {len(fields)} names for {out.shape[1]} fields.")
    if threads < 1:
        raise ValueError(f"At least one thread has to copy, not {threads}.")
    if land is None:
        return covered(bounds, ranks, ny, nx)
    mask = np.ascontiguousarray(land)
    if mask.dtype != np.bool_ or mask.ndim != 2:
        raise ValueError(
            f"land has {mask.ndim} dimensions of {mask.dtype} where two of bool are needed."
        )
    return covered(bounds, ranks, ny, nx, mask.view(np.uint8))


# The tiles, one by one


cdef inline void _fetch_ahead(of_time, Py_ssize_t t) noexcept:
    """Ask for the memory of the arrays of the next ranks, each link of the chain in its turn."""
    cdef Py_ssize_t link, f
    cdef PyObject* of_rank
    cdef PyObject* array

    if not PyList_CheckExact(of_time):
        return
    for link in range(1, 5):
        if t + link * AHEAD_RANKS >= PyList_GET_SIZE(of_time):
            return
        of_rank = PyList_GET_ITEM(of_time, t + link * AHEAD_RANKS)
        if link == 4:
            prefetch(of_rank)
            return
        if not PyList_CheckExact(<object> of_rank):
            return
        if link == 3:
            prefetch((<PyListObject*> of_rank).ob_item)
            continue
        for f in range(PyList_GET_SIZE(<object> of_rank)):
            array = PyList_GET_ITEM(<object> of_rank, f)
            if link == 2:
                prefetch(array)
            elif cnp.PyArray_CheckExact(<object> array):
                prefetch(cnp.PyArray_DIMS(<cnp.ndarray> array))


cdef inline const char* _plain(tile, Py_ssize_t rows, Py_ssize_t columns, int kind) noexcept:
    """Where the values of an array of the right shape and type lie; NULL for all else."""
    if not cnp.PyArray_Check(tile):
        return NULL
    cdef cnp.ndarray array = <cnp.ndarray> tile
    if (
        cnp.PyArray_NDIM(array) != 2
        or cnp.PyArray_TYPE(array) != kind
        or not cnp.PyArray_IS_C_CONTIGUOUS(array)
        or not cnp.PyArray_ISNOTSWAPPED(array)
        or cnp.PyArray_DIM(array, 0) != rows
        or cnp.PyArray_DIM(array, 1) != columns
    ):
        return NULL
    return cnp.PyArray_BYTES(array)


cdef _view(
    tile, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t itemsize, int rank, field
):
    """A memoryview of an array (rows, columns) of the right type, or of just as many bytes."""
    what = f"{field!r} of rank {rank}"
    if tile is None:
        raise ValueError(f"Rank {rank} sent no field {field!r}.")
    try:
        view = memoryview(tile)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{what} is of type {type(tile).__name__}: give an array or its bytes."
        ) from error
    if not view.c_contiguous:
        raise ValueError(f"{what} is not C-contiguous: pass it through numpy.ascontiguousarray.")
    if view.format.lower() in ("b", "c"):
        if view.nbytes != rows * columns * itemsize:
            raise ValueError(
                f"{what} has {view.nbytes} bytes where {rows} by {columns} values need "
                f"{rows * columns * itemsize}."
            )
    elif view.format.lstrip("<=@") != ("d" if itemsize == 8 else "f"):
        raise ValueError(
            f"{what} is not of the type of the global array ({itemsize} bytes a value)."
        )
    elif view.shape != (rows, columns):
        raise ValueError(f"{what} has the shape {view.shape} where {(rows, columns)} is needed.")
    return view


cdef void _place(
    floating[:, :, :, ::1] out,            # OUT
    const int[:, :, ::1] bounds,           # IN
    const char** where,                    # IN, (times, tiles, fields)
    bint transposed,                       # IN
    const uint64_t[:, :, ::1] cells,       # IN, those that lie in a tile
    int threads,                           # IN
) noexcept nogil:
    """Copy every tile to its place; NaN where there is none."""
    cdef Py_ssize_t n_tiles = bounds.shape[1]
    cdef Py_ssize_t n_fields = out.shape[1]
    cdef Py_ssize_t n = out.shape[0] * n_tiles * n_fields
    cdef Py_ssize_t item

    if n == 0:
        return
    _clear(out, cells)
    for item in prange(n, num_threads=threads, schedule="static"):
        _place_tile(out, &bounds[0, 0, 0], where, transposed, item, n_tiles, n_fields, n)


cdef void _clear(
    floating[:, :, :, ::1] out,            # OUT
    const uint64_t[:, :, ::1] cells,       # IN
) noexcept nogil:
    """NaN in the cells that lie in no tile."""
    cdef Py_ssize_t nx = out.shape[3]
    cdef Py_ssize_t k, f, j, i, word
    cdef uint64_t whole

    for k in range(out.shape[0]):
        for j in range(out.shape[2]):
            for word in range(cells.shape[2]):
                whole = ~(<uint64_t> 0) >> <uint64_t> max(64 * (word + 1) - nx, 0)
                if cells[k, j, word] == whole:
                    continue
                for i in range(64 * word, min(64 * (word + 1), nx)):
                    if not (cells[k, j, word] >> <uint64_t> (i - 64 * word)) & 1:
                        for f in range(out.shape[1]):
                            out[k, f, j, i] = NAN


cdef inline void _place_tile(
    floating[:, :, :, ::1] out,      # OUT
    const int* all_bounds,           # IN
    const char** where,              # IN
    bint transposed,                 # IN
    Py_ssize_t item,                 # IN, which of all times, tiles and fields
    Py_ssize_t n_tiles,              # IN
    Py_ssize_t n_fields,             # IN
    Py_ssize_t n,                    # IN, how many items there are
) noexcept nogil:
    """Copy the computational domain of one tile to its place in the global array."""
    cdef const int* bounds = all_bounds + (item // n_fields) * COLUMNS
    cdef Py_ssize_t ni = bounds[IEC] - bounds[ISC] + 1
    cdef Py_ssize_t nj = bounds[JEC] - bounds[JSC] + 1
    cdef Py_ssize_t nx = out.shape[3]
    cdef Py_ssize_t stride = bounds[NJ] if transposed else bounds[NI]
    cdef Py_ssize_t j
    cdef const char* corner = where[item] + sizeof(floating) * (
        (bounds[ISC] - 1) * stride + bounds[JSC] - 1
        if transposed
        else (bounds[JSC] - 1) * stride + bounds[ISC] - 1
    )
    cdef floating* target = &out[
        item // (n_fields * n_tiles),
        item % n_fields,
        bounds[J_OFFSET] + bounds[JSC] - 1,
        bounds[I_OFFSET] + bounds[ISC] - 1,
    ]

    if item + AHEAD < n:
        # The first lines of the same place: all of a small tile, and of a large one what the
        # processor goes on from by itself.
        for j in range(min(ni if transposed else nj, <Py_ssize_t> LINES)):
            prefetch(where[item + AHEAD] + (corner - where[item]) + j * stride * sizeof(floating))
    if transposed:
        transpose(corner, stride, target, nx, ni, nj)
    else:
        for j in range(nj):
            memcpy(
                target + j * nx,
                corner + j * stride * sizeof(floating),
                ni * sizeof(floating),
            )
