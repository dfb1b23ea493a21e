"""A connection for many requests at once, whose replies stay bytes: nothing is made of each."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from parslflow._ext.receiving import receive
from parslflow.errors import ParslflowError
from parslflow.store.address import Address
from parslflow.store.connection import TIME_LIMIT_S
from parslflow.store.packing import packed
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
    """One connection to one server of a store.

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
        try:
            self._socket = _connected(published)
        except OSError as error:
            raise self._failure(error) from error
        try:
            self._authenticate(published)
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

    def receive(self, into: Replies, behind: bool = False) -> None:
        """Receive the replies to what was requested, in their order.

        Args:
            into: Gets the replies, in place of what is in it...
            behind: ... or behind that; commands must not have been requested then.

        Raises:
            ParslflowError: The connection broke, nothing came for too long, what came is none of a
                store's replies, or it refused a command.
        """
        if not behind:
            into.start = into.end = 0
        begin = at = into.end
        received = 0
        wanted = self._commands + len(self._requests) * self._each
        try:
            while received < wanted:
                answered = max(received - self._commands, 0) // self._each
                ahead = FIRST_IN_FLIGHT
                if answered:
                    ahead = max(2, IN_FLIGHT_BYTES * answered // (at - begin))
                self._send(answered + ahead)
                # Half of what is on the way, so that the server is never without a request.
                due = wanted
                if self._sent < len(self._requests):
                    due = self._commands + (answered + self._sent + 1) // 2 * self._each
                count, at, into.end, least = self._receive(into, at, due - received)
                received += count
                if least:
                    into.grow(least)
        except (OSError, ValueError) as error:
            raise self._failure(error) from error
        if not behind:
            into.start = self._behind_commands(into)

    def execute(self, commands: Sequence[bytes]) -> None:
        """Send commands with one simple reply each, and wait until they are done.

        Raises:
            ParslflowError: As `receive`.
        """
        if commands:
            self.request((), 1, commands)
            self.receive(Replies(4096))

    def _receive(self, into: Replies, at: int, wanted: int) -> tuple[int, int, int, int]:
        """See `receive` of the kernel, which cannot read what is encrypted."""
        if not isinstance(self._socket, ssl.SSLSocket):
            limit_ms = int(TIME_LIMIT_S * 1000)
            fd = self._socket.fileno()
            return receive(fd, into.data, at, into.end, wanted, limit_ms)
        if into.end == len(into.data):
            return 0, at, into.end, into.end + 1
        count = self._socket.recv_into(into.data.data[into.end :])
        if count == 0:
            raise ConnectionError("the other side closed the connection")
        into.end += count
        # It is full already, so nothing is received there.
        whole, at, end, least = receive(-1, into.data[: into.end], at, into.end, wanted, 0)
        return whole, at, end, least if least > len(into.data) else 0

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

    def _authenticate(self, published: Address) -> None:
        password = published.password()
        if password is None:
            return
        user = [published.user] if published.user is not None else []
        try:
            self.execute([packed(["AUTH", *user, password])])
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


def _connected(published: Address) -> socket.socket:
    """A socket that is connected to the first server at an address."""
    place = published.places()[0]
    if isinstance(place, str):
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.settimeout(CONNECT_S)
            connected.connect(place)
        except BaseException:
            connected.close()
            raise
    else:
        connected = socket.create_connection(place, CONNECT_S)
        if published.ca_file is not None:
            context = ssl.create_default_context(cafile=published.ca_file)
            connected = context.wrap_socket(connected, server_hostname=place[0])
    connected.settimeout(TIME_LIMIT_S)
    return connected
