"""The store's replies (RESP2), read where they lie: no object for a tile, no copy of its values.

A reply is one of five kinds, told by its first byte: ``+text``, ``-error``, ``:number``,
``$length`` with so many bytes behind it, ``*count`` with so many replies behind it; a line ends
with CR LF. Nothing is taken on trust: whatever the bytes are, they are either what was asked for or
an error, and nothing outside the buffer is read.
"""

from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EAGAIN
from libc.errno cimport EINTR
from libc.errno cimport errno
from libc.math cimport NAN
from libc.stdint cimport int32_t
from libc.stdint cimport int64_t
from libc.stdint cimport uint32_t
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc
from libc.stdlib cimport free
from libc.string cimport memchr
from libc.string cimport memcmp
from libc.string cimport memcpy

import numpy as np

cdef enum:
    # Longer than any that a server sends; what is longer is no number.
    DIGITS = 18
    LONGEST_ERROR = 64 * 1024

cdef extern from "poll.h" nogil:
    struct pollfd:
        int fd
        short events
    enum:
        POLLIN
    int poll(pollfd*, unsigned long, int)

cdef extern from "sys/socket.h" nogil:
    enum:
        MSG_DONTWAIT
    Py_ssize_t recv(int, void*, size_t, int)

# How receiving ended.
cdef enum Outcome:
    DONE
    FULL
    CLOSED
    SILENT
    BROKEN
    NONSENSE

cdef enum Fault:
    NO_FAULT
    INCOMPLETE
    MALFORMED

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

cdef struct Cursor:
    const char* data
    Py_ssize_t at
    Py_ssize_t end

# Bytes of a reply.
cdef struct Text:
    const char* data
    Py_ssize_t length

# A data set's faults are told by where in its replies they are.
cdef struct Finding:
    Problem problem
    Py_ssize_t which     # number or field
    Text text            # the server's words


def receive(
    int socket, unsigned char[::1] data, Py_ssize_t start, Py_ssize_t end, int wanted, int timeout_ms
):
    """Receive replies into a buffer until so many are whole or it is full.

    The GIL is released meanwhile, so that what came before can be worked on.

    Args:
        socket: The file descriptor of a connection.
        data: The buffer; what is received goes behind ``end``.
        start: Where the first reply that is not counted yet begins.
        end: The end of what was received before.
        wanted: How many replies are still to come.
        timeout_ms: How long nothing may come.

    Returns:
        How many replies became whole; where the next one begins; the end of what was received; and
        how large the buffer must be, at least, to go on: 0 if it is large enough.

    Raises:
        ValueError: What was received is no reply.
        TimeoutError: Nothing came for so long.
        ConnectionError: The other side closed the connection.
        OSError: The connection broke.
    """
    cdef Cursor cursor
    cdef Py_ssize_t missing = 0
    cdef int count = 0
    cdef Outcome outcome

    if not 0 <= start <= end <= data.shape[0]:
        raise ValueError(f"{start} to {end} does not lie in a buffer of {data.shape[0]} bytes.")
    if wanted <= 0 or data.shape[0] == 0:
        return 0, start, end, 1 if wanted > 0 else 0
    cursor.data = <const char*> &data[0]
    cursor.at = start
    cursor.end = end
    with nogil:
        outcome = _receive(socket, &cursor, data.shape[0], wanted, timeout_ms, &count, &missing)
    if outcome == SILENT:
        raise TimeoutError(f"nothing came for {timeout_ms / 1000.0:g} s")
    if outcome == CLOSED:
        raise ConnectionError("the other side closed the connection")
    if outcome == BROKEN:
        PyErr_SetFromErrno(OSError)
    if outcome == NONSENSE:
        seen = bytes(data[cursor.at : min(cursor.end, cursor.at + 20)])
        raise ValueError(f"There is no reply of a store at byte {cursor.at}: {seen!r}.")
    return count, cursor.at, cursor.end, cursor.end + missing if outcome == FULL else 0


cdef Outcome _receive(
    int socket,                # IN
    Cursor* cursor,            # IN/OUT, at the next reply
    Py_ssize_t capacity,       # IN
    int wanted,                # IN
    int timeout_ms,            # IN
    int* count,                # OUT
    Py_ssize_t* missing,       # OUT, of a reply that is not whole, at least
) noexcept nogil:
    cdef Py_ssize_t reply = cursor.at
    cdef Py_ssize_t n
    cdef Fault fault
    cdef pollfd ready

    ready.fd = socket
    ready.events = POLLIN
    while True:
        missing[0] = 1
        while reply < cursor.end and count[0] < wanted:
            fault = _skip(cursor, missing)
            if fault == MALFORMED:
                cursor.at = reply
                return NONSENSE
            if fault == INCOMPLETE:
                break
            reply = cursor.at
            count[0] += 1
        cursor.at = reply
        if count[0] == wanted:
            return DONE
        if cursor.end == capacity:
            return FULL
        n = recv(
            socket, <char*> cursor.data + cursor.end, capacity - cursor.end, MSG_DONTWAIT
        )
        if n > 0:
            cursor.end += n
        elif n == 0:
            return CLOSED
        elif errno == EAGAIN:
            n = poll(&ready, 1, timeout_ms)
            if n == 0:
                return SILENT
            if n < 0 and errno != EINTR:
                return BROKEN
        elif errno != EINTR:
            return BROKEN


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
        if not _bulk(cursor, &name) or not _bulk(cursor, &blob):
            return finding
        if _is(name, b".tensor_names", 13):
            of_tensors[0] = blob
            continue
        for f in range(values.shape[0]):
            if _is(name, wanted[f].data, wanted[f].length):
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
    if n != 6 or not _bulk(cursor, &text) or not _is(text, b"dtype", 5):
        return UNREADABLE
    if not _bulk(cursor, &text):
        return UNREADABLE
    this_size = 8 if _is(text, b"DOUBLE", 6) else 4 if _is(text, b"FLOAT", 5) else 0
    if not _bulk(cursor, &text) or not _is(text, b"shape", 5):
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
    if not _bulk(cursor, &text) or not _is(text, b"blob", 4) or not _bulk(cursor, &text):
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


# Replies


cdef inline bint _is(Text text, const char* other, Py_ssize_t length) noexcept nogil:
    return text.length == length and memcmp(text.data, other, length) == 0


cdef Fault _line(Cursor* cursor, Text* line) noexcept nogil:
    """The line at the cursor without its end, and the cursor behind it."""
    cdef const char* start = cursor.data + cursor.at
    cdef Py_ssize_t left = cursor.end - cursor.at
    cdef Py_ssize_t most = DIGITS + 4
    cdef const char* found

    if left == 0:
        return INCOMPLETE
    if start[0] == b"+" or start[0] == b"-":
        most = LONGEST_ERROR
    found = <const char*> memchr(start, b"\r", min(left, most))
    if found == NULL:
        return INCOMPLETE if left < most else MALFORMED
    line.data = start
    line.length = found - start
    if line.length + 2 > left:
        return INCOMPLETE
    if found[1] != b"\n":
        return MALFORMED
    cursor.at += line.length + 2
    return NO_FAULT


cdef bint _digits(Text line, Py_ssize_t* number) noexcept nogil:
    """The whole number behind the first byte of a line."""
    cdef Py_ssize_t k = 1
    cdef bint negative = line.length > 1 and line.data[1] == b"-"
    cdef Py_ssize_t value = 0

    if negative:
        k = 2
    if not 0 < line.length - k <= DIGITS:
        return False
    while k < line.length:
        if not b"0" <= line.data[k] <= b"9":
            return False
        value = 10 * value + (line.data[k] - c'0')
        k += 1
    number[0] = -value if negative else value
    return True


cdef Fault _skip(Cursor* cursor, Py_ssize_t* missing) noexcept nogil:
    """Move the cursor behind one reply with all that it holds."""
    cdef Py_ssize_t pending = 1
    cdef Py_ssize_t number
    cdef Text line
    cdef Fault fault

    while pending > 0:
        # Each reply that is still to come has at least a type and the end of its line.
        missing[0] = max(3 * pending - (cursor.end - cursor.at), <Py_ssize_t> 1)
        fault = _line(cursor, &line)
        if fault != NO_FAULT:
            return fault
        pending -= 1
        if line.data[0] == b"+" or line.data[0] == b"-":
            continue
        if not _digits(line, &number):
            return MALFORMED
        if line.data[0] == b":":
            continue
        if number < -1:
            return MALFORMED
        if number == -1:
            continue
        if line.data[0] == b"*":
            # More than would fit into any memory is no count.
            if number > (<Py_ssize_t> 1 << 40) or pending > (<Py_ssize_t> 1 << 40):
                return MALFORMED
            pending += number
        elif line.data[0] == b"$":
            if number > cursor.end - cursor.at - 2:
                missing[0] = number + 2 - (cursor.end - cursor.at)
                return INCOMPLETE
            cursor.at += number
            if cursor.data[cursor.at] != b"\r" or cursor.data[cursor.at + 1] != b"\n":
                return MALFORMED
            cursor.at += 2
        else:
            return MALFORMED
    return NO_FAULT


cdef bint _head(Cursor* cursor, char kind, Py_ssize_t* number, Finding* finding) noexcept nogil:
    """The number of a ``:number`` or ``*count``; at an error the server's words."""
    cdef Text line

    finding.problem = UNREADABLE
    if _line(cursor, &line) != NO_FAULT:
        return False
    if line.data[0] == b"-":
        finding.problem = REFUSED
        finding.text.data = line.data + 1
        finding.text.length = line.length - 1
        return False
    return line.data[0] == kind and _digits(line, number)


cdef bint _bulk(Cursor* cursor, Text* text) noexcept nogil:
    """The bytes of a ``$length``."""
    cdef Text line
    cdef Py_ssize_t length

    if _line(cursor, &line) != NO_FAULT or line.data[0] != b"$" or not _digits(line, &length):
        return False
    if length < 0 or length > cursor.end - cursor.at - 2:
        return False
    text.data = cursor.data + cursor.at
    text.length = length
    cursor.at += length
    if cursor.data[cursor.at] != b"\r" or cursor.data[cursor.at + 1] != b"\n":
        return False
    cursor.at += 2
    return True
