# Replies of the store (RESP2), read where they lie.
#
# A reply is one of five kinds, told by its first byte: ``+text``, ``-error``, ``:number``,
# ``$length`` with so many bytes behind it, ``*count`` with so many replies behind it; a line ends with
# CR LF. Nothing is taken on trust, and nothing outside the buffer is read.

from libc.string cimport memchr
from libc.string cimport memcmp

cdef enum:
    # Longer than any that a server sends; what is longer is no number.
    DIGITS = 18
    LONGEST_ERROR = 64 * 1024

cdef enum Fault:
    NO_FAULT
    INCOMPLETE
    MALFORMED

cdef struct Cursor:
    const char* data
    Py_ssize_t at
    Py_ssize_t end

# Bytes of a reply.
cdef struct Text:
    const char* data
    Py_ssize_t length


cdef inline bint is_text(Text text, const char* other, Py_ssize_t length) noexcept nogil:
    return text.length == length and memcmp(text.data, other, length) == 0


cdef inline Fault take_line(Cursor* cursor, Text* line) noexcept nogil:
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


cdef inline bint take_number(Text line, Py_ssize_t* number) noexcept nogil:
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


cdef inline bint take_bulk(Cursor* cursor, Text* text) noexcept nogil:
    """The bytes of a ``$length``."""
    cdef Text line
    cdef Py_ssize_t length

    if take_line(cursor, &line) != NO_FAULT or line.data[0] != b"$" or not take_number(line, &length):
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


cdef inline Fault skip_reply(Cursor* cursor, Py_ssize_t* missing) noexcept nogil:
    """Move the cursor behind one reply with all that it holds."""
    cdef Py_ssize_t pending = 1
    cdef Py_ssize_t number
    cdef Text line
    cdef Fault fault

    while pending > 0:
        # Each reply that is still to come has at least a type and the end of its line.
        missing[0] = max(3 * pending - (cursor.end - cursor.at), <Py_ssize_t> 1)
        fault = take_line(cursor, &line)
        if fault != NO_FAULT:
            return fault
        pending -= 1
        if line.data[0] == b"+" or line.data[0] == b"-":
            continue
        if not take_number(line, &number):
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
