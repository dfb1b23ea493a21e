"""The servers of a store: one, or the shards of a cluster, and which of them holds a key."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import PythonRespSerializer
from redis.crc import key_slot
from redis.retry import Retry

from parslflow.store.address import Address
from parslflow.store.address import Place
from parslflow.store.receiver import Limit
from parslflow.store.receiver import TensorParser
from parslflow.store.wire import Word

CONNECT_S = 10.0

SLOTS = 16384

_POLYNOMIAL = 0x11021

_JOINED_BYTES = 6000


def _encode(word: Word) -> bytes | memoryview:
    if isinstance(word, str):
        return word.encode()
    if isinstance(word, memoryview):
        return word.tobytes() if word.nbytes <= _JOINED_BYTES else word
    return word if isinstance(word, bytes) else str(word).encode()


def shard_prefix(first_slot: int) -> bytes:
    """What stands for a shard in the names of its models and scripts: ``{prefix}.name``.

    It is the stock SmartRedis client's, so that either finds what the other put: the CRC16 is
    solved backwards for two bytes that lie in the shard's first slot, and bit by bit for more while
    one of them is a brace.
    """
    rest, bits = first_slot, 0
    while True:
        if rest >> bits & 1:
            rest ^= _POLYNOMIAL << bits
        bits += 1
        prefix = (rest >> 16).to_bytes((bits + 7) // 8, "big")
        if bits >= 16 and b"{" not in prefix and b"}" not in prefix:
            return prefix


class Shards:
    """Connections to the servers of a store, made when they are first used.

    redis-py's own cluster client is not used: it sends what was lost again, also an append.

    Args:
        published: Where the store is.
        time_limit_s: How long a reply may take.
        limit: Until when replies are waited for in this thread.

    Raises:
        UsageError: The address is none, or the password file cannot be read.
    """

    def __init__(self, published: Address, time_limit_s: float, limit: Limit) -> None:
        self._published = published
        self._options: dict[str, Any] = {
            "username": published.user,
            "password": published.password(),
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
            "socket_connect_timeout": min(CONNECT_S, time_limit_s),
            "socket_timeout": time_limit_s,
            "parser_class": functools.partial(TensorParser, limit=limit),
            # hiredis would copy the whole of a tensor into the command.
            "command_packer": PythonRespSerializer(_JOINED_BYTES, _encode),
        }
        if published.ca_file is not None:
            self._options["ssl_ca_certs"] = published.ca_file
        self._servers = {place: self._server(place) for place in published.places()}
        self._shards: list[tuple[int, redis.Redis]] = []
        self._owners: list[redis.Redis] = []

    def of(self, key: str) -> redis.Redis:
        """The server that holds ``key``.

        Raises:
            redis.RedisError: No server of the cluster says which.
        """
        if not self._published.clustered:
            [server] = self._servers.values()
            return server
        self._discover()
        return self._owners[key_slot(key.encode())]

    def all(self) -> list[redis.Redis]:
        """Every server, in the order of their first slots.

        Raises:
            redis.RedisError: No server of the cluster says which there are.
        """
        return [server for _, server in self.prefixed()]

    def prefixed(self) -> list[tuple[bytes, redis.Redis]]:
        """Every server, with what begins the keys of its models and scripts.

        Raises:
            redis.RedisError: No server of the cluster says which there are.
        """
        if not self._published.clustered:
            return [(b"", server) for server in self._servers.values()]
        self._discover()
        return [(b"{%b}." % shard_prefix(first), server) for first, server in self._shards]

    def addresses(self) -> list[Address]:
        """The address of each server, as that of a store by itself.

        Raises:
            redis.RedisError: No server of the cluster says which there are.
        """
        if not self._published.clustered:
            return [self._published]
        places = {id(server): place for place, server in self._servers.items()}
        found = [places[id(server)] for server in self.all()]
        return [
            replace(self._published, address=f"{place[0]}:{place[1]}", clustered=False)
            for place in found
        ]

    def forget(self) -> None:
        """Ask again who holds what: something was moved, or a server has gone."""
        self._shards = []

    def close(self) -> None:
        """Close all connections."""
        for server in self._servers.values():
            server.close()

    def _discover(self) -> None:
        if self._shards:
            return
        failure: redis.RedisError = redis.ConnectionError("the cluster has no server")
        for place, server in list(self._servers.items()):
            try:
                self._learn(server.cluster("SLOTS"), str(place[0]))
            except redis.ConnectionError as error:
                failure = error
            else:
                return
        raise failure

    def _learn(self, ranges: list[list[Any]], host: str) -> None:
        """Take over which server has which slots."""
        firsts: dict[Place, int] = {}
        owners: list[redis.Redis | None] = [None] * SLOTS
        for first, last, primary, *_ in sorted(ranges):
            place = (primary[0].decode() or host, int(primary[1]))
            if place not in self._servers:
                self._servers[place] = self._server(place)
            firsts.setdefault(place, first)
            owners[first : last + 1] = [self._servers[place]] * (last + 1 - first)
        self._owners = [server for server in owners if server is not None]
        if len(self._owners) < SLOTS:
            raise redis.exceptions.ClusterDownError("some slots have no server")
        self._shards = [(first, self._servers[place]) for place, first in firsts.items()]

    def _server(self, place: Place) -> redis.Redis:
        options = dict(self._options)
        kind: Any
        if isinstance(place, str):
            kind = redis.UnixDomainSocketConnection
            options["path"] = place
            del options["socket_connect_timeout"]
        else:
            kind = redis.Connection if self._published.ca_file is None else redis.SSLConnection
            options["host"], options["port"] = place
        return redis.Redis.from_pool(redis.ConnectionPool(kind, **options))
