# A row of cells as a set of bits: cell i is bit i % 64 of word i // 64.

from libc.stdint cimport uint64_t

cdef enum:
    BITS = 64


cdef inline bint has_cell(const uint64_t* row, Py_ssize_t i) noexcept nogil:
    return (row[i // BITS] >> <uint64_t> (i % BITS)) & 1
