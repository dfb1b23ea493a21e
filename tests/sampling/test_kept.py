"""What is kept of each time is there after a kill, in the order of time whatever it came in."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parslflow.errors import ParslflowError
from parslflow.learning.samples import COLUMNS
from parslflow.learning.samples import Samples
from parslflow.provenance.events import sha256
from parslflow.sampling.kept import are_batched
from parslflow.sampling.kept import kept_path
from parslflow.sampling.kept import kept_stamps
from parslflow.sampling.kept import open_kept

ABOUT = {"run": "high", "stream": "a1b2", "clusters": "c3d4"}


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


def assert_same(found: Samples, parts: Sequence[Samples]) -> None:
    expected = Samples.concatenate([part(0, 0), *parts])
    for column in ("features", *COLUMNS):
        np.testing.assert_array_equal(
            getattr(found, column), getattr(expected, column), strict=True
        )
    assert found.runs == ("high",)


def stamp(day: int) -> str:
    return f"{day:07d}.00000"


def keep(path: Path, days: Sequence[int], sizes: Sequence[int]) -> None:
    with open_kept(path, ABOUT) as kept:
        for day in days:
            kept.append(stamp(day), part(day, sizes[day]), seen=10 * sizes[day])


@given(sizes=st.lists(st.integers(0, 25), min_size=1, max_size=8), data=st.data())
def test_what_was_whole_when_the_file_was_cut_comes_back(
    sizes: list[int], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(sizes))))
    with TemporaryDirectory() as folder:
        batch = Path(folder) / "batch.h5"
        path = kept_path(batch)
        ends = []
        for day in order:
            keep(path, [day], sizes)
            ends.append(path.stat().st_size)
        cut = data.draw(st.integers(0, ends[-1]))
        path.write_bytes(path.read_bytes()[:cut])
        there = [day for day, end in zip(order, ends, strict=True) if end <= cut]
        assert kept_stamps(batch, "a1b2") == set(map(stamp, there))
        keep(path, [day for day in order if day not in there], sizes)

        with open_kept(path, ABOUT) as kept:
            assert kept.stamps == set(map(stamp, order))
            assert (kept.times, len(kept), kept.seen) == (len(sizes), sum(sizes), 10 * sum(sizes))
            found = Samples.concatenate(list(kept.in_order()))
            assert not are_batched([batch], "a1b2")
            batch.write_text("rows")
            kept.finish(sha256(batch))
        assert_same(found, [part(day, n) for day, n in enumerate(sizes)])
        assert are_batched([batch], "a1b2")
        with open_kept(path, ABOUT) as kept:
            assert (kept.batch, kept.stamps) == (sha256(batch), set(map(stamp, order)))
            assert (kept.times, len(kept), kept.seen) == (len(sizes), sum(sizes), 10 * sum(sizes))
        batch.unlink()
        assert not kept_stamps(batch, "a1b2")
        with open_kept(path, ABOUT) as kept:
            assert (kept.batch, kept.times, len(kept)) == ("", 0, 0)


def test_damage_ends_what_is_taken(tmp_path: Path) -> None:
    path = kept_path(tmp_path / "batch.h5")
    keep(path, [0, 1, 2], [5, 5, 5])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert kept_stamps(tmp_path / "batch.h5", "a1b2") == {stamp(0)}


@pytest.mark.parametrize("change", [{"stream": "e5f6"}, {"clusters": "e5f6"}, {"run": "low"}])
def test_what_was_kept_of_anything_else_is_thrown_away(
    tmp_path: Path, change: dict[str, str]
) -> None:
    path = kept_path(tmp_path / "batch.h5")
    keep(path, [0], [5])
    with open_kept(path, ABOUT | change) as kept:
        assert kept.times == 0
    with open_kept(path, ABOUT) as kept:
        assert kept.times == 0


@pytest.mark.parametrize("content", [b"", b"\n", b"{", b"no JSON\n", b"\x00\xff"])
def test_what_is_no_such_file_holds_nothing(tmp_path: Path, content: bytes) -> None:
    path = kept_path(tmp_path / "batch.h5")
    assert kept_stamps(tmp_path / "batch.h5", "a1b2") == set()
    path.write_bytes(content)
    assert kept_stamps(tmp_path / "batch.h5", "a1b2") == set()
    keep(path, [0], [5])
    assert kept_stamps(tmp_path / "batch.h5", "a1b2") == {stamp(0)}


def test_two_samplers_do_not_write_the_same_file(tmp_path: Path) -> None:
    with open_kept(tmp_path / "kept", ABOUT), pytest.raises(ParslflowError, match="is at work"):
        keep(tmp_path / "kept", [0], [5])


def test_what_cannot_be_written_is_told_and_cut_off(tmp_path: Path) -> None:
    path = kept_path(tmp_path / "batch.h5")
    keep(path, [0], [5])
    size = path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, limits[1]))
    try:
        with pytest.raises(ParslflowError, match=r"kept cannot be written.*is the disk full\?"):
            keep(path, [1], [0, 5])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.stat().st_size == size + 100
    keep(path, [1], [0, 5])
    assert kept_stamps(tmp_path / "batch.h5", "a1b2") == {stamp(0), stamp(1)}
