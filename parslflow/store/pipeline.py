"""A connection for many requests at once, whose replies stay bytes: nothing is made of each."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from parslflow._ext.replies import receive
from parslflow.errors import ParslflowError
from parslflow.store import wire
from parslflow.store.address import Address
from parslflow.store.client import CONNECT_S
from parslflow.store.client import REPLY_S

IN_FLIGHT_BYTES = 1 << 20
"""So much of replies may be on the way: the server holds what was asked for until it is read."""

FIRST_IN_FLIGHT = 8
"""Requests that may be on the way before it is known how large their replies are."""


class Replies:
    """A buffer that grows to what has to go into it, and is used again.

    Attributes:
        data: (capacity,) uint8.
        end: The end of the replies in it.
    """

    def __init__(self, capacity: int = 1 << 20) -> None:
        self.data: NDArray[np.uint8] = np.empty(capacity, dtype=np.uint8)
        self.end = 0

    def grow(self, least: int) -> None:
        """Make room for at least so many bytes in all."""
        larger = np.empty(max(2 * len(self.data), least), dtype=np.uint8)
        larger[: self.end] = self.data[: self.end]
        self.data = larger


class Pipeline:
    """One connection to a store.

    Args:
        published: Where the store is.

    Raises:
        UsageError: The address is none, or the password file cannot be read.
        ParslflowError: The store cannot be reached, or refuses the password.
    """

    def __init__(self, published: Address) -> None:
        self._address = published.address
        place = published.place()
        self._socket = socket.socket(
            socket.AF_UNIX if isinstance(place, str) else socket.AF_INET, socket.SOCK_STREAM
        )
        try:
            self._socket.settimeout(CONNECT_S)
            self._socket.connect(place)
            self._socket.settimeout(REPLY_S)
            password = published.password()
            if password is not None:
                self._authenticate(password)
        except OSError as error:
            self.close()
            raise self._failure(error) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; whoever waits for a reply on it gets an error."""
        with suppress(OSError):  # it is not connected
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def exchange(self, requests: Sequence[bytes], replies_each: int, into: Replies) -> None:
        """Send ``requests`` and receive the replies to all, in their order.

        Args:
            requests: Whole commands as bytes.
            replies_each: How many replies there are to each request.
            into: Gets the replies, in place of what is in it.

        Raises:
            ParslflowError: The connection broke, nothing came for too long, or what came is none of
                a store's replies.
        """
        into.end = start = received = sent = 0
        wanted = len(requests) * replies_each
        ahead = FIRST_IN_FLIGHT
        try:
            while received < wanted:
                answered = received // replies_each
                if answered:
                    ahead = max(2, IN_FLIGHT_BYTES * answered // max(start, 1))
                if sent < answered + ahead and sent < len(requests):
                    self._socket.sendall(b"".join(requests[sent : answered + ahead]))
                    sent = min(answered + ahead, len(requests))
                # Half of what is on the way, so that the server is never without a request.
                due = wanted if sent == len(requests) else (answered + sent + 1) // 2 * replies_each
                count, start, into.end, least = receive(
                    self._socket.fileno(),
                    into.data,
                    start,
                    into.end,
                    due - received,
                    int(REPLY_S * 1000),
                )
                received += count
                if least:
                    into.grow(least)
        except (OSError, ValueError) as error:
            raise self._failure(error) from error

    def execute(self, commands: Sequence[bytes]) -> None:
        """Send commands with one simple reply each.

        Raises:
            ParslflowError: As `exchange`, or the store refuses one.
        """
        if not commands:
            return
        replies = Replies(4096)
        self.exchange(commands, 1, replies)
        for reply in bytes(replies.data[: replies.end]).split(b"\r\n"):
            if reply.startswith(b"-"):
                text = reply[1:].decode(errors="replace")
                raise ParslflowError(f"Store {self._address}: {text}.")

    def _authenticate(self, password: str) -> None:
        try:
            self.execute([wire.packed(["AUTH", password])])
        except ParslflowError as error:
            raise ParslflowError(
                f"{str(error).rstrip('.')}: it wants another password: give the file named in "
                "address.json."
            ) from error

    def _failure(self, error: Exception) -> ParslflowError:
        if isinstance(error, TimeoutError):
            cause = f"no answer in {REPLY_S:g} s: the server is stuck or the machine overloaded"
        elif isinstance(error, ValueError):
            cause = f"{str(error).rstrip('.')}: it is no store, or the connection is out of step"
        else:
            cause = f"it cannot be reached ({error}): it has stopped or has not started"
        return ParslflowError(f"Store {self._address}: {cause}.")
