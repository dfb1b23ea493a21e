"""The project's HDF5 files: compressed, checksummed, written whole, and read with plain errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike
from numpy.typing import NDArray

from parslflow.errors import UsageError
from parslflow.records import Value
from parslflow.rundir import atomic_path

VERSION = 1
FILTERS: dict[str, Any] = {
    "compression": "gzip",
    "compression_opts": 1,  # the higher levels take twice the time for a hundredth of the size
    "shuffle": True,
    "fletcher32": True,
}
"""For data sets with rows: lossless compression, and a checksum that shows a damaged file."""
CHECKED: dict[str, Any] = {"fletcher32": True}
"""For data sets with rows that compression would not shrink: the checksum alone."""


@contextmanager
def create(path: Path, kind: str) -> Iterator[h5py.File]:
    """Yield a new file of the format ``parslflow-<kind>`` that appears at ``path`` when whole."""
    with atomic_path(path) as temporary, new(temporary, kind) as file:
        yield file


@contextmanager
def new(path: Path, kind: str) -> Iterator[h5py.File]:
    """Yield a new file of the format ``parslflow-<kind>``, there from the first moment."""
    with h5py.File(path, "w") as file:
        file.attrs["format"] = f"parslflow-{kind}"
        file.attrs["version"] = VERSION
        yield file


class Reader:
    """Takes arrays and attributes from an open file, each checked."""

    def __init__(self, path: Path, kind: str, file: h5py.File) -> None:
        self._path = path
        self._kind = kind
        self._file = file

    def array(self, key: str, dtype: DTypeLike, *shape: int) -> NDArray[Any]:
        """The data set ``key`` with the given type and shape, where -1 stands for any length."""
        if key not in self._file:
            raise UsageError(f"{self._path} has no data set '{key}': {self._cure}")
        data = self._file[key]
        if data.dtype != np.dtype(dtype) or len(data.shape) != len(shape):
            raise UsageError(
                f"{self._path} holds '{key}' as {data.dtype} of shape {data.shape}, not as "
                f"{np.dtype(dtype)} with {len(shape)} dimensions: {self._cure}"
            )
        if any(
            length not in (-1, actual) for length, actual in zip(shape, data.shape, strict=True)
        ):
            raise UsageError(
                f"{self._path} holds '{key}' of shape {data.shape} where {shape} is needed: "
                f"{self._cure}"
            )
        array: NDArray[Any] = data[()]
        return array

    def strings(self, key: str) -> tuple[str, ...]:
        """The data set ``key`` of strings."""
        if key not in self._file:
            raise UsageError(f"{self._path} has no data set '{key}': {self._cure}")
        return tuple(str(text) for text in self._file[key].asstr()[()])

    def attribute(self, key: str) -> Value:
        """The attribute ``key``."""
        if key not in self._file.attrs:
            raise UsageError(f"{self._path} has no attribute '{key}': {self._cure}")
        return _plain(self._file.attrs[key])

    def attributes(self) -> dict[str, Value]:
        """All attributes but those of the format."""
        return {
            key: _plain(value)
            for key, value in self._file.attrs.items()
            if key not in ("format", "version")
        }

    @property
    def _cure(self) -> str:
        return f"it is no whole file of {self._kind}; run the stage that writes it again."


def _plain(value: Any) -> Value:  # noqa: ANN401
    return value.item() if isinstance(value, np.generic) else value  # type: ignore[no-any-return]


@contextmanager
def read(path: Path, kind: str) -> Iterator[Reader]:
    """Open a file that ``create`` wrote.

    Raises:
        UsageError: The file is missing, damaged, of another format or version, or lacks what is
            asked of the reader.
    """
    if not path.is_file():
        raise UsageError(f"{path} does not exist: give the path of a file of {kind}.")
    try:
        with h5py.File(path, "r") as file:
            form, version = file.attrs.get("format"), file.attrs.get("version")
            if form != f"parslflow-{kind}":
                raise UsageError(f"{path} holds no {kind}: its attribute 'format' is {form!r}.")
            if version != VERSION:
                raise UsageError(
                    f"{path} has version {version} of its format where {VERSION} is read: write it "
                    "again with this parslflow."
                )
            yield Reader(path, kind, file)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise UsageError(
            f"{path} is damaged ({str(error).strip()}): run the stage that writes it again."
        ) from error
