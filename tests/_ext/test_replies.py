"""Replies are what the store sent, or an error; never a crash, never other values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from parslflow._ext import replies
from parslflow._ext.tiles import assemble_bytes
from parslflow.store import wire

from .resp import encode

FIELDS = ("h", "u")
NUMBERS = (b"rank", b"day")


def metadata(rank: int, day: float, tensors: tuple[str, ...] = FIELDS) -> list[bytes]:
    """The fields and blobs of a data set's hash."""
    fields = {
        "rank": wire.encode_field("rank", np.int32(rank)),
        "run": wire.encode_field("run", "high"),
        "day": wire.encode_field("day", day),
        ".tensor_names": wire.encode_field(".tensor_names", list(tensors)),
        ".COMPLETE": b"1",
    }
    return [part for name, blob in fields.items() for part in (name.encode(), blob)]


def tensor(array: NDArray[Any]) -> list[Any]:
    kind = {np.float64: b"DOUBLE", np.float32: b"FLOAT", np.int32: b"INT32"}[array.dtype.type]
    return [b"dtype", kind, b"shape", list(array.shape), b"blob", array.tobytes()]


@dataclass
class Sent:
    """The replies for some data sets, and what is in them."""

    arrays: list[list[NDArray[Any]]]
    bytes: bytes

    @property
    def names(self) -> list[str]:
        return [f"high_{rank}" for rank in range(len(self.arrays))]

    def tiles(self) -> tuple[Any, ...]:
        data = np.frombuffer(self.bytes, dtype=np.uint8)
        return replies.tiles(data, 0, len(data), self.names, NUMBERS, FIELDS)


def sent(seed: int, shapes: list[tuple[int, int]], dtype: type[np.floating[Any]]) -> Sent:
    random = np.random.default_rng(seed)
    arrays = [[random.normal(size=shape).astype(dtype) for _ in FIELDS] for shape in shapes]
    parts = []
    for rank, of_rank in enumerate(arrays):
        parts.append(encode(metadata(rank, rank / 4)))
        parts += [encode(tensor(array)) for array in of_rank]
    return Sent(arrays, b"".join(parts))


shapes = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=4)


@given(
    shapes=shapes,
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**32 - 1),
)
def test_tiles_lie_where_they_are_said_to(
    shapes: list[tuple[int, int]], dtype: type[np.floating[Any]], seed: int
) -> None:
    expected = sent(seed, shapes, dtype)
    numbers, extents, offsets, kind, names = expected.tiles()
    assert kind == ("DOUBLE" if dtype is np.float64 else "FLOAT")
    np.testing.assert_array_equal(numbers, [[rank, rank / 4] for rank in range(len(shapes))])
    np.testing.assert_array_equal(extents, np.array(shapes, dtype=np.intc), strict=True)
    for arrays, places in zip(expected.arrays, offsets, strict=True):
        for array, place in zip(arrays, places, strict=True):
            assert expected.bytes[place : place + array.nbytes] == array.tobytes()
    assert names == [wire.encode_field(".tensor_names", list(FIELDS))] * len(shapes)


@given(shapes=shapes, seed=st.integers(0, 2**32 - 1), data=st.data())
def test_replies_that_are_cut_are_refused(
    shapes: list[tuple[int, int]], seed: int, data: st.DataObject
) -> None:
    whole = sent(seed, shapes, np.float64)
    end = data.draw(st.integers(0, len(whole.bytes) - 1))
    with pytest.raises(
        ValueError, match=r"not what was asked for|no tensor|no metadata|no data set"
    ):
        Sent(whole.arrays, whole.bytes[:end]).tiles()


@given(
    seed=st.integers(0, 2**32 - 1),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_replies_that_are_damaged_are_refused_or_lie_inside(
    seed: int, changes: list[tuple[float, int]]
) -> None:
    whole = sent(seed, [(3, 2), (2, 4)], np.float64)
    damaged = bytearray(whole.bytes)
    for place, value in changes:
        damaged[min(int(place * len(damaged)), len(damaged) - 1)] = value
    data = np.frombuffer(bytes(damaged), dtype=np.uint8)
    try:
        numbers, extents, offsets, kind, _ = Sent(whole.arrays, bytes(damaged)).tiles()
    except ValueError:
        return
    assert kind in ("DOUBLE", "FLOAT")
    size = 8 if kind == "DOUBLE" else 4
    assert (offsets >= 0).all()
    assert (offsets + extents.prod(axis=1)[:, None] * size <= len(data)).all()
    assert numbers.shape == (2, 2)


@given(garbage=st.binary(max_size=200), names=st.integers(0, 3))
def test_garbage_is_refused(garbage: bytes, names: int) -> None:
    data = np.frombuffer(garbage, dtype=np.uint8)
    if names == 0 and not garbage:
        return
    with pytest.raises(ValueError, match=r".+"):
        replies.tiles(data, 0, len(data), [f"d{n}" for n in range(names)], NUMBERS, FIELDS)


FIELD = np.ones((2, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.__setitem__(0, []), "There is no data set 'high_0' in the store"),
        (lambda r: r[0].__delitem__(slice(0, 2)), "no metadata 'rank': send one number"),
        (lambda r: r[0].__setitem__(1, b"\x03abc"), "no metadata 'rank': send one number"),
        (lambda r: r[0].__setitem__(1, b""), "no metadata 'rank': send one number"),
        (lambda r: r[0].append(b"odd"), "not what was asked for"),
        (lambda r: r.__setitem__(0, ValueError("LOADING")), "'high_0': the store says 'LOADING'"),
        (lambda r: r.__setitem__(2, ValueError("ERR no")), "'high_0': the store says 'ERR no'"),
        (lambda r: r.__setitem__(2, tensor(FIELD.astype("f4"))), "'u' of another type: send all"),
        (lambda r: r.__setitem__(1, tensor(FIELD.astype("i4"))), "'h' of another type: send all"),
        (lambda r: r.__setitem__(2, tensor(FIELD.T.copy())), "'u' of another shape: send all"),
        (lambda r: r.__setitem__(2, tensor(FIELD.ravel())), "'u' of another shape: send all"),
        (lambda r: r[1].__setitem__(5, b"1234567"), "'h' with too few or too many bytes"),
        (lambda r: r[1].__setitem__(3, [2, -3]), "'h' of another shape"),
        (lambda r: r[1].__setitem__(3, [2, 2**40]), "'h' of another shape"),
        (lambda r: r[1].__setitem__(0, b"other"), "not what was asked for"),
        (lambda r: r.append(7), "4 bytes are left over"),
    ],
)
def test_what_is_wrong_is_named(change: Callable[[Any], None], message: str) -> None:
    parts: list[Any] = [metadata(0, 1.0), tensor(FIELD), tensor(FIELD)]
    change(parts)
    with pytest.raises(ValueError, match=message):
        Sent([[FIELD, FIELD]], b"".join(encode(part) for part in parts)).tiles()


@pytest.mark.parametrize(
    "value",
    [np.float64(7), np.float32(7), np.int32(7), np.int64(7), np.uint32(7), np.uint64(7)],
)
def test_numbers_of_every_type_are_read(value: np.generic) -> None:
    hash_ = [b"rank", wire.encode_field("rank", value), b"day", wire.encode_field("day", 0.5)]
    data = np.frombuffer(encode(hash_), dtype=np.uint8)
    numbers, *_, names = replies.tiles(data, 0, len(data), ["d"], NUMBERS, [])
    assert numbers.tolist() == [[7, 0.5]]
    assert names == [None]


def test_tiles_in_a_buffer_become_the_global_array() -> None:
    whole = sent(1, [(4, 3), (2, 3)], np.float64)
    _, extents, offsets, _, _ = whole.tiles()
    bounds = np.array([[(0, 0, 0, 1, 4, 1, 3, 4, 3), (1, 4, 0, 1, 2, 1, 3, 2, 3)]], dtype=np.intc)
    np.testing.assert_array_equal(bounds[0, :, -2:], extents)
    data = np.frombuffer(whole.bytes, dtype=np.uint8)
    out = np.empty((1, 2, 3, 6))
    assemble_bytes(out, bounds, data, offsets[None], FIELDS, 2)
    for f in range(2):
        expected = np.concatenate([arrays[f] for arrays in whole.arrays]).T
        np.testing.assert_array_equal(out[0, f], expected)
