"""Where tiles lie in the store's replies: no object for a tile, no copy of its values.

Whatever the bytes are, they are either what was asked for or an error.
"""

from libc.math cimport NAN
from libc.stdint cimport int32_t
from libc.stdint cimport int64_t
from libc.stdint cimport uint32_t
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc
from libc.stdlib cimport free
from libc.string cimport memcmp
from libc.string cimport memcpy
from resp cimport NO_FAULT
from resp cimport Cursor
from resp cimport Text
from resp cimport is_text
from resp cimport take_bulk
from resp cimport take_line
from resp cimport take_number

import numpy as np

# What is wrong with the replies for a data set.
cdef enum Problem:
    NO_PROBLEM
    UNREADABLE
    REFUSED
    ABSENT
    NO_NUMBER
    NO_TENSOR
    OTHER_TYPE
    OTHER_SHAPE
    WRONG_SIZE

# A data set's faults are told by where in its replies they are.
cdef struct Finding:
    Problem problem
    Py_ssize_t which     # number or field
    Text text            # the server's words


def tiles(
    const unsigned char[::1] data, Py_ssize_t start, Py_ssize_t end, names, numbers, fields
):
    """Where the tiles of data sets lie in the replies to HGETALL and a TENSORGET for each field.

    Args:
        data: The buffer.
        start: Where the first reply begins.
        end: The end of the last reply.
        names: The data sets' names, for messages.
        numbers: The names (bytes) of the metadata that are wanted, one number each.
        fields: The names (str) of the tensors that were asked for, for messages.

    Returns:
        values (data sets, numbers) float64; extents (data sets, 2) int32, those of all of a data
        set's tensors; offsets (data sets, fields) int64, where each tensor's values begin; the
        tensors' type, "DOUBLE" or "FLOAT", "" if there is none; and for each data set the blob
        (bytes) of its metadata ``.tensor_names``, or None.

    Raises:
        ValueError: A reply is an error or not what was asked for, or a number or a tensor is
            missing, or tensors differ in shape or type. The message names data set and field.
    """
    cdef Py_ssize_t n = len(names)
    cdef Py_ssize_t n_numbers = len(numbers)
    cdef Py_ssize_t n_fields = len(fields)
    cdef Cursor cursor
    cdef Finding finding
    cdef double[:, ::1] values = np.full((n, n_numbers), np.nan)
    cdef int[:, ::1] extents = np.zeros((n, 2), dtype=np.intc)
    cdef int64_t[:, ::1] offsets = np.zeros((n, n_fields), dtype=np.int64)
    cdef Text* wanted
    cdef Text of_tensors
    cdef Py_ssize_t k
    cdef Py_ssize_t size = 0
    cdef bytes key

    if not 0 <= start <= end <= data.shape[0]:
        raise ValueError(f"{start} to {end} does not lie in a buffer of {data.shape[0]} bytes.")
    # The bytes objects keep alive what these point to.
    keys = [bytes(key) for key in numbers]
    wanted = <Text*> calloc(max(n_numbers, 1), sizeof(Text))
    if wanted == NULL:
        raise MemoryError
    try:
        for k in range(n_numbers):
            key = keys[k]
            wanted[k].data = key
            wanted[k].length = len(key)
        cursor.data = <const char*> &data[0] if data.shape[0] else NULL
        cursor.at = start
        cursor.end = end
        lists = []
        last = None
        for k in range(n):
            of_tensors.data = NULL
            finding = _dataset(
                &cursor, wanted, values[k], extents[k], offsets[k], &size, &of_tensors
            )
            if finding.problem != NO_PROBLEM:
                raise ValueError(_message(finding, names[k], keys, fields))
            if of_tensors.data == NULL:
                lists.append(None)
                continue
            # Mostly the same for all, so one object serves.
            if last is None or len(last) != of_tensors.length or memcmp(
                <const char*> last, of_tensors.data, of_tensors.length
            ) != 0:
                last = of_tensors.data[: of_tensors.length]
            lists.append(last)
    finally:
        free(wanted)
    if cursor.at != end:
        raise ValueError(f"{end - cursor.at} bytes are left over behind the last reply.")
    kind = {0: "", 4: "FLOAT", 8: "DOUBLE"}[size]
    return np.asarray(values), np.asarray(extents), np.asarray(offsets), kind, lists


cdef str _message(Finding finding, name, keys, fields):
    """What is wrong with a data set, in a sentence."""
    what = f"The data set '{name}'"
    if finding.problem == UNREADABLE:
        return f"{what} came with a reply that is not what was asked for."
    if finding.problem == REFUSED:
        text = finding.text.data[: finding.text.length].decode(errors="replace")
        return f"{what}: the store says '{text}'."
    if finding.problem == ABSENT:
        return f"There is no data set '{name}' in the store."
    if finding.problem == NO_NUMBER:
        key = keys[finding.which].decode()
        return f"{what} has no metadata '{key}': send one number under that name."
    field = fields[finding.which]
    if finding.problem == NO_TENSOR:
        return f"{what} has no tensor '{field}'."
    if finding.problem == OTHER_TYPE:
        return f"{what} has '{field}' of another type: send all fields as doubles, or all as floats."
    if finding.problem == OTHER_SHAPE:
        return f"{what} has '{field}' of another shape: send all fields with the tile's two extents."
    return f"{what} has '{field}' with too few or too many bytes for its shape."


cdef Finding _dataset(
    Cursor* cursor,             # IN/OUT
    const Text* wanted,         # IN, as many as values
    double[::1] values,         # OUT
    int[::1] extents,           # OUT
    int64_t[::1] offsets,       # OUT
    Py_ssize_t* size,           # IN/OUT, bytes of a value; 0 before the first tensor
    Text* of_tensors,           # OUT, the blob of the tensors' names
) noexcept nogil:
    """The replies for one data set."""
    cdef Finding finding
    cdef Py_ssize_t n, k, f
    cdef Text name, blob

    finding.problem = UNREADABLE
    finding.which = 0
    if not _head(cursor, b"*", &n, &finding):
        return finding
    if n == 0:
        finding.problem = ABSENT
        return finding
    if n < 0 or n % 2:
        return finding
    for k in range(n // 2):
        if not take_bulk(cursor, &name) or not take_bulk(cursor, &blob):
            return finding
        if is_text(name, b".tensor_names", 13):
            of_tensors[0] = blob
            continue
        for f in range(values.shape[0]):
            if is_text(name, wanted[f].data, wanted[f].length):
                values[f] = _number(blob)
    for f in range(values.shape[0]):
        if values[f] != values[f]:
            finding.problem = NO_NUMBER
            finding.which = f
            return finding
    for f in range(offsets.shape[0]):
        finding.which = f
        finding.problem = NO_TENSOR
        finding.problem = _tensor(cursor, extents, f == 0, size, &offsets[f], &finding)
        if finding.problem != NO_PROBLEM:
            return finding
    finding.problem = NO_PROBLEM
    return finding


cdef Problem _tensor(
    Cursor* cursor,         # IN/OUT
    int[::1] extents,       # IN/OUT
    bint first,             # IN, whether the extents are those of this tensor
    Py_ssize_t* size,       # IN/OUT
    int64_t* offset,        # OUT
    Finding* finding,       # OUT, the server's words
) noexcept nogil:
    """The reply to one TENSORGET: dtype, its name, shape, lengths, blob, bytes."""
    cdef Py_ssize_t n, this_size, length
    cdef Py_ssize_t d
    cdef int64_t values = 1
    cdef Text text

    if not _head(cursor, b"*", &n, finding):
        return finding.problem
    if n != 6 or not take_bulk(cursor, &text) or not is_text(text, b"dtype", 5):
        return UNREADABLE
    if not take_bulk(cursor, &text):
        return UNREADABLE
    this_size = 8 if is_text(text, b"DOUBLE", 6) else 4 if is_text(text, b"FLOAT", 5) else 0
    if not take_bulk(cursor, &text) or not is_text(text, b"shape", 5):
        return UNREADABLE
    if not _head(cursor, b"*", &n, finding) or n < 0:
        return UNREADABLE
    if this_size == 0 or (size[0] != 0 and size[0] != this_size):
        return OTHER_TYPE
    if n != 2:
        return OTHER_SHAPE
    for d in range(2):
        if not _head(cursor, b":", &length, finding):
            return UNREADABLE
        if not 0 <= length <= 2147483647 or (not first and extents[d] != length):
            return OTHER_SHAPE
        extents[d] = <int> length
        values *= length
    if not take_bulk(cursor, &text) or not is_text(text, b"blob", 4) or not take_bulk(cursor, &text):
        return UNREADABLE
    if text.length % this_size or text.length // this_size != values:
        return WRONG_SIZE
    size[0] = this_size
    offset[0] = text.data - cursor.data
    return NO_PROBLEM


cdef double _number(Text blob) noexcept nogil:
    """The one number of a metadata blob, whose first byte is its type; NaN if it is none."""
    cdef double of_double
    cdef float of_float
    cdef int32_t of_int32
    cdef int64_t of_int64
    cdef uint32_t of_uint32
    cdef uint64_t of_uint64
    cdef const char* value = blob.data + 1

    if blob.length == 9:
        if blob.data[0] == 1:
            memcpy(&of_double, value, 8)
            return of_double
        if blob.data[0] == 4:
            memcpy(&of_int64, value, 8)
            return <double> of_int64
        if blob.data[0] == 6:
            memcpy(&of_uint64, value, 8)
            return <double> of_uint64
    elif blob.length == 5:
        if blob.data[0] == 2:
            memcpy(&of_float, value, 4)
            return of_float
        if blob.data[0] == 3:
            memcpy(&of_int32, value, 4)
            return of_int32
        if blob.data[0] == 5:
            memcpy(&of_uint32, value, 4)
            return of_uint32
    return NAN


cdef bint _head(Cursor* cursor, char kind, Py_ssize_t* number, Finding* finding) noexcept nogil:
    """The number of a ``:number`` or ``*count``; at an error the server's words."""
    cdef Text line

    finding.problem = UNREADABLE
    if take_line(cursor, &line) != NO_FAULT:
        return False
    if line.data[0] == b"-":
        finding.problem = REFUSED
        finding.text.data = line.data + 1
        finding.text.length = line.length - 1
        return False
    return line.data[0] == kind and take_number(line, number)
