"""How redis-py receives for us: a tensor's bytes once, in the array they stay in, and in time."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from redis.connection import DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.utils import SENTINEL

_TENSOR = re.compile(
    rb"\*6\r\n\$5\r\ndtype\r\n[$+](?:\d+\r\n)?(\w+)\r\n"
    rb"\$5\r\nshape\r\n\*\d+\r\n((?::\d+\r\n)*)\$4\r\nblob\r\n\$(\d+)\r\n"
)
_LONGEST_HEAD = 1024
_SHORTEST_S = 0.001


class Limit(threading.local):
    """Until when the calling thread waits for replies, by ``time.monotonic``."""

    until: float | None = None

    def seconds(self, otherwise: float) -> float:
        """What is left."""
        if self.until is None:
            return otherwise
        return max(self.until - time.monotonic(), _SHORTEST_S)

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Wait so long at most inside the block."""
        self.until = time.monotonic() + seconds
        try:
            yield
        finally:
            self.until = None


class TensorParser(DefaultParser):  # type: ignore[misc,valid-type]
    """hiredis, but a large tensor's bytes go from the socket into an array of their own.

    It stands for them in the reply, in place of ``bytes``.
    """

    def __init__(self, socket_read_size: int, limit: Limit) -> None:
        super().__init__(socket_read_size)
        self._limit = limit
        self._seconds = 0.0

    def on_connect(self, connection: Any, **options: object) -> None:  # noqa: ANN401
        """Begin to read from the connection's socket."""
        super().on_connect(connection, **options)
        self._seconds = connection.socket_timeout

    def read_from_socket(
        self,
        timeout: Any = SENTINEL,  # noqa: ANN401
        raise_on_timeout: bool = True,
    ) -> bool:
        """Receive what is there and give it to hiredis."""
        if timeout is SENTINEL and self._sock is not None:
            self._sock.settimeout(self._limit.seconds(self._seconds))
        return bool(super().read_from_socket(timeout, raise_on_timeout))

    def read_response(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        """The next reply."""
        sock, reader = self._sock, self._reader
        if sock is None or reader is None:
            raise RedisConnectionError("the connection was closed")
        try:
            if not reader.has_data():
                tensor = self._receive(sock, reader)
                if tensor is not None:
                    return tensor
            return super().read_response(*arguments, **options)
        finally:
            if self._sock is not None:
                self._sock.settimeout(self._seconds)  # what is sent next has all its time

    def _receive(self, sock: Any, reader: Any) -> list[Any] | None:  # noqa: ANN401
        """A tensor's reply, or None after giving hiredis what came."""
        sock.settimeout(self._limit.seconds(self._seconds))
        count = sock.recv_into(self._buffer)
        if count == 0:
            raise RedisConnectionError("the other side closed the connection")
        head = None
        if count > _LONGEST_HEAD:  # what is shorter is no large tensor
            head = _TENSOR.match(self._buffer, 0, _LONGEST_HEAD)
        size = int(head[3]) if head else 0
        if head is None or head.end() + size + 2 <= count:
            reader.feed(self._buffer, 0, count)
            return None
        data = np.empty(size + 2, np.uint8)  # with the line's end
        at = count - head.end()
        whole = data.data
        whole[:at] = memoryview(self._buffer)[head.end() : count]
        while at < len(whole):
            sock.settimeout(self._limit.seconds(self._seconds))
            count = sock.recv_into(whole[at:])
            if count == 0:
                raise RedisConnectionError("the other side closed the connection")
            at += count
        shape = [int(length) for length in head[2].replace(b":", b"").split()]
        return [b"dtype", head[1], b"shape", shape, b"blob", data[:size]]
