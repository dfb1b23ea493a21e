"""Tiles become global arrays bit for bit, whatever the decomposition; bad tiles are named."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from itertools import pairwise
from typing import Any
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from parslflow._ext.tiles import assemble
from parslflow._ext.tiles import assemble_bytes

Order = Literal["ij", "ji"]

ISC, IEC, NI = 3, 4, 7


@dataclass
class Sent:
    """What the ranks sent, and the global arrays it was cut from."""

    truth: NDArray[Any]
    bounds: NDArray[np.intc]
    tiles: list[list[Any]]
    fields: list[str]
    order: Order

    def assemble(self) -> NDArray[Any]:
        out = np.full_like(self.truth, np.nan)
        assemble(out[None], self.bounds[None], [self.tiles], self.fields, self.ranks, self.order)
        return out

    @property
    def ranks(self) -> int:
        return int(self.bounds[:, 0].max()) + 1


def cut(
    truth: NDArray[Any],
    i_cuts: list[int],
    j_cuts: list[int],
    halo: int,
    order: Order,
) -> Sent:
    """Cut global arrays (fields, ny, nx) at the given places into tiles with NaN halos."""
    bounds, tiles = [], []
    for j0, j1 in pairwise(j_cuts):
        for i0, i1 in pairwise(i_cuts):
            ni, nj = i1 - i0 + 2 * halo, j1 - j0 + 2 * halo
            bounds.append(
                (len(tiles), i0 - halo, j0 - halo, halo + 1, ni - halo, halo + 1, nj - halo, ni, nj)
            )
            inner = np.pad(
                truth[:, j0:j1, i0:i1],
                ((0, 0), (halo, halo), (halo, halo)),
                constant_values=np.nan,
            )
            tile = inner if order == "ji" else inner.transpose(0, 2, 1)
            tiles.append([np.ascontiguousarray(field) for field in tile])
    fields = [f"field-{f}" for f in range(len(truth))]
    return Sent(truth, np.array(bounds, dtype=np.intc), tiles, fields, order)


@st.composite
def cuts(draw: st.DrawFn) -> list[int]:
    widths = draw(st.lists(st.integers(1, 20), min_size=1, max_size=5))
    return [0, *np.cumsum(widths).tolist()]


@given(
    i_cuts=cuts(),
    j_cuts=cuts(),
    halo=st.integers(0, 4),
    order=st.sampled_from(["ij", "ji"]),
    dtype=st.sampled_from([np.float32, np.float64]),
    kind=st.sampled_from([np.asarray, bytes, bytearray, memoryview]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_decomposition_gives_the_global_array(
    i_cuts: list[int],
    j_cuts: list[int],
    halo: int,
    order: Order,
    dtype: type[np.floating[Any]],
    kind: Callable[[NDArray[Any]], object],
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    truth = random.normal(size=(2, j_cuts[-1], i_cuts[-1])).astype(dtype)
    sent = cut(truth, i_cuts, j_cuts, halo, order)
    shuffled = random.permutation(len(sent.tiles))
    sent.bounds = np.ascontiguousarray(sent.bounds[shuffled])
    sent.tiles = [[kind(field) for field in sent.tiles[t]] for t in shuffled]
    np.testing.assert_array_equal(sent.assemble(), truth, strict=True)


def test_tiles_of_unequal_halos_and_shapes_fit_together() -> None:
    # Not a lattice: one tall tile beside two low ones, each with a halo of its own.
    truth = np.arange(48.0).reshape(1, 6, 8)
    left = np.ascontiguousarray(truth[0, :, :3].T)
    low = np.pad(truth[0, :2, 3:].T, 2)
    high = np.pad(truth[0, 2:, 3:].T, 1)
    bounds = [
        (0, 0, 0, 1, 3, 1, 6, 3, 6),
        (1, 1, -2, 3, 7, 3, 4, 9, 6),
        (2, 2, 1, 2, 6, 2, 5, 7, 6),
    ]
    sent = Sent(truth, np.array(bounds, dtype=np.intc), [[left], [low], [high]], ["h"], "ij")
    np.testing.assert_array_equal(sent.assemble(), truth)


def test_unaligned_bytes_are_read() -> None:
    sent = quarters()
    sent.tiles = [[memoryview(b"x" + tile.tobytes())[1:] for tile in rank] for rank in sent.tiles]
    np.testing.assert_array_equal(sent.assemble(), sent.truth)


def quarters() -> Sent:
    truth = np.random.default_rng(1).normal(size=(2, 8, 10))
    return cut(truth, [0, 5, 10], [0, 3, 8], halo=1, order="ij")


def changed(column: int, value: int) -> Sent:
    sent = quarters()
    sent.bounds[2, column] = value
    return sent


def without(rank: int) -> Sent:
    sent = quarters()
    ranks = sent.ranks
    keep = [t for t in range(ranks) if t != rank]
    sent.bounds = np.ascontiguousarray(sent.bounds[keep])
    sent.tiles = [sent.tiles[t] for t in keep]
    return sent


def holding(tile: object) -> Sent:
    sent = quarters()
    sent.tiles[2][1] = tile
    return sent


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (without(1), r"No tile came from rank 1 of 4\."),
        (changed(0, 1), r"Rank 1 has two tiles\."),
        (changed(1, 0), r"The tiles of ranks 2 and 3 overlap\."),
        (changed(1, -3), r"The tile of rank 2, global i -1 to 3 and j 4 to 8, reaches out"),
        (changed(IEC, 4), r"10 cells lie in no tile, the first at global i 4, j 4\."),
        (changed(IEC, 99), r"The computational domain of rank 2, i 2 to 99 and j 2 to 6, does not"),
        (changed(ISC, 0), r"The computational domain of rank 2, i 0 to 6"),
        (changed(NI, 8), r"'field-0' of rank 2 has the shape \(7, 7\) where \(8, 7\) is needed"),
        (holding(None), r"Rank 2 sent no field 'field-1'\."),
        (holding(bytes(17)), r"'field-1' of rank 2 has 17 bytes where 7 by 7 values need 392\."),
        (holding(np.zeros((7, 6))), r"'field-1' of rank 2 has the shape \(7, 6\)"),
        (holding(np.zeros(49)), r"'field-1' of rank 2 has the shape \(49,\)"),
        (holding(np.zeros((7, 7), "f4")), r"'field-1' of rank 2 is not of the type"),
        (holding(np.zeros((7, 7), "i8")), r"'field-1' of rank 2 is not of the type"),
        (holding(np.zeros((7, 7), ">f8")), r"'field-1' of rank 2 is not of the type"),
    ],
)
def test_a_bad_tile_is_named_and_nothing_is_written(sent: Sent, message: str) -> None:
    out = np.full_like(sent.truth, 7.0)
    with pytest.raises(ValueError, match=message):
        assemble(out[None], sent.bounds[None], [sent.tiles], sent.fields, 4, sent.order)
    assert (out == 7.0).all()


def put_together(sent: Sent, ranks: int) -> None:
    out = np.empty_like(sent.truth)[None]
    assemble(out, sent.bounds[None], [sent.tiles], sent.fields, ranks)


def test_more_ranks_than_there_are() -> None:
    sent = quarters()
    with pytest.raises(ValueError, match=r"Tiles came from ranks 2, 3, but there are only 2 ranks"):
        put_together(sent, 2)


def test_many_missing_ranks_are_counted() -> None:
    sent = quarters()
    with pytest.raises(
        ValueError, match=r"ranks 4, 5, 6, 7, 8, 9, 10, 11, 12, 13 and 6 more of 20"
    ):
        put_together(sent, 20)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": "xy"}, "'ij' or 'ji'"),
        ({"fields": ["one"]}, "1 names for 2 fields"),
        ({"tiles": []}, "0 tiles but 4 rows"),
        ({"tiles": [[]] * 4}, "Rank 0 sent 0 fields where 2 are needed"),
        ({"bounds": np.zeros((4, 8), dtype=np.intc)}, "8 columns"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(quarters(), **change).assemble()


@given(
    i_cuts=cuts(),
    j_cuts=cuts(),
    times=st.integers(1, 3),
    order=st.sampled_from(["ij", "ji"]),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_several_times_at_once_in_any_order_of_the_ranks(
    i_cuts: list[int], j_cuts: list[int], times: int, order: Order, threads: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    truth = random.normal(size=(times, 2, j_cuts[-1], i_cuts[-1]))
    sent = [cut(time, i_cuts, j_cuts, 1, order) for time in truth]
    orders = [random.permutation(one.ranks) for one in sent]
    bounds = np.stack([one.bounds[ranks] for one, ranks in zip(sent, orders, strict=True)])
    tiles = [[one.tiles[rank] for rank in ranks] for one, ranks in zip(sent, orders, strict=True)]
    out = np.full_like(truth, np.nan)
    assemble(out, bounds, tiles, sent[0].fields, sent[0].ranks, order, threads=threads)
    np.testing.assert_array_equal(out, truth)

    # The same from one buffer, with bytes between the tiles that belong to none.
    flat = [tile for time in tiles for rank in time for tile in rank]
    data = b"".join(b"??" + tile.tobytes() for tile in flat)
    sizes = np.array([tile.nbytes + 2 for tile in flat])
    offsets = (np.cumsum(sizes) - sizes + 2).reshape(times, sent[0].ranks, 2)
    out = np.full_like(truth, np.nan)
    assemble_bytes(
        out, bounds, np.frombuffer(data, np.uint8), offsets, sent[0].fields, sent[0].ranks, order,
        threads=threads,
    )  # fmt: skip
    np.testing.assert_array_equal(out, truth)


def test_no_rank_is_needed_on_land() -> None:
    # Six ranks, of which the two in the middle were not started.
    truth = np.random.default_rng(4).normal(size=(2, 70, 200))
    sent = cut(truth, [0, 60, 140, 200], [0, 30, 70], halo=1, order="ij")
    kept = [0, 2, 3, 5]
    bounds = sent.bounds[kept].copy()
    bounds[:, 0] = range(4)
    tiles = [sent.tiles[rank] for rank in kept]
    land = np.zeros((70, 200), dtype=bool)
    land[:, 60:140] = True
    land[2, 2] = True  # a cell of land in a tile is as the rank sent it
    out = np.empty_like(truth)
    assemble(out[None], bounds[None], [tiles], sent.fields, 4, land=land)
    expected = truth.copy()
    expected[:, :, 60:140] = np.nan
    np.testing.assert_array_equal(out, expected)

    land[40, 100] = False
    with pytest.raises(ValueError, match="1 cells lie in no tile, the first at global i 101, j 41"):
        assemble(out[None], bounds[None], [tiles], sent.fields, 4, land=land)
    with pytest.raises(ValueError, match="no tile"):
        assemble(out[None], bounds[None], [tiles], sent.fields, 4)


def test_a_time_with_a_fault_is_told_by_its_number() -> None:
    sent = quarters()
    bounds = np.stack([sent.bounds, sent.bounds])
    bounds[1, 2, 0] = 1
    out = np.empty((2, *sent.truth.shape))
    with pytest.raises(ValueError, match=r"Time 1: Rank 1 has two tiles\."):
        assemble(out, bounds, [sent.tiles] * 2, sent.fields, 4)


def test_tiles_that_are_not_contiguous_are_refused() -> None:
    sent = holding(np.zeros((7, 14))[:, ::2])
    with pytest.raises(ValueError, match=r"'field-1' of rank 2 is not C-contiguous: pass it"):
        sent.assemble()
    sent = holding(np.zeros((7, 7), order="F"))
    with pytest.raises(ValueError, match=r"'field-1' of rank 2 is not C-contiguous"):
        sent.assemble()


class Made(Sequence[Any]):
    """A sequence that makes each of its items when it is asked for it."""

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        item = self._items[index]
        return item.copy() if isinstance(item, np.ndarray) else Made(item)


def test_tiles_that_nobody_else_holds_are_kept_until_they_are_copied() -> None:
    sent = quarters()
    sent.tiles = Made(sent.tiles)  # type: ignore[assignment]
    np.testing.assert_array_equal(sent.assemble(), sent.truth)


@pytest.mark.parametrize("place", [-1, 2**60, 392 * 7 + 1])
def test_a_tile_that_lies_outside_the_buffer_is_refused(place: int) -> None:
    sent = quarters()
    data = np.zeros(392 * 8, dtype=np.uint8)
    offsets = np.zeros((1, 4, 2), dtype=np.int64)
    offsets[0, 3, 1] = place
    out = np.full_like(sent.truth, 7.0)
    with pytest.raises(ValueError, match=rf"'field-1' of rank 3 at byte {place} does not lie in"):
        assemble_bytes(out[None], sent.bounds[None], data, offsets, sent.fields, 4)
    assert (out == 7.0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"out": np.zeros((2, 8, 10))}, r"out has the shape \(2, 8, 10\): give a C-contiguous"),
        ({"out": np.zeros((1, 2, 8, 10), "i4")}, "out holds int32: give .* float32 or float64"),
        ({"out": np.zeros((1, 2, 8, 20))[..., ::2]}, "out is not contiguous"),
        ({"out": np.zeros((2, 2, 8, 10))}, "bounds of 1 times where out has 2"),
        ({"bounds": np.zeros((1, 4, 9))}, "bounds holds float64: give .* int32"),
        ({"ranks": 0}, "A simulation has at least one rank, not 0"),
        ({"threads": 0}, "At least one thread has to work, not 0"),
        ({"tiles": []}, "tiles of 0 times where out has 1"),
        ({"land": np.zeros((8, 10))}, "land holds float64: give .* bool"),
        ({"land": np.zeros((8, 9), bool)}, r"land has the shape \(8, 9\) where \(8, 10\)"),
        ({"out": np.zeros((1, 2, 0, 10))}, "A global array of 10 by 0 has no cells"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    sent = quarters()
    arguments = {
        "out": np.empty_like(sent.truth)[None],
        "bounds": sent.bounds[None],
        "tiles": [sent.tiles],
        "fields": sent.fields,
        "ranks": 4,
    }
    with pytest.raises(ValueError, match=message):
        assemble(**(arguments | change))
