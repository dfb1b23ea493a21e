"""Replies are received whole however they come, and what is none ends the receiving."""

from __future__ import annotations

import socket
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parslflow._ext.receiving import receive

from .resp import encode


def receive_all(stream: bytes, wanted: int, cuts: list[int], capacity: int = 16) -> bytes:
    """Send ``stream`` in pieces over a real socket, and receive ``wanted`` replies."""
    ours, theirs = socket.socketpair()

    def send() -> None:
        start = 0
        for cut in [*sorted(cuts), len(stream)]:
            theirs.sendall(stream[start:cut])
            start = max(start, cut)
        theirs.close()

    sender = threading.Thread(target=send)
    sender.start()
    data = np.empty(capacity, dtype=np.uint8)
    start = end = received = 0
    try:
        while received < wanted:
            count, start, end, least = receive(
                ours.fileno(), data, start, end, wanted - received, 5000
            )
            received += count
            if least:
                assert least > len(data)
                data = np.concatenate([data, np.empty(least - len(data), dtype=np.uint8)])
    finally:
        sender.join()
        ours.close()
    assert received == wanted
    return data[:start].tobytes()


reply_trees = st.recursive(
    st.one_of(st.binary(max_size=40), st.integers(-(10**17), 10**17), st.none()),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=12,
)


@given(
    trees=st.lists(reply_trees, min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 300), max_size=5),
    capacity=st.integers(1, 100),
)
def test_replies_are_whole_however_they_come(
    trees: list[Any], cuts: list[int], capacity: int
) -> None:
    stream = b"".join(encode(tree) for tree in trees)
    cuts = [cut for cut in cuts if cut < len(stream)]
    assert receive_all(stream, len(trees), cuts, capacity) == stream


@given(garbage=st.binary(min_size=1, max_size=80))
def test_garbage_ends_receiving(garbage: bytes) -> None:
    try:
        kept = receive_all(garbage, 1, [])
    except (ValueError, ConnectionError):
        return
    assert garbage.startswith(kept)
    assert kept.endswith(b"\r\n")


@pytest.mark.parametrize(
    "stream",
    [
        b"?3\r\n",
        b":12a\r\n",
        b":\r\n",
        b"$3\r\nabcd\r\n",
        b"$-2\r\n\r\n",
        b"*99999999999999999\r\n",
        b"$" + b"1" * 40,
        b":1\rx",
    ],
)
def test_what_no_store_sends_is_refused(stream: bytes) -> None:
    with pytest.raises(ValueError, match="There is no reply of a store at byte 0"):
        receive_all(stream, 1, [])


def test_a_connection_that_is_closed_or_silent_is_told() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        data = np.empty(64, dtype=np.uint8)
        with pytest.raises(TimeoutError, match=r"nothing came for 0\.05 s"):
            receive(ours.fileno(), data, 0, 0, 1, 50)
        theirs.sendall(b"$5\r\nab")
        theirs.close()
        with pytest.raises(ConnectionError, match="closed the connection"):
            receive(ours.fileno(), data, 0, 0, 1, 50)
    with pytest.raises(OSError, match="Bad file descriptor"):
        receive(10_000, data, 0, 0, 1, 50)
    with pytest.raises(ValueError, match="does not lie in a buffer of 64"):
        receive(0, data, 10, 5, 1, 50)
