"""Receives the store's replies into a buffer, without the GIL and without an object for each."""

from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EAGAIN
from libc.errno cimport EINTR
from libc.errno cimport errno
from resp cimport INCOMPLETE
from resp cimport MALFORMED
from resp cimport Cursor
from resp cimport Fault
from resp cimport skip_reply

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
            fault = skip_reply(cursor, missing)
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
