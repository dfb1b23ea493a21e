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
from cells cimport BITS
from cells cimport has_cell
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

from parslflow._ext import arguments
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


def assemble(out, bounds, tiles, fields, int ranks, str order="ij", land=None, int threads=1):
    """Put the computational domains of the tiles of all ranks into ``out``.

    Args:
        out: (times, fields, ny, nx), float32 or float64, C-contiguous; written whole, or not at
            all if a tile is refused.
        bounds: (times, tiles, 9) intc, where each tile lies: rank, i and j offsets (global = local +
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
    cells = _check(out, bounds, fields, ranks, land, threads)
    if len(tiles) != out.shape[0]:
        raise ValueError(f"There are tiles of {len(tiles)} times where out has {out.shape[0]}.")
    if out.dtype == np.float64:
        _assemble[double](out, bounds, tiles, fields, _is_transposed(order), cells, threads)
    else:
        _assemble[float](out, bounds, tiles, fields, _is_transposed(order), cells, threads)


cdef _assemble(
    floating[:, :, :, ::1] out,            # OUT
    const int[:, :, ::1] bounds,           # IN
    tiles,                                 # IN
    fields,                                # IN
    bint transposed,                       # IN
    const uint64_t[:, :, ::1] cells,       # IN, those that lie in a tile
    int threads,                           # IN
):
    """Find where the values of all tiles lie, then copy them."""
    cdef Py_ssize_t n_times = out.shape[0]
    cdef Py_ssize_t n_fields = out.shape[1]
    cdef Py_ssize_t n_tiles = bounds.shape[1]
    cdef Py_ssize_t n = n_times * n_tiles * n_fields
    cdef Py_ssize_t k, t, f, at
    cdef Py_ssize_t rows, columns
    cdef int kind = cnp.NPY_FLOAT if floating is float else cnp.NPY_DOUBLE
    cdef const char** where
    cdef list of_time, of_rank
    cdef object tile
    cdef list held = []

    where = <const char**> calloc(max(n, 1), sizeof(char*))
    if where == NULL:
        raise MemoryError
    try:
        for k in range(n_times):
            of_time = _listed(tiles[k], held)
            if len(of_time) != n_tiles:
                raise ValueError(f"There are {len(of_time)} tiles but {n_tiles} rows of bounds.")
            for t in range(n_tiles):
                of_rank = _listed(of_time[t], held)
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
                        held.append(view)
                        where[at] = <const char*> PyMemoryView_GET_BUFFER(view).buf
        # The GIL is kept: nobody may change the lists, or free their arrays, before all is copied.
        _place(out, bounds, where, transposed, cells, threads)
    finally:
        free(where)


def assemble_bytes(
    out, bounds, data, offsets, fields, int ranks, str order="ij", land=None, int threads=1
):
    """As ``assemble``, with all tiles in one buffer, such as the store's replies.

    Args:
        out: As in ``assemble``.
        bounds: As in ``assemble``.
        data: The buffer, uint8.
        offsets: (times, tiles, fields) int64, where each tile's values begin in it.
        fields: As in ``assemble``.
        ranks: As in ``assemble``.
        order: As in ``assemble``.
        land: As in ``assemble``.
        threads: As in ``assemble``.

    Raises:
        ValueError: As in ``assemble``, or a tile does not lie in the buffer.
    """
    cells = _check(out, bounds, fields, ranks, land, threads)
    arguments.typed(data, "data", 1, np.uint8)
    arguments.typed(offsets, "offsets", 3, np.int64)
    wanted = (out.shape[0], bounds.shape[1], out.shape[1])
    if offsets.shape != wanted:
        raise ValueError(f"offsets has the shape {offsets.shape} where {wanted} is needed.")
    if out.dtype == np.float64:
        _assemble_bytes[double](
            out, bounds, data, offsets, fields, _is_transposed(order), cells, threads
        )
    else:
        _assemble_bytes[float](
            out, bounds, data, offsets, fields, _is_transposed(order), cells, threads
        )


cdef _assemble_bytes(
    floating[:, :, :, ::1] out,            # OUT
    const int[:, :, ::1] bounds,           # IN
    const unsigned char[::1] data,         # IN
    const int64_t[:, :, ::1] offsets,      # IN
    fields,                                # IN
    bint transposed,                       # IN
    const uint64_t[:, :, ::1] cells,       # IN, those that lie in a tile
    int threads,                           # IN
):
    """Check that all tiles lie in the buffer, then copy them."""
    cdef Py_ssize_t n_fields = out.shape[1]
    cdef Py_ssize_t n_tiles = bounds.shape[1]
    cdef Py_ssize_t k, t, f
    cdef int64_t size
    cdef const char** where

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


cdef _check(out, bounds, fields, int ranks, land, int threads):
    """The arguments fit together; the cells that lie in a tile, see ``decomposition.covered``."""
    arguments.real(out, "out", 4)
    arguments.typed(bounds, "bounds", 3, np.intc)
    arguments.threads(threads)
    if len(bounds) != len(out):
        raise ValueError(f"There are bounds of {len(bounds)} times where out has {len(out)}.")
    if len(fields) != out.shape[1]:
        raise ValueError(f"There are {len(fields)} names for {out.shape[1]} fields.")
    if land is not None:
        arguments.typed(land, "land", 2, np.bool_)
        land = land.view(np.uint8)
    return covered(bounds, ranks, out.shape[2], out.shape[3], land)


# The tiles, one by one


cdef inline _listed(sequence, list held):
    """The sequence as a list, which keeps its items alive."""
    if PyList_CheckExact(sequence):
        return sequence
    items = list(sequence)
    held.append(items)
    return items


cdef inline void _fetch_ahead(list of_time, Py_ssize_t t) noexcept:
    """Ask for the memory of the arrays of the next ranks, each link of the chain in its turn."""
    cdef Py_ssize_t link, f
    cdef PyObject* of_rank
    cdef PyObject* array

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
    cdef Py_ssize_t n = out.shape[0] * n_tiles
    cdef Py_ssize_t item

    if n == 0 or n_fields == 0:
        return
    _clear(out, cells)
    for item in prange(n, num_threads=threads, schedule="static"):
        _place_rank(
            &out[item // n_tiles, 0, 0, 0],
            out.shape[2],
            out.shape[3],
            &bounds[0, 0, 0] + item * COLUMNS,
            where + item * n_fields,
            transposed,
            n_fields,
            (n - item) * n_fields,
        )


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
                whole = ~(<uint64_t> 0) >> <uint64_t> max(BITS * (word + 1) - nx, 0)
                if cells[k, j, word] == whole:
                    continue
                for i in range(BITS * word, min(BITS * (word + 1), nx)):
                    if not has_cell(&cells[k, j, 0], i):
                        for f in range(out.shape[1]):
                            out[k, f, j, i] = NAN


cdef inline void _place_rank(
    floating* out,                   # OUT, (fields, ny, nx)
    Py_ssize_t ny,                   # IN
    Py_ssize_t nx,                   # IN
    const int* bounds,               # IN
    const char** where,              # IN, (fields,)
    bint transposed,                 # IN
    Py_ssize_t n_fields,             # IN
    Py_ssize_t left,                 # IN, how many tiles there are from here on
) noexcept nogil:
    """Copy the computational domains of one rank's tiles to their place in the global arrays."""
    cdef Py_ssize_t ni = bounds[IEC] - bounds[ISC] + 1
    cdef Py_ssize_t nj = bounds[JEC] - bounds[JSC] + 1
    cdef Py_ssize_t stride = bounds[NJ] if transposed else bounds[NI]
    cdef Py_ssize_t row = stride * sizeof(floating)
    cdef Py_ssize_t corner = sizeof(floating) * (
        (bounds[ISC] - 1) * stride + bounds[JSC] - 1
        if transposed
        else (bounds[JSC] - 1) * stride + bounds[ISC] - 1
    )
    cdef floating* target = (
        out
        + (<Py_ssize_t> bounds[J_OFFSET] + bounds[JSC] - 1) * nx
        + (<Py_ssize_t> bounds[I_OFFSET] + bounds[ISC] - 1)
    )
    # The first lines of the same place of a tile to come: all of a small one, and of a large one
    # what the processor goes on from by itself. Of a tile of another shape they are just others.
    cdef Py_ssize_t lines = min(ni if transposed else nj, <Py_ssize_t> LINES)
    cdef Py_ssize_t f, j

    for f in range(n_fields):
        if f + AHEAD < left:
            for j in range(lines):
                prefetch(where[f + AHEAD] + corner + j * row)
        if transposed:
            transpose(where[f] + corner, stride, target, nx, ni, nj)
        else:
            for j in range(nj):
                memcpy(target + j * nx, where[f] + corner + j * row, ni * sizeof(floating))
        target += ny * nx
