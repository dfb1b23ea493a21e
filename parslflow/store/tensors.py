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
        self._command(f"tensor '{name}'", name, *wire.tensor_set(name, array))

    def get_tensor(self, name: str) -> Array:
        """The tensor ``name``, an array of the caller's own.

        Raises:
            MissingKey: There is none.
        """
        reply = self._command(f"tensor '{name}'", name, *wire.tensor_get(name))
        return wire.read_tensor(name, reply).own_array()

    def raw_tensors(self, keys: Sequence[str]) -> list[RawTensor]:
        """The tensors under ``keys`` (see `wire.tensor_key`), received in one round trip.

        Raises:
            MissingKey: One is not there.
        """
        replies = self._pipelined(keys, [wire.tensor_get(key) for key in keys], "tensor", keys)
        return [wire.read_tensor(key, reply) for key, reply in zip(keys, replies, strict=True)]

    def tensor_exists(self, name: str) -> bool:
        """Whether there is something under the tensor's name."""
        return self.key_exists(name)

    def copy_tensor(self, name: str, to: str) -> None:
        """Put a copy of the tensor ``name`` under ``to``.

        Raises:
            MissingKey: There is none.
        """
        self.put_tensor(to, self.raw_tensors([name])[0].array())

    def rename_tensor(self, name: str, to: str) -> None:
        """Give a tensor another name, in one step; on a cluster, by a copy.

        Raises:
            MissingKey: There is none.
        """
        if self.published.clustered:
            self.copy_tensor(name, to)
            self.delete(name)
            return
        self._call(
            f"tensor '{name}'",
            lambda: self.shards.of(name).execute_command("RENAME", name, to),  # type: ignore[no-untyped-call]
            again=False,  # the second would find nothing
        )

    def delete(self, *names: str) -> int:
        """Delete keys; the number of them that were there."""
        commands = [["DEL", name] for name in names]
        return sum(self._pipelined(names, commands, "key", names))

    def key_exists(self, name: str) -> bool:
        """Whether there is such a key."""
        return bool(self._command(f"key '{name}'", name, "EXISTS", name))

    def poll_key(self, name: str, time_limit_s: float) -> bool:
        """Wait until there is such a key: is there, after so many seconds at most?"""
        return self._poll(lambda: self.key_exists(name), time_limit_s)

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
