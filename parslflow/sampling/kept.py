"""The samples kept of each time, in a file that only grows, until the batch is written.

Before the tiles of a time are deleted its samples are here, so that a sampler that is killed and
started again goes on behind the times that it has. A record is a line of JSON, which says the time,
how many samples of any cluster it had, and the checksum and number of the rows that follow, column
by column; or why the time was rejected. A last record that was cut is written again. When the batch
is written the rows go, and the first line gets the batch's checksum.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parslflow.errors import ParslflowError
from parslflow.learning.samples import COLUMNS
from parslflow.learning.samples import FEATURES
from parslflow.learning.samples import Samples
from parslflow.provenance.events import has_content
from parslflow.rundir import atomic_path
from parslflow.rundir import lock

VERSION = 1

_SUFFIX = ".kept"

_COLUMNS = {"features": (np.dtype("<f8"), (len(FEATURES),))} | {
    column: (np.dtype(f"<{kind}"), ()) for column, kind in COLUMNS.items()
}
"""Type and shape of a row of each column, in the order of the file."""

_ROW_BYTES = sum(dtype.itemsize * int(np.prod(shape)) for dtype, shape in _COLUMNS.values())


@dataclass(frozen=True)
class _Part:
    """Where the rows of one time are."""

    start: int
    rows: int
    seen: int
    flaw: str = ""
    """Why the time was rejected, if it was."""


class Kept:
    """The samples of one time after the other; `open_kept` makes it.

    Args:
        path: The file.
        file: The same, open.
        about: The first line.
        parts: What it holds, by stamp.
    """

    def __init__(
        self, path: Path, file: IO[bytes], about: dict[str, Any], parts: dict[str, _Part]
    ) -> None:
        self._path = path
        self._file = file
        self._about = about
        self._parts = parts
        self._rows: int = about.get("rows", sum(part.rows for part in parts.values()))
        self.batch: str = about.get("batch", "")
        """The SHA-256 of the batch, once it is written."""
        self.seen = sum(part.seen for part in parts.values())
        """How many samples of any cluster the times had."""

    def __len__(self) -> int:
        return self._rows

    @property
    def stamps(self) -> frozenset[str]:
        """The times."""
        return frozenset(self._parts)

    @property
    def times(self) -> int:
        """How many times there are."""
        return len(self._parts)

    @property
    def flaws(self) -> list[str]:
        """Why times were rejected, in the order of time."""
        return [part.flaw for _, part in sorted(self._parts.items()) if part.flaw]

    def append(self, stamp: str, samples: Samples, seen: int) -> None:
        """Add the samples of the time ``stamp``, which survive this process from now on.

        Args:
            stamp: The time.
            samples: What is kept of it.
            seen: How many samples of any cluster it had.

        Raises:
            ParslflowError: They cannot be written.
        """
        columns = [
            np.ascontiguousarray(getattr(samples, column), dtype).data.cast("B")
            for column, (dtype, _) in _COLUMNS.items()
            if len(samples)
        ]
        checksum = 0
        for column in columns:
            checksum = zlib.crc32(column, checksum)
        about = {"stamp": stamp, "rows": len(samples), "seen": seen, "crc32": checksum}
        _write(self._path, self._file, [_line(about), *columns])
        start = self._file.tell() - len(samples) * _ROW_BYTES
        self._parts[stamp] = _Part(start, len(samples), seen)
        self._rows += len(samples)
        self.seen += seen

    def reject(self, stamp: str, flaw: str) -> None:
        """Note that nothing is kept of the time ``stamp``, and why.

        Raises:
            ParslflowError: It cannot be written.
        """
        _write(
            self._path,
            self._file,
            [_line({"stamp": stamp, "rows": 0, "seen": 0, "crc32": 0, "flaw": flaw})],
        )
        self._parts[stamp] = _Part(self._file.tell(), 0, 0, flaw)

    def in_order(self) -> Iterator[Samples]:
        """The samples of each time, in the order of time, whatever order they were added in."""
        for _, part in sorted(self._parts.items()):
            self._file.seek(part.start)
            content = self._file.read(part.rows * _ROW_BYTES)
            columns: dict[str, NDArray[Any]] = {}
            offset = 0
            for column, (dtype, shape) in _COLUMNS.items():
                values = part.rows * int(np.prod(shape))
                flat = np.frombuffer(content, dtype, values, offset)
                columns[column] = flat.reshape(part.rows, *shape)
                offset += flat.nbytes
            yield Samples(runs=(self._about["run"],), **columns)

    def finish(self, batch: str) -> None:
        """Delete the rows, which are in the batch with this SHA-256; it remains that they were."""
        about = self._about | {"batch": batch, "rows": self._rows}
        records = (
            {"stamp": stamp, "rows": 0, "seen": part.seen, "crc32": 0, "flaw": part.flaw}
            for stamp, part in sorted(self._parts.items())
        )
        with atomic_path(self._path) as temporary:
            temporary.write_bytes(b"".join(map(_line, (about, *records))))


def kept_path(batch: Path) -> Path:
    """Where the samples are until ``batch`` is written."""
    return batch.with_name(f"{batch.name}{_SUFFIX}")


def _batch_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(_SUFFIX))


@contextmanager
def open_kept(path: Path, about: Mapping[str, str]) -> Iterator[Kept]:
    """Open what an earlier sampler kept, or begin.

    Args:
        path: The file, as `kept_path` calls it.
        about: What the samples depend on, the run's name as ``run`` among it. What was kept of
            anything else, or of a batch that is not there any more, is thrown away.

    Raises:
        ParslflowError: Another sampler is at work on it, or it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    head: dict[str, Any] = {"format": "parslflow-kept", "version": VERSION, **about}
    with path.open("a+b", buffering=0) as file:
        if not lock(file, wait=False):
            raise ParslflowError(
                f"{path}: another sampler is at work on it: wait until it has ended, or end it."
            )
        file.seek(0)
        parts: dict[str, _Part] = {}
        found = _parse(file.readline())
        lost = "batch" in found and not has_content(_batch_of(path), found["batch"])
        if found.items() >= head.items() and not lost:
            head = found
            end = file.tell()
            for stamp, part in _read(file):
                parts[stamp] = part
                end = file.tell()
            file.truncate(end)
        else:
            file.truncate(0)
            _write(path, file, [_line(head)])
        yield Kept(path, file, head, parts)


def kept_stamps(batch: Path, stream: str) -> frozenset[str]:
    """The times that a sampler, which may be at work, has of the simulation with this id."""
    return _look(kept_path(batch), stream)[0]


def are_batched(batches: Collection[Path], stream: str) -> bool:
    """Whether all that the samplers had of the simulation with this id is in these batches.

    Without samplers nothing is.
    """
    return bool(batches) and all(_look(kept_path(batch), stream)[1] for batch in batches)


def _look(path: Path, stream: str) -> tuple[frozenset[str], bool]:
    """Which times there are of a simulation, and whether they are in a batch."""
    try:
        with path.open("rb") as file:
            about = _parse(file.readline())
            lost = "batch" in about and not _batch_of(path).is_file()
            if about.get("version") == VERSION and about.get("stream") == stream and not lost:
                return frozenset(stamp for stamp, _ in _read(file)), "batch" in about
    except FileNotFoundError:
        pass
    return frozenset(), False


def _read(file: IO[bytes]) -> Iterator[tuple[str, _Part]]:
    """The records behind where ``file`` is, up to the first that is not whole."""
    while (line := file.readline()).endswith(b"\n"):
        about = _parse(line)
        if not about:
            return
        start = file.tell()
        content = file.read(about["rows"] * _ROW_BYTES)
        if len(content) < about["rows"] * _ROW_BYTES or zlib.crc32(content) != about["crc32"]:
            return
        yield about["stamp"], _Part(start, about["rows"], about["seen"], about.get("flaw", ""))


def _line(about: Mapping[str, Any]) -> bytes:
    return json.dumps(about).encode() + b"\n"


def _parse(line: bytes) -> dict[str, Any]:
    """What a line says; nothing if it is damaged or was cut."""
    try:
        about = json.loads(line)
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}


def _write(path: Path, file: IO[bytes], pieces: list[bytes | memoryview]) -> None:
    """Append in one call, so that a killed process cuts at most the last record."""
    reason = ""
    wanted = sum(len(piece) for piece in pieces)
    written = 0
    try:
        written = os.writev(file.fileno(), pieces)
    except OSError as error:
        reason = f" ({error.strerror})"
    if written != wanted:
        raise ParslflowError(
            f"{path} cannot be written{reason}: is the disk full? Free some space, then 'parslflow "
            "resume' goes on."
        )
    file.seek(0, os.SEEK_END)
