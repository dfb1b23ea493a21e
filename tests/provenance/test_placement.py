from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.provenance import answers
from parslflow.provenance.placement import samples

from .loop import NX
from .loop import NY
from .loop import PX
from .loop import PY
from .loop import batch

pytestmark = pytest.mark.timeout(300)


def rank_of(j: int, i: int) -> int:
    """The rank whose block a cell is in, by the ranges that the model gives its ranks."""
    found = [
        x + y * PX
        for y in range(PY)
        for x in range(PX)
        if y * NY // PY <= j < (y + 1) * NY // PY and x * NX // PX <= i < (x + 1) * NX // PX
    ]
    assert len(found) == 1
    return found[0]


def test_by_rank(loop_run: Path) -> None:
    found = samples(loop_run, "batch-1.h5", "rank")
    cells = zip(batch(1).j.tolist(), batch(1).i.tolist(), strict=True)
    expected = Counter(rank_of(j, i) for j, i in cells)
    assert {one.value: one.samples for one in found.counts} == expected
    assert (found.run, found.total) == ("generate-1", 400)
    for one in found.counts:
        assert one.block is not None
        corners = (
            (j, i)
            for j in (one.block.first_j, one.block.last_j)
            for i in (one.block.first_i, one.block.last_i)
        )
        assert {rank_of(*corner) for corner in corners} == {one.value}


def test_by_day(loop_run: Path) -> None:
    found = samples(loop_run, "batch-2.h5", "day")
    assert {one.value: one.samples for one in found.counts} == Counter(batch(2).day.tolist())
    assert [one.value for one in found.counts] == [170, 171, 172, 173]


def test_by_place(loop_run: Path) -> None:
    found = samples(loop_run, "batch-1.h5", "place")
    assert len(found.counts) == 64
    assert sum(one.samples for one in found.counts) == 400
    for one in found.counts:
        block = one.block
        assert block is not None
        inside = (
            (batch(1).j >= block.first_j)
            & (batch(1).j <= block.last_j)
            & (batch(1).i >= block.first_i)
            & (batch(1).i <= block.last_i)
        )
        assert one.samples == inside.sum()
    lines = answers.of_samples(found).split("\n")
    assert len(lines) == 10
    assert lines[-1].split()[0] == "0-0"
    assert lines[2].split()[0] == f"{NY - NY // 8 - 1}-{NY - 1}"


def test_another_version_of_the_file_is_not_counted(own_run: Path) -> None:
    path = own_run / "samples" / "batch-1.h5"
    path.unlink()
    with pytest.raises(UsageError, match=r"checkout .*batch-1\.h5@"):
        samples(own_run, "batch-1.h5", "day")
    shutil.copyfile(own_run / "samples" / "batch-2.h5", path)
    with pytest.raises(UsageError, match="another version"):
        samples(own_run, "batch-1.h5", "day")


def test_without_a_layout_ranks_are_not_known(own_run: Path) -> None:
    layout = own_run / "simulations" / "generate-1" / "input.nml"
    text = layout.read_text()
    layout.unlink()
    with pytest.raises(ParslflowError, match=r"checkout .* simulations/generate-1/input\.nml"):
        samples(own_run, "batch-1.h5", "rank")
    layout.write_text(text.replace(f"px = {PX}", "px = 0"))
    with pytest.raises(ParslflowError, match="'px'"):
        samples(own_run, "batch-1.h5", "rank")
    layout.write_text(text.replace(f"nx = {NX}", "nx = 3"))
    with pytest.raises(ParslflowError, match="outside the grid"):
        samples(own_run, "batch-1.h5", "place")
    assert samples(own_run, "batch-1.h5", "day").total == 400


def test_what_is_no_batch_is_refused(loop_run: Path) -> None:
    with pytest.raises(UsageError, match=r"training-1\.h5"):
        samples(loop_run, "training-1.h5", "day")
