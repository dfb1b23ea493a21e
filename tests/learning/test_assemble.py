from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from parslflow.errors import UsageError
from parslflow.learning.assemble import PARTS
from parslflow.learning.assemble import AssembleInputs
from parslflow.learning.assemble import assemble
from parslflow.learning.assemble import draw
from parslflow.learning.assemble import read_training_set
from parslflow.learning.clusters import Clusters
from parslflow.learning.samples import Samples
from parslflow.learning.samples import read_samples
from parslflow.learning.samples import write_samples
from parslflow.records import Record

from .conftest import Prepared
from .synthetic import make_samples
from .synthetic import silent


def write_batch(path: Path, clusters: Clusters, n: int, cluster: int | None = None) -> Path:
    samples = make_samples(n, seed=9, runs=("high-1",))
    which = clusters.withheld if cluster is None else cluster
    samples = Samples(**{**vars(samples), "cluster": np.full(n, which, dtype=np.int32)})
    write_samples(path, samples, {"clusters": clusters.id})
    return path


def run(prepared: Prepared, output: Path, batches: list[Path], seed: int = 1) -> Record:
    inputs = AssembleInputs(
        base=prepared.base,
        batches=batches,
        clusters_file=prepared.clusters_file,
        rows=1000,
        seed=seed,
        output=output,
    )
    return assemble(inputs, silent)


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 60), max_size=6),
    rows=st.integers(1, 200),
    seed=st.integers(0, 1000),
)
def test_the_draw_is_even_and_without_repetition(sizes: list[int], rows: int, seed: int) -> None:
    cluster = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    chosen = draw(cluster, rows, np.random.default_rng(seed))
    assert len(set(chosen.tolist())) == len(chosen) == min(rows, len(cluster))
    counts = np.bincount(cluster[chosen], minlength=len(sizes))
    for count, size in zip(counts, sizes, strict=True):
        # Whoever gave less than another has nothing left; one row is the rounding.
        assert count == size or count >= counts.max() - 1


def test_the_draw_takes_its_order_from_the_seed() -> None:
    cluster = np.repeat(np.arange(4, dtype=np.int32), 100)
    first, again, other = (draw(cluster, 50, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_withheld_cluster_is_only_tested_on(prepared: Prepared, tmp_path: Path) -> None:
    record = run(prepared, tmp_path / "training.h5", [])
    clusters, base = Clusters.load(prepared.clusters_file), read_samples(prepared.base)
    training_set = read_training_set(tmp_path / "training.h5")
    for name in ("train", "validation", "held"):
        assert not (training_set.part(name).cluster == clusters.withheld).any()
    test = training_set.part("test")
    np.testing.assert_array_equal(test.eke, base.eke[base.cluster == clusters.withheld])
    assert record.metrics["withheld_rows"] == 0
    assert training_set.clusters == clusters.id


def test_batches_are_one_more_cluster(prepared: Prepared, tmp_path: Path) -> None:
    clusters = Clusters.load(prepared.clusters_file)
    batches = [write_batch(tmp_path / f"{name}.h5", clusters, 400) for name in "ab"]
    record = run(prepared, tmp_path / "training.h5", batches)
    training_set = read_training_set(tmp_path / "training.h5")
    drawn = training_set.samples.take(training_set.split != PARTS.index("test"))

    np.testing.assert_array_equal(np.bincount(drawn.cluster), [250, 250, 250, 250])
    new = drawn.take(drawn.cluster == clusters.withheld)
    assert {training_set.samples.runs[index] for index in new.run} == {"high-1"}
    assert {training_set.samples.runs[index] for index in training_set.part("test").run} == {"base"}
    assert record.metrics["withheld_rows"] == 250
    assert [artifact.path for artifact in record.read] == [
        prepared.base,
        prepared.clusters_file,
        *batches,
    ]
    assert [artifact.path for artifact in record.wrote] == [tmp_path / "training.h5"]


def test_the_split_is_80_10_10_and_nothing_is_in_two_parts(
    prepared: Prepared, tmp_path: Path
) -> None:
    record = run(prepared, tmp_path / "training.h5", [])
    training_set = read_training_set(tmp_path / "training.h5")
    parts = {name: training_set.part(name) for name in PARTS}
    assert [len(parts[name]) for name in PARTS[:3]] == [800, 100, 100]
    assert {name: record.metrics[name] for name in PARTS} == {
        name: len(part) for name, part in parts.items()
    }
    rows = [row for part in parts.values() for row in zip(part.day, part.j, part.i, strict=True)]
    assert len(set(rows)) == len(rows)
    # Each part is a fair mix of the clusters, not a run of them.
    assert len(set(parts["validation"].cluster)) == 3


def test_the_same_seed_gives_the_same_bytes(prepared: Prepared, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(prepared, tmp_path / name, [], seed=seed)
    first, again, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == again
    assert first != other


def test_an_empty_batch_changes_nothing(prepared: Prepared, tmp_path: Path) -> None:
    clusters = Clusters.load(prepared.clusters_file)
    run(prepared, tmp_path / "without.h5", [])
    run(prepared, tmp_path / "with.h5", [write_batch(tmp_path / "none.h5", clusters, 0)])
    without, with_empty = (
        read_training_set(tmp_path / f"{name}.h5").samples.eke for name in ("without", "with")
    )
    np.testing.assert_array_equal(without, with_empty)


def test_a_batch_of_other_clusters_is_named(prepared: Prepared, tmp_path: Path) -> None:
    batch = tmp_path / "batch.h5"
    write_samples(batch, make_samples(10), {"clusters": "other"})
    with pytest.raises(UsageError, match=r"batch\.h5 was made with other clusters"):
        run(prepared, tmp_path / "training.h5", [batch])


def test_a_batch_outside_the_withheld_cluster_is_named(prepared: Prepared, tmp_path: Path) -> None:
    clusters = Clusters.load(prepared.clusters_file)
    known = (clusters.withheld + 1) % 4
    batch = write_batch(tmp_path / "batch.h5", clusters, 10, cluster=known)
    with pytest.raises(UsageError, match=r"batch\.h5 holds samples outside the withheld cluster"):
        run(prepared, tmp_path / "training.h5", [batch])


def test_too_few_rows_are_named(prepared: Prepared, tmp_path: Path) -> None:
    clusters = Clusters.load(prepared.clusters_file)
    base = read_samples(prepared.base)
    few = base.take(np.arange(5))
    write_samples(tmp_path / "few.h5", few, {"clusters": clusters.id})
    inputs = AssembleInputs(
        base=tmp_path / "few.h5",
        batches=[],
        clusters_file=prepared.clusters_file,
        rows=100,
        seed=0,
        output=tmp_path / "training.h5",
    )
    with pytest.raises(UsageError, match=r"few\.h5 leaves \d rows to train with"):
        assemble(inputs, silent)
