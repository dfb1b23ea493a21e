"""How a client calls its store: in time, again where that is safe, and waiting while it is full."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple
from typing import TypeVar

import redis
from redis.exceptions import AskError
from redis.exceptions import BusyLoadingError
from redis.exceptions import ClusterDownError
from redis.exceptions import MovedError
from redis.exceptions import TryAgainError

from parslflow.errors import ParslflowError
from parslflow.store import errors
from parslflow.store.address import Address
from parslflow.store.receiver import Limit
from parslflow.store.shards import Shards
from parslflow.store.wire import Keyspace
from parslflow.store.wire import Word

TIME_LIMIT_S = 300.0
"""How long a call may take, if nothing else is said: a model's first run compiles it."""

RECONNECT_S = 30.0
"""How long a store that was lost is sought again."""

SHORTEST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.5

_NOT_DONE = (AskError, BusyLoadingError, ClusterDownError, MovedError, TryAgainError)
"""Refusals that pass: the command was not done, and can be sent again whatever it is."""

_MISSING = re.compile(r"there is no \w+ under the key|key is empty")

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class Memory(NamedTuple):
    """What the store holds and may hold, in bytes; a limit of 0 is none. Of a cluster, the sum."""

    used: int
    limit: int


class Connection:
    """What the parts of a client have in common.

    Args:
        published: Where the store is.
        time_limit_s: How long a call may take.
        keyspace: The name of the keyspace that it reads and writes.

    Raises:
        UsageError: The address is none, the password file cannot be read, or the keyspace's name
            has characters that none may have.

    Attributes:
        source: The keyspace that is read, asked for, deleted from and waited for.
        target: The keyspace that is put into.
    """

    def __init__(self, published: Address, time_limit_s: float, keyspace: str) -> None:
        self.source = self.target = Keyspace(keyspace)
        self.published = published
        self.address = published.address
        self.time_limit_s = time_limit_s
        self._limit = Limit()
        self.shards = Shards(published, time_limit_s, self._limit)
        self._met = False

    @property
    def connection(self) -> redis.Redis:
        """The redis-py client of the store; of a cluster that of its first shard."""
        return self.shards.all()[0]

    def close(self) -> None:
        """Close the connections."""
        self.shards.close()

    def ping(self) -> None:
        """Raise `StoreError` unless the store answers, on all its shards."""
        self._call("a ping", lambda: [server.ping() for server in self.shards.all()])

    def info(self) -> list[dict[str, Any]]:
        """What each server says of itself."""
        return self._call("its state", lambda: [server.info() for server in self.shards.all()])

    def memory(self) -> Memory:
        """What the store uses of its limit."""
        found = self.info()
        used, limit = (sum(info[key] for info in found) for key in ("used_memory", "maxmemory"))
        return Memory(used, limit)

    def servers(self) -> list[Address]:
        """The address of each server, by itself."""
        return self._call("its servers", self.shards.addresses)

    def server_of(self, key: str) -> int:
        """Which of `servers` holds a key."""
        return self._call(f"key '{key}'", lambda: self.shards.all().index(self.shards.of(key)))

    def _call(self, what: str, work: Callable[[], Result], again: bool = True) -> Result:
        """Do ``work`` within the time limit.

        It is done again while the store is full, or moves keys between its shards, or loads its
        file: then it has not been done. When the connection was lost, nobody knows whether it has.

        Args:
            what: What it is for, for messages.
            work: Sends commands by redis-py and returns what came of them.
            again: Whether it may be done again after the connection was lost.

        Raises:
            StoreError: It failed, for good or for the whole time limit.
        """
        started = time.monotonic()
        self._limit.until = until = started + self.time_limit_s
        pause = SHORTEST_PAUSE_S
        full = False
        sought_until: float | None = None
        try:
            while True:
                try:
                    result = work()
                    break
                except redis.OutOfMemoryError as error:
                    failure: redis.RedisError = error
                    if not full:
                        _log.warning("Store %s is full: %s waits for room.", self.address, what)
                    full = True
                except _NOT_DONE as error:
                    failure = error
                    self.shards.forget()
                except redis.AuthenticationError:
                    raise
                except redis.ConnectionError as error:
                    if not (again and self._met):
                        raise
                    failure = error
                    if sought_until is None:
                        sought_until = time.monotonic() + RECONNECT_S
                    until = min(until, sought_until)
                    self.shards.forget()
                if time.monotonic() + pause > until:
                    raise failure
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
        except redis.RedisError as error:
            self._met |= isinstance(error, redis.ResponseError)
            raise self._failure(what, error) from error
        finally:
            self._limit.until = None
        if full:
            waited = time.monotonic() - started
            _log.warning("Store %s has room: %s went on after %.1f s.", self.address, what, waited)
        self._met = True
        return result

    def _pipelined(
        self,
        keys: Sequence[str],
        commands: Sequence[Sequence[Word]],
        what: str,
        names: Sequence[str],
    ) -> list[Any]:
        """Send commands that only read, each to the server of its key, in one round trip to each.

        An error names the ``what`` that it is for, with its name of ``names``.
        """
        replies: list[Any] = [None] * len(commands)

        def work() -> None:
            numbers: dict[redis.Redis, list[int]] = {}
            for number, key in enumerate(keys):
                numbers.setdefault(self.shards.of(key), []).append(number)
            for server, mine in numbers.items():
                pipeline = server.pipeline(transaction=False)
                for number in mine:
                    pipeline.execute_command(*commands[number])  # type: ignore[no-untyped-call]
                for number, reply in zip(mine, pipeline.execute(False), strict=True):
                    if isinstance(reply, _NOT_DONE):
                        raise reply
                    replies[number] = reply

        self._call(f"{len(names)} keys", work)
        for name, reply in zip(names, replies, strict=True):
            if isinstance(reply, redis.RedisError):
                raise self._failure(f"{what} '{name}'", reply) from reply
        return replies

    def _command(self, what: str, key: str, *words: Word) -> Any:  # noqa: ANN401
        """Send one command, which can be done twice, to the server of ``key``."""
        return self._call(
            what,
            lambda: self.shards.of(key).execute_command(*words),  # type: ignore[no-untyped-call]
        )

    def _failure(self, what: str, error: redis.RedisError) -> ParslflowError:
        """An error of redis-py as ours, which says what for, where, and the likely cause."""
        kind, cause = _cause(error, self.time_limit_s)
        return kind(f"Store {self.address}, {what}: {cause}.")


def _cause(error: redis.RedisError, limit_s: float) -> tuple[type[errors.StoreError], str]:
    text = str(error).rstrip(". ")
    match error:
        case redis.AuthenticationError():
            return (
                errors.StoreError,
                f"it wants another password ({text}): give the file named in address.json",
            )
        case redis.TimeoutError():
            return (
                errors.StoreTimeout,
                f"no answer in {limit_s:g} s: the server is stuck or the machine overloaded",
            )
        case BusyLoadingError():
            return errors.ConnectionLost, f"it still loads its file ({text})"
        case redis.ConnectionError():
            return (
                errors.ConnectionLost,
                f"it cannot be reached ({text}): it has stopped or has not started",
            )
        case redis.OutOfMemoryError():
            return errors.StoreFull, "it is full: give it more memory, or drain its lists faster"
    if "WRONGTYPE" in text:
        return errors.WrongType, text
    return (errors.MissingKey if _MISSING.search(text) else errors.StoreError), text
