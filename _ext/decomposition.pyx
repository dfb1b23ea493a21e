"""Whether the tiles of all ranks make one global array: each cell in one tile, each rank once."""

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
from libc.stdint cimport uint64_t
from libc.string cimport memcmp
from libc.string cimport memset

import numpy as np

cdef enum Fault:
    NO_FAULT
    DOUBLED
    MISSING
    STRANGE
    OUTSIDE_TILE
    OUTSIDE_GRID
    OVERLAP
    UNCOVERED


def covered(
    const int[:, :, ::1] bounds,            # IN
    int ranks,                              # IN
    Py_ssize_t ny,                          # IN
    Py_ssize_t nx,                          # IN
    const unsigned char[:, ::1] land=None,  # IN
):
    """Check the decomposition of each time.

    Args:
        bounds: (times, tiles, 9), a row for each tile, columns as in ``bounds.pxd``.
        ranks: How many ranks there are.
        ny: Rows of the global array.
        nx: Columns of the global array.
        land: (ny, nx), 1 for cells that may lie in no tile.

    Returns:
        (times, ny, words) uint64, as in ``cells.pxd``: whether a tile has the cell.

    Raises:
        ValueError: A rank has no tile or two, a tile reaches out of the array or overlaps another,
            or a cell lies in none. The message names the rank or the cell.
    """
    cdef Py_ssize_t times = bounds.shape[0]
    cdef Py_ssize_t tiles = bounds.shape[1]
    cdef Py_ssize_t k
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t words = (nx + BITS - 1) // BITS
    cdef uint64_t[:, :, ::1] cells
    cdef unsigned char[::1] seen
    cdef Fault fault

    if bounds.shape[2] != COLUMNS:
        raise ValueError(f"bounds has {bounds.shape[2]} columns where {COLUMNS} are needed.")
    if ranks < 1:
        raise ValueError(f"A simulation has at least one rank, not {ranks}.")
    if ny < 1 or nx < 1:
        raise ValueError(f"A global array of {nx} by {ny} has no cells.")
    if land is not None and (land.shape[0] != ny or land.shape[1] != nx):
        raise ValueError(
            f"land has the shape {(land.shape[0], land.shape[1])} where {(ny, nx)} is needed."
        )
    cells = np.zeros((times, ny, words), dtype=np.uint64)
    seen = np.empty(ranks, dtype=np.uint8)
    for k in range(times):
        if k > 0 and tiles > 0 and memcmp(
            &bounds[k, 0, 0], &bounds[k - 1, 0, 0], tiles * COLUMNS * sizeof(int)
        ) == 0:
            cells[k] = cells[k - 1]
            continue
        with nogil:
            fault = _check(bounds[k], cells[k], seen, nx, land, &at)
        if fault != NO_FAULT:
            time = f"Time {k}: " if times > 1 else ""
            raise ValueError(time + _message(fault, at, bounds[k], cells[k], ranks, nx, land))
    return np.asarray(cells)


cdef Fault _check(
    const int[:, ::1] bounds,           # IN
    uint64_t[:, ::1] cells,             # IN/OUT, zero
    unsigned char[::1] seen,            # OUT, (ranks,)
    Py_ssize_t nx,                      # IN
    const unsigned char[:, ::1] land,   # IN
    Py_ssize_t* at,                     # OUT, the tile or the cell of the fault
) noexcept nogil:
    """The first fault of one time."""
    cdef Py_ssize_t ranks = seen.shape[0]
    cdef Py_ssize_t ny = cells.shape[0]
    cdef Py_ssize_t t, j, i
    cdef Py_ssize_t found = 0
    cdef Py_ssize_t covered_cells = 0
    cdef Py_ssize_t i0, i1, j0, j1
    cdef int rank

    memset(&seen[0], 0, ranks)
    for t in range(bounds.shape[0]):
        rank = bounds[t, RANK]
        if 0 <= rank < ranks:
            if seen[rank]:
                at[0] = t
                return DOUBLED
            seen[rank] = 1
            found += 1
    if found < ranks:
        return MISSING
    if found < bounds.shape[0]:
        return STRANGE

    for t in range(bounds.shape[0]):
        at[0] = t
        if not (
            1 <= bounds[t, ISC] <= bounds[t, IEC] <= bounds[t, NI]
            and 1 <= bounds[t, JSC] <= bounds[t, JEC] <= bounds[t, NJ]
        ):
            return OUTSIDE_TILE
        i0 = <Py_ssize_t> bounds[t, I_OFFSET] + bounds[t, ISC] - 1
        i1 = <Py_ssize_t> bounds[t, I_OFFSET] + bounds[t, IEC]
        j0 = <Py_ssize_t> bounds[t, J_OFFSET] + bounds[t, JSC] - 1
        j1 = <Py_ssize_t> bounds[t, J_OFFSET] + bounds[t, JEC]
        if not (0 <= i0 and i1 <= nx and 0 <= j0 and j1 <= ny):
            return OUTSIDE_GRID
        for j in range(j0, j1):
            if not _claim(&cells[j, 0], i0, i1):
                return OVERLAP
        covered_cells += (i1 - i0) * (j1 - j0)
    if covered_cells == ny * nx:
        return NO_FAULT
    for j in range(ny):
        for i in range(nx):
            if not has_cell(&cells[j, 0], i) and (land is None or not land[j, i]):
                at[0] = j * nx + i
                return UNCOVERED
    return NO_FAULT


cdef inline bint _claim(uint64_t* row, Py_ssize_t i0, Py_ssize_t i1) noexcept nogil:
    """Set the bits i0 to i1 - 1, a word at a time; whether none of them was set."""
    cdef Py_ssize_t word, first, end
    cdef uint64_t mask
    cdef bint free_ = True

    for word in range(i0 // BITS, (i1 - 1) // BITS + 1):
        first = max(i0 - word * BITS, 0)
        end = min(i1 - word * BITS, <Py_ssize_t> BITS)
        mask = (~(<uint64_t> 0) >> <uint64_t> (BITS - (end - first))) << <uint64_t> first
        free_ = free_ and (row[word] & mask) == 0
        row[word] |= mask
    return free_


cdef str _message(
    Fault fault,
    Py_ssize_t at,
    const int[:, ::1] bounds,
    const uint64_t[:, ::1] cells,
    int ranks,
    Py_ssize_t nx,
    const unsigned char[:, ::1] land,
):
    """What is wrong, in a sentence."""
    cdef Py_ssize_t j, i
    cdef Py_ssize_t count = 0

    table = np.asarray(bounds)
    if fault == MISSING:
        missing = np.setdiff1d(np.arange(ranks), table[:, RANK])
        return f"No tile came from {_ranks(missing)} of {ranks}."
    if fault == STRANGE:
        strange = np.setdiff1d(table[:, RANK], np.arange(ranks))
        return f"Tiles came from {_ranks(strange)}, but there are only {ranks} ranks."
    if fault == UNCOVERED:
        for j in range(cells.shape[0]):
            for i in range(nx):
                count += not has_cell(&cells[j, 0], i) and (land is None or not land[j, i])
        return (
            f"{count} cells lie in no tile, the first at global i {at % nx + 1}, j {at // nx + 1}."
        )

    rank, i_offset, j_offset, isc, iec, jsc, jec, ni, nj = (int(value) for value in table[at])
    if fault == DOUBLED:
        return f"Rank {rank} has two tiles."
    if fault == OUTSIDE_TILE:
        return (
            f"The computational domain of rank {rank}, i {isc} to {iec} and j {jsc} to {jec}, does "
            f"not lie in its tile of {ni} by {nj}."
        )
    i0, i1, j0, j1 = i_offset + isc, i_offset + iec, j_offset + jsc, j_offset + jec
    if fault == OUTSIDE_GRID:
        return (
            f"The tile of rank {rank}, global i {i0} to {i1} and j {j0} to {j1}, reaches out of the "
            f"global array of {nx} by {cells.shape[0]}."
        )
    before = table[:at].astype(np.int64)
    i_low, i_high = before[:, I_OFFSET] + before[:, ISC], before[:, I_OFFSET] + before[:, IEC]
    j_low, j_high = before[:, J_OFFSET] + before[:, JSC], before[:, J_OFFSET] + before[:, JEC]
    other = np.argmax((i_low <= i1) & (i0 <= i_high) & (j_low <= j1) & (j0 <= j_high))
    return f"The tiles of ranks {before[other, RANK]} and {rank} overlap."


def _ranks(ranks):
    """The ranks in words, at most ten of them."""
    named = ", ".join(str(rank) for rank in ranks[:10])
    more = f" and {len(ranks) - 10} more" if len(ranks) > 10 else ""
    return ("rank " if len(ranks) == 1 else "ranks ") + named + more
