"""A batch is the samples of all times, whole or not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest

from parslflow.learning.samples import COLUMNS
from parslflow.learning.samples import Samples
from parslflow.learning.samples import read_attributes
from parslflow.learning.samples import read_samples
from parslflow.sampling.batch import write_batch

from .test_kept import assert_same
from .test_kept import part


@pytest.mark.parametrize("sizes", [(), (0,), (3, 0, 25, 1)])
def test_samples_come_back_in_their_order(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    path = tmp_path / "batch.h5"
    parts = [part(day, n) for day, n in enumerate(sizes)]
    write_batch(path, "high", parts, {"run": "high", "times": len(parts)})
    assert read_attributes(path) == {"run": "high", "times": len(parts)}
    assert_same(read_samples(path), parts)
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    def parts() -> Iterator[Samples]:
        yield part(1, 3)
        raise KeyError

    with pytest.raises(KeyError):
        write_batch(tmp_path / "batch.h5", "high", parts(), {})
    assert list(tmp_path.iterdir()) == []


def test_every_column_has_a_checksum(tmp_path: Path) -> None:
    path = tmp_path / "batch.h5"
    write_batch(path, "high", [part(1, 30)], {})
    with h5py.File(path) as file:
        assert all(file[column].fletcher32 for column in ("features", *COLUMNS))
