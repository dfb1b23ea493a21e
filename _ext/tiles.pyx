"""Global arrays from the tiles that the ranks of a simulation send.

A tile is the array of one rank and one field, halo included. Its bytes are read where they lie, in
an array or in a reply of the store, and its computational domain is copied to its place.
"""

from cpython.buffer cimport PyBUF_FORMAT
from cpython.buffer cimport PyBUF_ND
from cpython.buffer cimport PyBuffer_Release
from cpython.buffer cimport PyObject_GetBuffer
from cython cimport floating
from libc.stdlib cimport calloc
from libc.stdlib cimport free
from libc.string cimport memcpy

import numpy as np

# The columns of ``bounds``.
cdef enum:
    RANK
    I_OFFSET
    J_OFFSET
    ISC
    IEC
    JSC
    JEC
    NI
    NJ
    COLUMNS

cdef enum:
    # Side of the blocks of a transposed copy: one cache line of doubles, so that each line that is
    # read or written is used whole while it is in the cache.
    BLOCK = 8


def assemble(
    floating[:, :, ::1] out,      # OUT
    const int[:, ::1] bounds,     # IN
    tiles,                        # IN
    fields,                       # IN
    int ranks,                    # IN
    str order="ij",               # IN
):
    """Put the computational domains of the tiles of all ranks into ``out``.

    Args:
        out: (fields, ny, nx), C-contiguous; written whole, or not at all if a tile is refused.
        bounds: (tiles, 9), a row for each tile: rank, i and j offsets (global = local + offset),
            isc, iec, jsc, jec (computational domain, 1-based, ends included, in the tile with its
            halo), and the tile's extents ni and nj, halo included.
        tiles: ``tiles[t][f]`` is the tile of row ``t`` and field ``f``: a C-contiguous array of the
            type of ``out``, or its bytes in any buffer object; None if it was not sent.
        fields: The names of the fields, for messages.
        ranks: How many ranks there are; each has one tile.
        order: "ij" for tiles of shape (ni, nj), as Fortran clients send ``a(i, j)``; "ji" for
            (nj, ni).

    Raises:
        ValueError: A tile is missing, doubled, has the wrong shape or type, reaches out of the
            global array or overlaps another, or cells are left uncovered. The message names rank
            and field.
    """
    cdef Py_ssize_t n_tiles = bounds.shape[0]
    cdef Py_ssize_t n_fields = out.shape[0]
    cdef Py_ssize_t t, f, held = 0
    cdef bint transposed = order == "ij"
    cdef Py_buffer* views

    if order not in ("ij", "ji"):
        raise ValueError(f"The order of a tile's indices is 'ij' or 'ji', not {order!r}.")
    if bounds.shape[1] != COLUMNS:
        raise ValueError(f"bounds has {bounds.shape[1]} columns where {COLUMNS} are needed.")
    if len(tiles) != n_tiles:
        raise ValueError(f"There are {len(tiles)} tiles but {n_tiles} rows of bounds.")
    if len(fields) != n_fields:
        raise ValueError(f"There are {len(fields)} names for {n_fields} fields.")
    _check_decomposition(bounds, ranks, out.shape[1], out.shape[2])

    views = <Py_buffer*> calloc(max(n_tiles * n_fields, 1), sizeof(Py_buffer))
    if views == NULL:
        raise MemoryError
    try:
        for t in range(n_tiles):
            if len(tiles[t]) != n_fields:
                raise ValueError(
                    f"Rank {bounds[t, RANK]} sent {len(tiles[t])} fields where {n_fields} are "
                    "needed."
                )
            for f in range(n_fields):
                if tiles[t][f] is None:
                    raise ValueError(f"Rank {bounds[t, RANK]} sent no field {fields[f]!r}.")
                PyObject_GetBuffer(tiles[t][f], &views[held], PyBUF_ND | PyBUF_FORMAT)
                held += 1
                _check_tile(
                    &views[held - 1],
                    bounds[t, NI] if transposed else bounds[t, NJ],
                    bounds[t, NJ] if transposed else bounds[t, NI],
                    sizeof(floating),
                    f"{fields[f]!r} of rank {bounds[t, RANK]}",
                )
        with nogil:
            for t in range(n_tiles):
                for f in range(n_fields):
                    _place(
                        out[f],
                        <const char*> views[t * n_fields + f].buf,
                        &bounds[t, 0],
                        transposed,
                    )
    finally:
        for t in range(held):
            PyBuffer_Release(&views[t])
        free(views)


cdef _check_decomposition(const int[:, ::1] bounds, int ranks, Py_ssize_t ny, Py_ssize_t nx):
    """Every rank has one tile, and every cell of the global array lies in one."""
    cdef Py_ssize_t t
    cdef Py_ssize_t covered = 0
    cdef Py_ssize_t other
    cdef int i0, i1, j0, j1
    cdef int[:, ::1] owner = np.full((ny, nx), -1, dtype=np.intc)

    seen = set()
    for t in range(bounds.shape[0]):
        rank = bounds[t, RANK]
        if rank in seen:
            raise ValueError(f"Rank {rank} has two tiles.")
        seen.add(rank)
    missing = sorted(set(range(ranks)) - seen)
    if missing:
        raise ValueError(f"No tile came from {_ranks(missing)} of {ranks}.")
    strange = sorted(seen - set(range(ranks)))
    if strange:
        raise ValueError(f"Tiles came from {_ranks(strange)}, but there are only {ranks} ranks.")

    for t in range(bounds.shape[0]):
        i0 = bounds[t, I_OFFSET] + bounds[t, ISC] - 1
        i1 = bounds[t, I_OFFSET] + bounds[t, IEC]
        j0 = bounds[t, J_OFFSET] + bounds[t, JSC] - 1
        j1 = bounds[t, J_OFFSET] + bounds[t, JEC]
        if not (
            1 <= bounds[t, ISC] <= bounds[t, IEC] <= bounds[t, NI]
            and 1 <= bounds[t, JSC] <= bounds[t, JEC] <= bounds[t, NJ]
        ):
            raise ValueError(
                f"The computational domain of rank {bounds[t, RANK]}, i {bounds[t, ISC]} to "
                f"{bounds[t, IEC]} and j {bounds[t, JSC]} to {bounds[t, JEC]}, does not lie in its "
                f"tile of {bounds[t, NI]} by {bounds[t, NJ]}."
            )
        if not (0 <= i0 and i1 <= nx and 0 <= j0 and j1 <= ny):
            raise ValueError(
                f"The tile of rank {bounds[t, RANK]}, global i {i0 + 1} to {i1} and j {j0 + 1} to "
                f"{j1}, reaches out of the global array of {nx} by {ny}."
            )
        other = _claim(owner, <int> t, j0, j1, i0, i1)
        if other >= 0:
            raise ValueError(
                f"The tiles of ranks {bounds[other, RANK]} and {bounds[t, RANK]} overlap."
            )
        covered += <Py_ssize_t> (i1 - i0) * (j1 - j0)
    if covered != ny * nx:
        j, i = np.argwhere(np.asarray(owner) < 0)[0]
        raise ValueError(
            f"{ny * nx - covered} cells lie in no tile, the first at global i {i + 1}, j {j + 1}."
        )


def _ranks(ranks):
    """The ranks in words, at most ten of them."""
    named = ", ".join(str(rank) for rank in ranks[:10])
    more = f" and {len(ranks) - 10} more" if len(ranks) > 10 else ""
    return ("rank " if len(ranks) == 1 else "ranks ") + named + more


cdef Py_ssize_t _claim(
    int[:, ::1] owner, int tile, int j0, int j1, int i0, int i1
) noexcept nogil:
    """Mark the cells as the tile's; the tile that has one of them already, or -1."""
    cdef int j, i
    for j in range(j0, j1):
        for i in range(i0, i1):
            if owner[j, i] >= 0:
                return owner[j, i]
            owner[j, i] = tile
    return -1


cdef _check_tile(
    const Py_buffer* view, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t itemsize, str what
):
    """The buffer is an array (rows, columns) of the right type, or just as many bytes."""
    cdef bytes letter = b"B" if view.format == NULL else <bytes> view.format
    if letter.lower() in (b"b", b"c"):
        if view.len != rows * columns * itemsize:
            raise ValueError(
                f"{what} has {view.len} bytes where {rows} by {columns} values need "
                f"{rows * columns * itemsize}."
            )
        return
    if letter.lstrip(b"<=@") != (b"d" if itemsize == 8 else b"f"):
        raise ValueError(f"{what} is not of the type of the global array ({itemsize} bytes a value).")
    if view.ndim != 2 or view.shape[0] != rows or view.shape[1] != columns:
        shape = tuple(view.shape[d] for d in range(view.ndim))
        raise ValueError(f"{what} has the shape {shape} where {(rows, columns)} is needed.")


cdef void _place(
    floating[:, ::1] out,      # OUT
    const char* tile,          # IN
    const int* bounds,         # IN
    bint transposed,           # IN
) noexcept nogil:
    """Copy the computational domain of one tile to its place in the global array."""
    cdef Py_ssize_t ni = bounds[IEC] - bounds[ISC] + 1
    cdef Py_ssize_t nj = bounds[JEC] - bounds[JSC] + 1
    cdef Py_ssize_t i_out = bounds[I_OFFSET] + bounds[ISC] - 1
    cdef Py_ssize_t j_out = bounds[J_OFFSET] + bounds[JSC] - 1
    cdef Py_ssize_t i_in = bounds[ISC] - 1
    cdef Py_ssize_t j_in = bounds[JSC] - 1
    cdef Py_ssize_t stride = bounds[NJ] if transposed else bounds[NI]
    cdef Py_ssize_t i, j, i_block, j_block

    if not transposed:
        for j in range(nj):
            memcpy(
                &out[j_out + j, i_out],
                tile + ((j_in + j) * stride + i_in) * sizeof(floating),
                ni * sizeof(floating),
            )
        return
    for j_block in range((nj + BLOCK - 1) // BLOCK):
        for i_block in range((ni + BLOCK - 1) // BLOCK):
            for j in range(j_block * BLOCK, min((j_block + 1) * BLOCK, nj)):
                for i in range(i_block * BLOCK, min((i_block + 1) * BLOCK, ni)):
                    # The bytes of a reply need not be aligned, hence memcpy and not a cast.
                    memcpy(
                        &out[j_out + j, i_out + i],
                        tile + ((i_in + i) * stride + j_in + j) * sizeof(floating),
                        sizeof(floating),
                    )
