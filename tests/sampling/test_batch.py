"""A batch is the samples of all times in the order of time, whatever order they came in."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parslflow.learning import samples
from parslflow.learning.samples import COLUMNS
from parslflow.learning.samples import Samples
from parslflow.learning.samples import read_attributes
from parslflow.learning.samples import read_samples
from parslflow.sampling.batch import new_batch


def part(day: int, n: int) -> Samples:
    random = np.random.default_rng(day)
    return Samples(
        features=random.normal(size=(n, 4)),
        eke=random.random(n),
        cluster=np.full(n, 2, dtype=np.int32),
        day=np.full(n, float(day)),
        j=random.integers(0, 9, n).astype(np.int32),
        i=random.integers(0, 9, n).astype(np.int32),
        run=np.zeros(n, dtype=np.int32),
        runs=("high",),
    )


@given(
    sizes=st.lists(st.integers(0, 25), min_size=1, max_size=8),
    chunk_rows=st.integers(1, 12),
    data=st.data(),
)
def test_samples_come_back_in_the_order_of_time(
    sizes: list[int], chunk_rows: int, data: st.DataObject
) -> None:
    parts = [part(day, n) for day, n in enumerate(sizes)]
    order = data.draw(st.permutations(range(len(parts))))
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "CHUNK_ROWS", chunk_rows)
        path = Path(folder) / "batch.h5"
        rows = 0
        with new_batch(path, "high") as batch:
            for times, day in enumerate(order, 1):
                batch.append(f"{day:07d}.00000", parts[day])
                rows += sizes[day]
                assert (len(batch), batch.times) == (rows, times)
            batch.describe({"run": "high", "times": len(parts)})
            assert not path.exists()
        result = read_samples(path)
        assert read_attributes(path) == {"run": "high", "times": len(parts)}
        assert [file.name for file in Path(folder).iterdir()] == ["batch.h5"]
    expected = Samples.concatenate(parts)
    for column in ("features", *COLUMNS):
        np.testing.assert_array_equal(
            getattr(result, column), getattr(expected, column), strict=True
        )
    assert result.runs == ("high",)


def fail(path: Path) -> None:
    with new_batch(path, "high") as batch:
        batch.append("0000001.00000", part(1, 3))
        raise KeyError


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        fail(tmp_path / "batch.h5")
    assert list(tmp_path.iterdir()) == []


def test_every_column_has_a_checksum(tmp_path: Path) -> None:
    path = tmp_path / "batch.h5"
    with new_batch(path, "high") as batch:
        batch.append("0000001.00000", part(1, 30))
    with h5py.File(path) as file:
        assert all(file[column].fletcher32 for column in ("features", *COLUMNS))
