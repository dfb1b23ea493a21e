from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from parslflow.errors import UsageError
from parslflow.learning.samples import COLUMNS
from parslflow.learning.samples import Samples
from parslflow.learning.samples import read_attributes
from parslflow.learning.samples import read_samples
from parslflow.learning.samples import write_samples

from .synthetic import make_samples


@st.composite
def some_samples(draw: st.DrawFn) -> Samples:
    n = draw(st.integers(0, 20))
    runs = tuple(draw(st.lists(st.text("abc-1é", min_size=1), min_size=1, max_size=3, unique=True)))
    floats = st.floats(allow_nan=False, allow_infinity=False, width=64)
    whole = st.integers(0, 2**31 - 1)
    return Samples(
        features=draw(hnp.arrays("f8", (n, 4), elements=floats)),
        eke=draw(hnp.arrays("f8", n, elements=floats)),
        cluster=draw(hnp.arrays("i4", n, elements=whole)),
        day=draw(hnp.arrays("f8", n, elements=floats)),
        j=draw(hnp.arrays("i4", n, elements=whole)),
        i=draw(hnp.arrays("i4", n, elements=whole)),
        run=draw(hnp.arrays("i4", n, elements=st.integers(0, len(runs) - 1))),
        runs=runs,
    )


def assert_equal(one: Samples, other: Samples) -> None:
    for column in ("features", *COLUMNS):
        a, b = getattr(one, column), getattr(other, column)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert one.runs == other.runs


attributes = st.dictionaries(
    st.sampled_from(["clusters", "seed", "scale"]),
    st.text("abé") | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False),
)


@settings(max_examples=40, deadline=None)
@given(samples=some_samples(), given_attributes=attributes)
def test_a_file_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    samples: Samples,
    given_attributes: dict[str, str | int | float],
) -> None:
    path = tmp_path_factory.mktemp("samples") / "samples.h5"
    write_samples(path, samples, given_attributes)
    assert_equal(read_samples(path), samples)
    assert read_attributes(path) == given_attributes


@settings(max_examples=40, deadline=None)
@given(parts=st.lists(some_samples(), min_size=1, max_size=4))
def test_concatenation_keeps_rows_and_the_names_of_their_runs(parts: list[Samples]) -> None:
    whole = Samples.concatenate(parts)
    assert len(whole) == sum(len(part) for part in parts)
    names = [whole.runs[run] for run in whole.run]
    assert names == [part.runs[run] for part in parts for run in part.run]
    np.testing.assert_array_equal(whole.eke, np.concatenate([part.eke for part in parts]))
    assert len(set(whole.runs)) == len(whole.runs)


def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        write_samples(tmp_path / name, make_samples(100), {"seed": 1})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_columns_of_different_length_are_refused() -> None:
    samples = make_samples(10)
    with pytest.raises(ValueError, match="does not go with 10 samples"):
        replace(samples, day=samples.day[1:])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.h5 does not exist"):
        read_samples(tmp_path / "none.h5")


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text.h5"
    path.write_text("no HDF5")
    with pytest.raises(UsageError, match=r"text\.h5 is damaged"):
        read_samples(path)
    with h5py.File(path, "w") as file:
        file["features"] = 1
    with pytest.raises(UsageError, match=r"text\.h5 holds no samples"):
        read_samples(path)


@pytest.mark.parametrize("key", ["features", "eke", "runs", "i"])
def test_a_missing_data_set_is_named(tmp_path: Path, key: str) -> None:
    path = tmp_path / "samples.h5"
    write_samples(path, make_samples(10), {})
    with h5py.File(path, "a") as file:
        del file[key]
    with pytest.raises(UsageError, match=rf"samples\.h5 has no data set '{key}'"):
        read_samples(path)


@pytest.mark.parametrize("wrong", [np.zeros(9), np.zeros(10, "f4"), np.zeros((10, 2))])
def test_a_data_set_of_another_shape_or_type_is_named(tmp_path: Path, wrong: np.ndarray) -> None:
    path = tmp_path / "samples.h5"
    write_samples(path, make_samples(10), {})
    with h5py.File(path, "a") as file:
        del file["eke"]
        file["eke"] = wrong
    with pytest.raises(UsageError, match=r"samples\.h5 holds 'eke'"):
        read_samples(path)


def test_another_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    write_samples(path, make_samples(10), {})
    with h5py.File(path, "a") as file:
        file.attrs["version"] = 99
    with pytest.raises(UsageError, match="version 99"):
        read_samples(path)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_damage_to_the_rows_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damage") / "samples.h5"
    write_samples(path, make_samples(500), {})
    with h5py.File(path) as file:
        chunk = file["features"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    position = chunk.byte_offset + data.draw(st.integers(0, chunk.size - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is damaged"):
        read_samples(path)


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0, 0.999))
def test_a_file_that_was_cut_is_found(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    path = tmp_path_factory.mktemp("cut") / "samples.h5"
    write_samples(path, make_samples(500), {})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UsageError, match="is damaged"):
        read_samples(path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "samples.h5"
    write_samples(path, make_samples(10), {})
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_samples(path, make_samples(20), {"bad": object()})  # type: ignore[dict-item]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
