"""Commands as bytes, ready to be sent: those for many data sets are made fast."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
from functools import lru_cache

from parslflow.store.wire import Keyspace
from parslflow.store.wire import Word
from parslflow.store.wire import tensor_get


def packed(words: Sequence[Word]) -> bytes:
    """A command as it goes over the wire."""
    return b"".join([b"*%d\r\n" % len(words), *(_packed_word(word) for word in words)])


def dataset_request(keyspace: Keyspace, dataset: str, tensors: tuple[str, ...]) -> bytes:
    """HGETALL of a data set's metadata and TENSORGET of ``tensors``, as they go over the wire."""
    name = dataset.encode()
    return _request_for_length(keyspace, len(name), tensors) % ((name,) * (1 + len(tensors)))


def delete_request(keyspace: Keyspace, datasets: Iterable[tuple[str, tuple[str, ...]]]) -> bytes:
    """DEL of data sets, each with the names of its tensors, as it goes over the wire."""
    words = 1
    parts = []
    for dataset, tensors in datasets:
        name = dataset.encode()
        keys = _keys_for_length(keyspace, len(name), tensors)
        parts.append(keys % ((name,) * (1 + len(tensors))))
        words += 1 + len(tensors)
    return b"".join([b"*%d\r\n$3\r\nDEL\r\n" % words, *parts])


# The names of a run's tiles are of one length, so each of these is made once, with %b where the
# name goes.


@lru_cache(maxsize=256)
def _request_for_length(keyspace: Keyspace, length: int, tensors: tuple[str, ...]) -> bytes:
    name = "\0" * length
    commands: list[list[Word]] = [
        ["HGETALL", keyspace.metadata_key(name)],
        *(tensor_get(keyspace.tensor_key(name, tensor)) for tensor in tensors),
    ]
    return _with_gaps(b"".join(packed(words) for words in commands), name)


@lru_cache(maxsize=256)
def _keys_for_length(keyspace: Keyspace, length: int, tensors: tuple[str, ...]) -> bytes:
    name = "\0" * length
    keys = keyspace.dataset_keys(name, tensors)
    return _with_gaps(b"".join(_packed_word(key) for key in keys), name)


def _with_gaps(request: bytes, name: str) -> bytes:
    return request.replace(b"%", b"%%").replace(name.encode(), b"%b")


def _packed_word(word: Word) -> bytes:
    data = str(word).encode() if isinstance(word, str | int) else bytes(word)
    return b"$%d\r\n%b\r\n" % (len(data), data)
