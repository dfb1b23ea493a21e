"""The Python client of the store, for stages: whole data sets and many keys in few round trips."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from typing import NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from parslflow.errors import ParslflowError
from parslflow.store import wire
from parslflow.store.address import Address
from parslflow.store.wire import Array
from parslflow.store.wire import Dataset
from parslflow.store.wire import Metadata
from parslflow.store.wire import RawTensor

CONNECT_S = 10.0
REPLY_S = 300.0
"""How long a reply may take: a model's first run compiles it."""

MODEL_TIMEOUT_MS = 60_000


class Memory(NamedTuple):
    """What the store holds and may hold, in bytes; a limit of 0 is none."""

    used: int
    limit: int


class StoreClient:
    """A connection to one store. Nothing is sent twice: a failed append is the caller's to judge.

    Args:
        address: ``unix:///path`` or ``host:port``.
        password_file: File whose text is the store's password.

    Raises:
        UsageError: The address is none, or the password file cannot be read.
    """

    def __init__(self, address: str, password_file: Path | None = None) -> None:
        self.published = Address(address, str(password_file) if password_file else None)
        self.address = address
        place = self.published.place()
        where: dict[str, Any] = (
            {"unix_socket_path": place}
            if isinstance(place, str)
            else {"host": place[0], "port": place[1]}
        )
        self.connection = redis.Redis(
            **where,
            password=self.published.password(),
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=CONNECT_S,
            socket_timeout=REPLY_S,
        )

    @classmethod
    def from_address_file(cls, path: Path, wait_s: float = 0.0) -> StoreClient:
        """Connect to the store that published ``path``, which may take it up to ``wait_s`` seconds.

        Raises:
            ParslflowError: The file did not appear, or is not one of a store.
        """
        published = Address.load(path, wait_s)
        password_file = published.password_file
        return cls(published.address, Path(password_file) if password_file else None)

    def __enter__(self) -> StoreClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def ping(self) -> None:
        """Raise `ParslflowError` unless the store answers."""
        with self._errors("a ping"):
            self.connection.ping()

    def memory(self) -> Memory:
        """What the store uses of its limit."""
        with self._errors("its memory"):
            info: dict[str, Any] = self.connection.info("memory")
        return Memory(info["used_memory"], info["maxmemory"])

    # Tensors

    def put_tensor(self, name: str, array: Array) -> None:
        """Put ``array`` under ``name``, in place of what is there."""
        with self._errors(f"tensor '{name}'"):
            self._command(*wire.tensor_set(name, array))

    def get_tensor(self, name: str) -> Array:
        """A copy of the tensor ``name``."""
        return self.raw_tensors([name])[0].array().copy()

    def raw_tensors(self, keys: Sequence[str]) -> list[RawTensor]:
        """The tensors under ``keys`` (see `wire.tensor_key`), received in one round trip."""
        replies = self._pipelined([wire.tensor_get(key) for key in keys], "tensor", keys)
        return [wire.read_tensor(key, reply) for key, reply in zip(keys, replies, strict=True)]

    def delete(self, *names: str) -> int:
        """Delete keys; the number of them that were there."""
        with self._errors(f"the deletion of {len(names)} keys"):
            return int(self.connection.delete(*names)) if names else 0

    # Data sets and lists

    def put_dataset(self, dataset: Dataset, list: str | None = None) -> None:
        """Put a data set, and append it to a list, in one transaction: all of it or nothing."""
        key = wire.metadata_key(dataset.name)
        fields = wire.encode_metadata(dataset)
        tensors = [
            wire.tensor_set(wire.tensor_key(dataset.name, name), array)
            for name, array in dataset.tensors.items()
        ]
        with self._errors(f"data set '{dataset.name}'"):
            transaction = self.connection.pipeline(transaction=True)
            transaction.delete(key)
            transaction.hset(key, mapping=fields)  # type: ignore[arg-type]
            for command in tensors:
                transaction.execute_command(*command)  # type: ignore[no-untyped-call]
            transaction.hset(key, wire.COMPLETE, "1")
            if list is not None:
                transaction.rpush(list, wire.list_entry(dataset.name))
            transaction.execute()

    def get_dataset(self, name: str) -> Dataset:
        """The data set ``name``, its arrays copied."""
        [(metadata, names)] = self._metadata([name])
        raw = self.raw_tensors([wire.tensor_key(name, tensor) for tensor in names])
        tensors = {tensor: item.array().copy() for tensor, item in zip(names, raw, strict=True)}
        return Dataset(name, tensors, metadata)

    def get_metadata(self, datasets: Sequence[str]) -> list[Metadata]:
        """The metadata of many data sets in one round trip."""
        return [metadata for metadata, _ in self._metadata(datasets)]

    def drain_list(self, name: str) -> list[str]:
        """Take all the names of data sets off a list, in their order, in one atomic step."""
        with self._errors(f"list '{name}'"):
            transaction = self.connection.pipeline(transaction=True)
            transaction.lrange(name, 0, -1)
            transaction.delete(name)
            entries, _ = transaction.execute()
        return [wire.dataset_of_entry(entry) for entry in entries]

    def delete_datasets(self, names: Sequence[str]) -> None:
        """Delete data sets with their tensors, at once. One that is not there is no error."""
        commands: list[list[wire.Word]] = [
            ["HGET", wire.metadata_key(name), wire.TENSOR_NAMES] for name in names
        ]
        keys = []
        for name, blob in zip(names, self._pipelined(commands, "data set", names), strict=True):
            # One that is put again between the two steps stays whole: it is on a list, so whoever
            # takes it from there deletes it.
            if blob is not None:
                keys += wire.keys(name, wire.tensor_names(name, blob))
        self.delete(*keys)

    def _metadata(self, datasets: Sequence[str]) -> list[tuple[Metadata, list[str]]]:
        commands: list[list[wire.Word]] = [
            ["HGETALL", wire.metadata_key(name)] for name in datasets
        ]
        replies = self._pipelined(commands, "data set", datasets)
        return [
            wire.decode_metadata(name, fields)
            for name, fields in zip(datasets, replies, strict=True)
        ]

    # Models

    def set_model(self, name: str, script: bytes, device: str = "CPU") -> None:
        """Put the TorchScript ``script`` under ``name``, to run on CPU, GPU or GPU:n."""
        with self._errors(f"model '{name}'"):
            size = int(self._command("AI.CONFIG", "GET", "MODEL_CHUNK_SIZE"))
            whole = memoryview(script)
            chunks = [whole[start : start + size] for start in range(0, len(whole), size)]
            self._command("AI.MODELSTORE", name, "TORCH", device, "BLOB", *chunks)

    def get_model(self, name: str) -> bytes:
        """The TorchScript under ``name``."""
        with self._errors(f"model '{name}'"):
            reply = self._command("AI.MODELGET", name, "BLOB")
        return b"".join(reply) if isinstance(reply, list) else bytes(reply)

    def run_model(self, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Run the model ``name`` on tensors ``inputs`` and put its answers under ``outputs``."""
        with self._errors(f"model '{name}'"):
            self._command(
                "AI.MODELEXECUTE",
                name,
                "INPUTS",
                len(inputs),
                *inputs,
                "OUTPUTS",
                len(outputs),
                *outputs,
                "TIMEOUT",
                MODEL_TIMEOUT_MS,
            )

    # The connection

    def _command(self, *words: wire.Word) -> Any:  # noqa: ANN401
        return self.connection.execute_command(*words)  # type: ignore[no-untyped-call]

    def _pipelined(
        self, commands: Sequence[list[wire.Word]], what: str, names: Sequence[str]
    ) -> list[Any]:
        """Send ``commands`` in one round trip; an error names the ``what`` that it is for."""
        with self._errors(f"{len(names)} keys"):
            pipeline = self.connection.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
            replies = pipeline.execute(raise_on_error=False)
        for name, reply in zip(names, replies, strict=True):
            if isinstance(reply, Exception):
                with self._errors(f"{what} '{name}'"):
                    raise reply
        return list(replies)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Turn an error of redis-py into ours, which says what for, where, and the likely cause."""
        try:
            yield
        except redis.AuthenticationError as error:
            cause = f"it wants another password ({error}): give the file named in address.json"
            raise ParslflowError(f"Store {self.address}, {what}: {cause}.") from error
        except redis.TimeoutError as error:
            cause = f"no answer in {REPLY_S:g} s: the server is stuck or the machine overloaded"
            raise ParslflowError(f"Store {self.address}, {what}: {cause}.") from error
        except redis.ConnectionError as error:
            cause = f"it cannot be reached ({error}): it has stopped or has not started"
            raise ParslflowError(f"Store {self.address}, {what}: {cause}.") from error
        except redis.OutOfMemoryError as error:
            cause = "it is full: give it more memory, or drain its lists faster"
            raise ParslflowError(f"Store {self.address}, {what}: {cause}.") from error
        except redis.RedisError as error:
            cause = str(error).rstrip(". ")
            raise ParslflowError(f"Store {self.address}, {what}: {cause}.") from error
