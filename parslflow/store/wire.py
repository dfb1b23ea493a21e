"""The SmartRedis wire format: keys, commands, replies and metadata blobs as pure functions.

Everything is native-endian and row-major. The stock SmartRedis clients, our Fortran client and this
package meet only here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.store.errors import MissingKey
from parslflow.store.errors import WrongType

Word = bytes | str | int | memoryview
"""One word of a command."""

Array = NDArray[Any]
Metadata = dict[str, Array | list[str]]
"""Decoded metadata: 1-D arrays of numbers (scalars are of length 1) and lists of strings."""

_DTYPES: dict[str, np.dtype[Any]] = {
    "FLOAT": np.dtype(np.float32),
    "DOUBLE": np.dtype(np.float64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
}
_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}

# The first byte of a metadata blob says what follows.
_NUMBERS: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.float64),
    2: np.dtype(np.float32),
    3: np.dtype(np.int32),
    4: np.dtype(np.int64),
    5: np.dtype(np.uint32),
    6: np.dtype(np.uint64),
}
_NUMBER_TYPES = {dtype: code for code, dtype in _NUMBERS.items()}
_STRING = 7
_LENGTH_BYTES = 8

TENSOR_NAMES = ".tensor_names"
"""The metadata field that lists a data set's tensors."""
COMPLETE = ".COMPLETE"
"""The metadata field, plain text ``1``, that is written last."""


@dataclass
class Dataset:
    """Named tensors and metadata that travel together.

    Attributes:
        name: Its name in the store.
        tensors: Arrays of the eight types of the format, of any shape.
        metadata: Numbers or strings, one or many a field. Python numbers become int64 or double;
            give NumPy values for other types.
    """

    name: str
    tensors: dict[str, Array] = field(default_factory=dict)
    metadata: Mapping[str, object] = field(default_factory=dict)


class RawTensor(NamedTuple):
    """A tensor as it came from the store: bytes that nobody has copied."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    data: bytes | NDArray[np.uint8]

    def array(self) -> Array:
        """The same bytes as an array, which is read-only if they are ``bytes``."""
        return np.frombuffer(self.data, self.dtype).reshape(self.shape)

    def own_array(self) -> Array:
        """The bytes as an array that can be written to, copied only if they must be."""
        array = self.array()
        return array if array.flags.writeable else array.copy()


# Keys

LONGEST_KEYSPACE = 200

_KEYSPACE = re.compile(rf"[A-Za-z0-9._-]{{0,{LONGEST_KEYSPACE}}}")

_ENTRY = re.compile(r"(?:(?P<keyspace>[^{}]+)\.)?\{.*\}", re.DOTALL)


@dataclass(frozen=True)
class Keyspace:
    """The keys of a keyspace: of a member of an ensemble, or those that begin with nothing.

    Tensors, data sets and lists are in a keyspace; models and scripts are in none.

    Attributes:
        name: What its keys begin with, before a full stop; empty for the store's plain keys.

    Raises:
        UsageError: The name has characters other than letters, digits, ``.``, ``_`` and ``-``.
    """

    name: str = ""

    def __post_init__(self) -> None:
        # A brace would begin a hash tag, and a comma divides the names in SSKEYIN.
        if not _KEYSPACE.fullmatch(self.name):
            raise UsageError(
                f"A keyspace (SSKEYIN, SSKEYOUT) cannot be called '{self.name}': take letters, "
                f"digits and . _ - only, {LONGEST_KEYSPACE} at most."
            )

    def key(self, name: str) -> str:
        """The key of a tensor or a list."""
        return f"{self.name}.{name}" if self.name else name

    def metadata_key(self, dataset: str) -> str:
        """The key of a data set's metadata hash."""
        return self.key(f"{{{dataset}}}.meta")

    def tensor_key(self, dataset: str, tensor: str) -> str:
        """The key of one of a data set's tensors."""
        return self.key(f"{{{dataset}}}.{tensor}")

    def dataset_keys(self, dataset: str, tensors: Iterable[str]) -> list[str]:
        """All the keys of a data set with these tensors."""
        tensor_keys = (self.tensor_key(dataset, tensor) for tensor in tensors)
        return [self.metadata_key(dataset), *tensor_keys]

    def dataset_of_key(self, metadata_key: str) -> str:
        """The name of the data set that a metadata hash's key belongs to."""
        return metadata_key.removeprefix(self.key("{")).removesuffix("}.meta")

    def list_entry(self, dataset: str) -> str:
        """What a list holds for a data set."""
        return self.key(f"{{{dataset}}}")

    def dataset_of_entry(self, entry: bytes) -> str:
        """The name of the data set that a list's entry points to.

        Raises:
            ParslflowError: The entry is none, or points into another keyspace.
        """
        text = _text(entry, "a list's entry")
        found = _ENTRY.fullmatch(text)
        if found is None:
            raise ParslflowError(
                f"The list entry '{text}' is not '{{name}}' or 'keyspace.{{name}}': append data "
                "sets only."
            )
        keyspace = found["keyspace"] or ""
        if keyspace != self.name:
            raise ParslflowError(
                f"The list entry '{text}' is of {_told(keyspace)}, but the list of "
                f"{_told(self.name)}: append by a client whose SSKEYOUT is the list's keyspace."
            )
        return text[text.index("{") + 1 : -1]


def key_beside(key: str, what: str) -> str:
    """A key of the store's own beside another, on the same server of a cluster."""
    return f"{key}.{what}" if "{" in key else f"{{{key}}}.{what}"


def _told(keyspace: str) -> str:
    return f"the keyspace '{keyspace}'" if keyspace else "no keyspace"


# Tensors


def tensor_set(key: str | bytes, array: Array) -> list[Word]:
    """The command that puts ``array`` under ``key``, with its memory as the last word.

    Raises:
        WrongType: The format has no name for the array's type.
    """
    plain = np.asarray(array, order="C")
    dtype = plain.dtype.newbyteorder("=")
    name = _DTYPE_NAMES.get(dtype)
    if name is None:
        raise WrongType(
            f"Tensor '{_shown(key)}' is of type {plain.dtype}, which the store cannot hold: "
            f"convert it to one of {', '.join(str(known) for known in _DTYPE_NAMES)}."
        )
    data = plain.astype(dtype, copy=False).reshape(-1).view(np.uint8).data
    return ["AI.TENSORSET", key, name, *plain.shape, "BLOB", data]


def tensor_get(key: str | bytes) -> list[Word]:
    """The command that asks for a tensor's type, shape and bytes."""
    return ["AI.TENSORGET", key, "META", "BLOB"]


def read_tensor(key: str, reply: object) -> RawTensor:
    """The tensor in the reply to `tensor_get`.

    Raises:
        ParslflowError: The reply is not a tensor, or has too few or too many bytes.
    """
    match reply:
        case [
            b"dtype",
            bytes(name),
            b"shape",
            list(lengths),
            b"blob",
            bytes() | np.ndarray() as data,
        ]:
            pass
        case _:
            raise ParslflowError(f"The store's reply for tensor '{key}' is not a tensor.")
    dtype = _DTYPES.get(name.decode(errors="replace"))
    if dtype is None:
        raise ParslflowError(f"Tensor '{key}' came with the unknown type {name!r}.")
    shape = tuple(int(length) for length in lengths)
    expected = dtype.itemsize
    for length in shape:
        expected *= length
    if min(shape, default=0) < 0 or expected != len(data):
        raise ParslflowError(
            f"Tensor '{key}' of shape {shape} and type {dtype} came with {len(data)} bytes in "
            f"place of {expected}."
        )
    return RawTensor(shape, dtype, data)


# Metadata


def encode_field(name: str, value: object) -> bytes:
    """The blob of one metadata field.

    Args:
        name: The field's name, for messages.
        value: A number, a string, a sequence of either, or a 1-D array.

    Raises:
        ParslflowError: The format has no name for the value's type.
    """
    if isinstance(value, str):
        return _encode_strings([value])
    if isinstance(value, Sequence) and value and all(isinstance(item, str) for item in value):
        return _encode_strings(value)
    try:
        numbers = np.atleast_1d(np.asarray(value))
    except (ValueError, OverflowError):
        numbers = np.empty(0, object)
    code = _NUMBER_TYPES.get(numbers.dtype.newbyteorder("="))
    if code is None or numbers.ndim != 1:
        raise ParslflowError(
            f"Metadata '{name}' is neither strings nor numbers of type "
            f"{', '.join(str(known) for known in _NUMBER_TYPES)}: {value!r:.80}."
        )
    data: bytes = numbers.astype(_NUMBERS[code], copy=False).tobytes()
    return bytes([code]) + data


def decode_field(name: str, blob: bytes) -> Array | list[str]:
    """The numbers (1-D, read-only) or strings in a metadata blob.

    Raises:
        ParslflowError: The blob is empty, cut, or of an unknown type.
    """
    if not blob:
        raise ParslflowError(f"Metadata '{name}' is empty: it lacks even its type.")
    code = blob[0]
    if code == _STRING:
        return _decode_strings(name, blob)
    dtype = _NUMBERS.get(code)
    if dtype is None:
        raise ParslflowError(f"Metadata '{name}' is of the unknown type {code}.")
    if (len(blob) - 1) % dtype.itemsize:
        raise ParslflowError(
            f"Metadata '{name}' has {len(blob) - 1} bytes, not whole {dtype} numbers: it was cut."
        )
    return np.frombuffer(blob, dtype, offset=1)


def tensor_names(dataset: str, blob: bytes) -> list[str]:
    """The names of a data set's tensors, from the blob of its metadata ``.tensor_names``.

    Raises:
        ParslflowError: The blob is damaged.
    """
    names = decode_field(f"{dataset}.{TENSOR_NAMES}", blob)
    if not isinstance(names, list):
        raise ParslflowError(f"The tensor names of data set '{dataset}' are not strings.")
    return names


def encode_metadata(dataset: Dataset) -> dict[str, bytes]:
    """The fields of a data set's metadata hash, but for ``.COMPLETE``.

    Raises:
        ParslflowError: A field has a name that the format keeps for itself, or cannot be encoded.
    """
    for reserved in (TENSOR_NAMES, COMPLETE):
        if reserved in dataset.metadata:
            raise ParslflowError(
                f"Data set '{dataset.name}' has metadata named '{reserved}', which the store keeps "
                "for itself: rename it."
            )
    fields = {name: encode_field(name, value) for name, value in dataset.metadata.items()}
    return fields | {TENSOR_NAMES: _encode_strings(list(dataset.tensors))}


def decode_metadata(dataset: str, fields: Mapping[bytes, bytes]) -> tuple[Metadata, list[str]]:
    """The metadata and the names of the tensors of ``dataset``, from its hash.

    Raises:
        MissingKey: There is no such data set.
        ParslflowError: A field is damaged.
    """
    if not fields:
        raise MissingKey(f"There is no data set '{dataset}' in the store.")
    metadata: Metadata = {}
    tensors: list[str] = []
    for field_name, blob in fields.items():
        name = _text(field_name, f"a metadata name of data set '{dataset}'")
        if name == COMPLETE:
            continue
        if name == TENSOR_NAMES:
            tensors = tensor_names(dataset, blob)
        else:
            metadata[name] = decode_field(f"{dataset}.{name}", blob)
    return metadata, tensors


def _encode_strings(strings: Iterable[str]) -> bytes:
    parts = [bytes([_STRING])]
    for text in strings:
        data = text.encode()
        parts += [len(data).to_bytes(_LENGTH_BYTES, sys.byteorder), data]
    return b"".join(parts)


def _decode_strings(name: str, blob: bytes) -> list[str]:
    strings = []
    position = 1
    while position < len(blob):
        start = position + _LENGTH_BYTES
        if start > len(blob):
            raise ParslflowError(f"Metadata '{name}' ends inside a string's length: it was cut.")
        length = int.from_bytes(blob[position:start], sys.byteorder)
        position = start + length
        if position > len(blob):
            raise ParslflowError(
                f"Metadata '{name}' ends inside a string of {length} bytes: it was cut."
            )
        strings.append(_text(blob[start:position], f"metadata '{name}'"))
    return strings


def _shown(key: str | bytes) -> str:
    return key if isinstance(key, str) else key.decode(errors="replace")


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ParslflowError(f"The text of {what} is not UTF-8: {data!r:.80}.") from error
