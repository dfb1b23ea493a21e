"""A connection for many requests at once, whose replies stay bytes: nothing is made of each."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from parslflow._ext.receiving import receive
from parslflow.errors import ParslflowError
from parslflow.store import wire
from parslflow.store.address import Address
from parslflow.store.connection import TIME_LIMIT_S
from parslflow.store.shards import CONNECT_S

IN_FLIGHT_BYTES = 1 << 20
"""So much of replies may be on the way: the server holds what was asked for until it is read."""

LONGEST_LINE = 4096
"""So much of a refusal is told."""

FIRST_IN_FLIGHT = 8
"""Requests that may be on the way before it is known how large their replies are."""


class Replies:
    """A buffer that grows to what has to go into it, and is used again.

    Attributes:
        data: (capacity,) uint8.
        start: Where the replies begin.
        end: Where they end.
    """

    def __init__(self, capacity: int = 1 << 20) -> None:
        self.data: NDArray[np.uint8] = np.empty(capacity, dtype=np.uint8)
        self.start = 0
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
        self._requests: Sequence[bytes] = ()
        self._each = 1
        self._commands = 0
        self._sent = 0
        place = published.places()[0]
        self._socket = socket.socket(
            socket.AF_UNIX if isinstance(place, str) else socket.AF_INET, socket.SOCK_STREAM
        )
        try:
            self._socket.settimeout(CONNECT_S)
            self._socket.connect(place)
            self._socket.settimeout(TIME_LIMIT_S)
            password = published.password()
            if password is not None:
                self._authenticate(password)
        except OSError as error:
            self.close()
            raise self._failure(error) from error
        except BaseException:
            self.close()
            raise

    def interrupt(self) -> None:
        """End the connection, from any thread; whoever waits for a reply on it gets an error.

        Its file descriptor stays taken until `close`, so that who waits reads from no other file.
        """
        with suppress(OSError):  # it is not connected
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection, which nobody uses any more."""
        self._socket.close()

    def request(
        self, requests: Sequence[bytes], replies_each: int, commands: Sequence[bytes] = ()
    ) -> None:
        """Send requests, or as many as may be on the way; `receive` sends the rest.

        The server works on them until they are received.

        Args:
            requests: Whole commands as bytes.
            replies_each: How many replies there are to each request.
            commands: What is to be done before, with one simple reply each.

        Raises:
            ParslflowError: The connection broke.
        """
        self._requests = requests
        self._each = replies_each
        self._commands = len(commands)
        self._sent = 0
        self._send(FIRST_IN_FLIGHT, b"".join(commands))

    def receive(self, into: Replies) -> None:
        """Receive the replies to what was requested, in their order.

        Args:
            into: Gets the replies, in place of what is in it.

        Raises:
            ParslflowError: The connection broke, nothing came for too long, what came is none of a
                store's replies, or it refused a command.
        """
        into.start = into.end = at = received = 0
        wanted = self._commands + len(self._requests) * self._each
        try:
            while received < wanted:
                answered = max(received - self._commands, 0) // self._each
                ahead = FIRST_IN_FLIGHT
                if answered:
                    ahead = max(2, IN_FLIGHT_BYTES * answered // at)
                self._send(answered + ahead)
                # Half of what is on the way, so that the server is never without a request.
                due = wanted
                if self._sent < len(self._requests):
                    due = self._commands + (answered + self._sent + 1) // 2 * self._each
                count, at, into.end, least = receive(
                    self._socket.fileno(),
                    into.data,
                    at,
                    into.end,
                    due - received,
                    int(TIME_LIMIT_S * 1000),
                )
                received += count
                if least:
                    into.grow(least)
        except (OSError, ValueError) as error:
            raise self._failure(error) from error
        into.start = self._behind_commands(into)

    def execute(self, commands: Sequence[bytes]) -> None:
        """Send commands with one simple reply each, and wait until they are done.

        Raises:
            ParslflowError: As `receive`.
        """
        if commands:
            self.request((), 1, commands)
            self.receive(Replies(4096))

    def _send(self, end: int, before: bytes = b"") -> None:
        """Send the requests up to number ``end`` that are not sent yet."""
        end = min(end, len(self._requests))
        if end <= self._sent and not before:
            return
        try:
            self._socket.sendall(b"".join([before, *self._requests[self._sent : end]]))
        except OSError as error:
            raise self._failure(error) from error
        self._sent = max(end, self._sent)

    def _behind_commands(self, replies: Replies) -> int:
        """Where the replies to the commands end, none of which is an error."""
        at = 0
        for _ in range(self._commands):
            line = replies.data[at : at + LONGEST_LINE].tobytes().partition(b"\r\n")[0]
            if line.startswith(b"-"):
                text = line[1:].decode(errors="replace")
                raise ParslflowError(f"Store {self._address}: {text}.")
            at += len(line) + 2
        return at

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
            cause = (
                f"no answer in {TIME_LIMIT_S:g} s: the server is stuck or the machine overloaded"
            )
        elif isinstance(error, ValueError):
            cause = f"{str(error).rstrip('.')}: it is no store, or the connection is out of step"
        else:
            cause = f"it cannot be reached ({error}): it has stopped or has not started"
        return ParslflowError(f"Store {self._address}: {cause}.")
