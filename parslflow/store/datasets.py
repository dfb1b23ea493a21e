"""Data sets and lists of them: whole, in one transaction, and never on a list twice."""

from __future__ import annotations

import math
import re
import secrets
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import redis

from parslflow.store import wire
from parslflow.store.address import Address
from parslflow.store.tensors import TensorCalls
from parslflow.store.wire import Dataset
from parslflow.store.wire import Keyspace
from parslflow.store.wire import Metadata

CLOSE_S = 1.0

KEYS_AT_ONCE = 1000


class DatasetCalls(TensorCalls):
    """The calls for data sets.

    An append is done once, whatever happens: with each one the client leaves its number in a key of
    its own beside the list, in the same transaction. When the connection was lost it looks there
    whether the append was done, and sends it again only if not. After `StoreTimeout` it is not
    known, and nothing is sent again. The key goes when the client is closed, or expires.
    """

    def __init__(self, published: Address, time_limit_s: float, keyspace: str) -> None:
        super().__init__(published, time_limit_s, keyspace)
        self._name = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._appends = 0
        self._marks: set[str] = set()

    def close(self) -> None:
        """Close the connections."""
        if self._marks:
            with suppress(redis.RedisError), self._limit.within(CLOSE_S):
                for mark in self._marks:
                    self.shards.of(mark).delete(mark)
            self._marks = set()
        super().close()

    def put_dataset(self, dataset: Dataset, list: str | None = None) -> None:
        """Put a data set, and append it to a list, in one transaction: all of it or nothing.

        On a cluster the append follows when the data set is there, since each may be on a shard of
        its own.
        """
        what = f"data set '{dataset.name}'"
        key = self.target.metadata_key(dataset.name)
        commands = put_commands(self.target, dataset)
        if list is None or self.published.clustered:
            self._call(what, lambda: _transaction(self.shards.of(key), commands))
            commands = []
        if list is not None:
            self._append(what, list, dataset.name, commands)

    def append_to_list(self, list: str, dataset: str) -> None:
        """Append the name of a data set, which is there already, to a list."""
        self._append(f"list '{self.target.key(list)}'", list, dataset)

    def get_dataset(self, name: str) -> Dataset:
        """The data set ``name``, its arrays the caller's own.

        Raises:
            MissingKey: There is none.
        """
        [(metadata, names)] = self._metadata([name])
        raw = self.raw_tensors([self.source.tensor_key(name, tensor) for tensor in names])
        tensors = {tensor: item.own_array() for tensor, item in zip(names, raw, strict=True)}
        return Dataset(name, tensors, metadata)

    def get_metadata(self, datasets: Sequence[str]) -> list[Metadata]:
        """The metadata of many data sets in one round trip.

        Raises:
            MissingKey: One is not there.
        """
        return [metadata for metadata, _ in self._metadata(datasets)]

    def dataset_exists(self, name: str) -> bool:
        """Whether the data set is there, whole."""
        key = self.source.metadata_key(name)
        return bool(self._command(f"data set '{name}'", key, "HEXISTS", key, wire.COMPLETE))

    def find_datasets(self, prefix: str) -> list[str]:
        """The names of the data sets that begin with ``prefix`` and are there, whole.

        It looks at every key of the store: for once in a while.
        """
        escaped = re.sub(r"([][*?\\])", r"\\\1", prefix)
        pattern = self.source.metadata_key(f"{escaped}*")

        def work() -> list[str]:
            keys = {
                key.decode()
                for server in self.shards.all()
                for key in server.scan_iter(match=pattern, count=KEYS_AT_ONCE)
            }
            return sorted(self.source.dataset_of_key(key) for key in keys)

        names = self._call(f"data sets '{prefix}…'", work)
        keys = [self.source.metadata_key(name) for name in names]
        commands = [["HEXISTS", key, wire.COMPLETE] for key in keys]
        whole = self._pipelined(keys, commands, "data set", names)
        return [name for name, there in zip(names, whole, strict=True) if there]

    def poll_dataset(self, name: str, time_limit_s: float) -> bool:
        """Wait until the data set is there: is it, after so many seconds at most?"""
        return self._poll(lambda: self.dataset_exists(name), time_limit_s)

    def list_length(self, list: str) -> int:
        """How many data sets are on the list; 0 if there is none."""
        key = self.source.key(list)
        return int(self._command(f"list '{key}'", key, "LLEN", key))

    def poll_list_length(self, list: str, length: int, time_limit_s: float) -> bool:
        """Wait until the list has so many data sets or more: has it, in so many seconds?"""
        return self._poll(lambda: self.list_length(list) >= length, time_limit_s)

    def get_list(self, name: str) -> list[str]:
        """The names of the data sets on a list, in their order."""
        key = self.source.key(name)
        entries = self._command(f"list '{key}'", key, "LRANGE", key, 0, -1)
        return [self.source.dataset_of_entry(entry) for entry in entries]

    def drain_list(self, name: str) -> list[str]:
        """Take all the names of data sets off a list, in their order, in one atomic step.

        It is not done again when the connection is lost: what was taken might be lost with it.
        """
        key = self.source.key(name)
        commands: Sequence[Sequence[wire.Word]] = [["LRANGE", key, 0, -1], ["DEL", key]]
        entries, _ = self._call(
            f"list '{key}'", lambda: _transaction(self.shards.of(key), commands), again=False
        )
        return [self.source.dataset_of_entry(entry) for entry in entries]

    def delete_datasets(self, names: Sequence[str]) -> None:
        """Delete data sets with their tensors. One that is not there is no error."""
        metadata = [self.source.metadata_key(name) for name in names]
        commands = [["HMGET", key, wire.TENSOR_NAMES, wire.COMPLETE] for key in metadata]
        replies = self._pipelined(metadata, commands, "data set", names)
        # One that is put again between the two steps stays whole: it is on a list, so whoever
        # takes it from there deletes it.
        found = [
            (name, wire.tensor_names(name, blob) if blob is not None else [])
            for name, (blob, complete) in zip(names, replies, strict=True)
            if blob is not None or complete is not None
        ]
        self._pipelined(
            [self.source.metadata_key(name) for name, _ in found],
            [["DEL", *self.source.dataset_keys(name, tensors)] for name, tensors in found],
            "data set",
            [name for name, _ in found],
        )

    def _append(
        self, what: str, list: str, dataset: str, before: Sequence[Sequence[wire.Word]] = ()
    ) -> None:
        """Append a data set to ``list``, once, in one transaction with the commands ``before``."""
        key = self.target.key(list)
        commands = [*before, ["RPUSH", key, self.target.list_entry(dataset)]]
        with self._lock:
            self._appends += 1
            number = b"%d" % self._appends
        mark = wire.key_beside(key, f"appended.{self._name}.{threading.get_ident()}")
        self._marks.add(mark)
        expiry_s = math.ceil(2 * self.time_limit_s) + 60
        sent = False

        def work() -> None:
            nonlocal sent
            server = self.shards.of(key)
            if sent and server.get(mark) == number:
                return
            sent = True
            _transaction(server, [*commands, ["SET", mark, number, "EX", expiry_s]])

        self._call(what, work)

    def _metadata(self, datasets: Sequence[str]) -> list[tuple[Metadata, list[str]]]:
        keys = [self.source.metadata_key(name) for name in datasets]
        told = [self.source.key(name) for name in datasets]
        replies = self._pipelined(keys, [["HGETALL", key] for key in keys], "data set", told)
        return [
            wire.decode_metadata(name, fields) for name, fields in zip(told, replies, strict=True)
        ]


def put_commands(keyspace: Keyspace, dataset: Dataset) -> list[list[wire.Word]]:
    """The commands that put a data set in place of what is there, whole when all are done.

    Raises:
        ParslflowError: The format has no name for the type of an array or a value.
    """
    key = keyspace.metadata_key(dataset.name)
    fields = wire.encode_metadata(dataset)
    return [
        ["DEL", key],
        ["HSET", key, *(word for field in fields.items() for word in field)],
        *(
            wire.tensor_set(keyspace.tensor_key(dataset.name, name), array)
            for name, array in dataset.tensors.items()
        ),
        ["HSET", key, wire.COMPLETE, "1"],
    ]


def _transaction(server: redis.Redis, commands: Sequence[Sequence[wire.Word]]) -> list[Any]:
    transaction = server.pipeline(transaction=True)
    for command in commands:
        transaction.execute_command(*command)  # type: ignore[no-untyped-call]
    return transaction.execute()
