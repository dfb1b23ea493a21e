"""Replies as a server sends them."""

from __future__ import annotations

from typing import Any


def encode(reply: Any) -> bytes:  # noqa: ANN401
    """A reply as a server sends it."""
    match reply:
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(reply), reply)
        case int():
            return b":%d\r\n" % reply
        case list():
            return b"*%d\r\n%b" % (len(reply), b"".join(encode(item) for item in reply))
        case Exception():
            return b"-%b\r\n" % str(reply).encode()
        case None:
            return b"$-1\r\n"
    raise AssertionError(reply)
