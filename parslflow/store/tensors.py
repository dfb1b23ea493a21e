"""Tensors and keys, each in one round trip."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Sequence

from parslflow.store import wire
from parslflow.store.connection import LONGEST_PAUSE_S
from parslflow.store.connection import SHORTEST_PAUSE_S
from parslflow.store.connection import Connection
from parslflow.store.wire import Array
from parslflow.store.wire import RawTensor


class TensorCalls(Connection):
    """The calls for tensors and keys."""

    def put_tensor(self, name: str, array: Array) -> None:
        """Put ``array`` under ``name``, in place of what is there.

        Raises:
            WrongType: The store cannot hold arrays of its type.
        """
        key = self.target.key(name)
        self._command(f"tensor '{key}'", key, *wire.tensor_set(key, array))

    def get_tensor(self, name: str) -> Array:
        """The tensor ``name``, an array of the caller's own.

        Raises:
            MissingKey: There is none.
        """
        key = self.source.key(name)
        reply = self._command(f"tensor '{key}'", key, *wire.tensor_get(key))
        return wire.read_tensor(key, reply).own_array()

    def raw_tensors(self, keys: Sequence[str]) -> list[RawTensor]:
        """The tensors under ``keys`` (see `wire.Keyspace`), received in one round trip.

        Raises:
            MissingKey: One is not there.
        """
        replies = self._pipelined(keys, [wire.tensor_get(key) for key in keys], "tensor", keys)
        return [wire.read_tensor(key, reply) for key, reply in zip(keys, replies, strict=True)]

    def tensor_exists(self, name: str) -> bool:
        """Whether there is something under the tensor's name."""
        return self.key_exists(self.source.key(name))

    def copy_tensor(self, name: str, to: str) -> None:
        """Put a copy of the tensor ``name`` under ``to``.

        Raises:
            MissingKey: There is none.
        """
        self.put_tensor(to, self.raw_tensors([self.source.key(name)])[0].array())

    def rename_tensor(self, name: str, to: str) -> None:
        """Give a tensor another name, in one step; on a cluster, by a copy.

        Raises:
            MissingKey: There is none.
        """
        if self.published.clustered:
            self.copy_tensor(name, to)
            self.delete(name)
            return
        old, new = self.source.key(name), self.target.key(to)
        self._call(
            f"tensor '{old}'",
            lambda: self.shards.of(old).execute_command("RENAME", old, new),  # type: ignore[no-untyped-call]
            again=False,  # the second would find nothing
        )

    def delete(self, *names: str) -> int:
        """Delete tensors; the number of them that were there."""
        keys = [self.source.key(name) for name in names]
        return sum(self._pipelined(keys, [["DEL", key] for key in keys], "tensor", keys))

    def poll_tensor(self, name: str, time_limit_s: float) -> bool:
        """Wait until there is such a tensor: is there, after so many seconds at most?"""
        return self._poll(lambda: self.tensor_exists(name), time_limit_s)

    def key_exists(self, key: str) -> bool:
        """Whether there is such a key, in whatever keyspace."""
        return bool(self._command(f"key '{key}'", key, "EXISTS", key))

    def poll_key(self, key: str, time_limit_s: float) -> bool:
        """Wait until there is such a key: is there, after so many seconds at most?"""
        return self._poll(lambda: self.key_exists(key), time_limit_s)

    def _poll(self, happened: Callable[[], bool], time_limit_s: float) -> bool:
        deadline = time.monotonic() + time_limit_s
        pause = SHORTEST_PAUSE_S
        while not happened():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE_S)
        return True
