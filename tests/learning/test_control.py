from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from parslflow.errors import UsageError
from parslflow.learning.assemble import AssembleInputs
from parslflow.learning.assemble import assemble
from parslflow.learning.clusters import Clusters
from parslflow.learning.control import DrawRandomInputs
from parslflow.learning.control import draw_random
from parslflow.learning.prepare import daily_features
from parslflow.learning.prepare import read_daily
from parslflow.learning.prepare import rows_with_eke
from parslflow.learning.samples import Samples
from parslflow.learning.samples import read_samples
from parslflow.learning.samples import write_samples
from parslflow.learning.settings import TrainingSettings
from parslflow.learning.settings import TrainInputs
from parslflow.learning.training import train
from parslflow.records import Record
from parslflow.records import Value

from .conftest import Prepared
from .synthetic import DAYS
from .synthetic import FILTER_SCALE
from .synthetic import silent
from .synthetic import write_daily


@pytest.fixture(scope="module")
def daily(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a run that went on from that of the base data."""
    return write_daily(tmp_path_factory.mktemp("generate") / "daily.nc", seed=7)


def all_rows(prepared: Prepared, daily: Path) -> Samples:
    """Every row of ``daily`` with EKE, in its cluster."""
    clusters, fields = Clusters.load(prepared.clusters_file), read_daily(daily)
    smoothed = daily_features(fields, FILTER_SCALE, silent)
    rows = rows_with_eke(fields, smoothed, clusters.mke, clusters.wall_rows, "generate-1")
    return Samples(**{**vars(rows), "cluster": clusters.assign(rows.features)})


def write_batch(prepared: Prepared, daily: Path, path: Path, **changes: Value) -> Samples:
    """What the sampler keeps of ``daily``."""
    clusters, rows = Clusters.load(prepared.clusters_file), all_rows(prepared, daily)
    batch = rows.take(rows.cluster == clusters.withheld)
    attributes: dict[str, Value] = {"clusters": clusters.id, "times": DAYS}
    write_samples(path, batch, attributes | changes)
    return batch


def run(prepared: Prepared, daily: Path, folder: Path, seed: int = 1) -> Record:
    inputs = DrawRandomInputs(
        daily=daily,
        run="generate-1",
        batches=[folder / "batch.h5"],
        clusters_file=prepared.clusters_file,
        seed=seed,
        output=folder / f"random-{seed}.h5",
    )
    return draw_random(inputs, silent)


def keys(samples: Samples) -> list[tuple[float, int, int]]:
    return list(zip(samples.day.tolist(), samples.j.tolist(), samples.i.tolist(), strict=True))


def test_as_many_rows_are_drawn_as_were_kept_and_none_twice(
    prepared: Prepared, daily: Path, tmp_path: Path
) -> None:
    batch = write_batch(prepared, daily, tmp_path / "batch.h5")
    record = run(prepared, daily, tmp_path)
    drawn, rows = read_samples(tmp_path / "random-1.h5"), all_rows(prepared, daily)

    assert len(drawn) == len(batch) == len(set(keys(drawn))) == record.metrics["drawn"]
    where = {key: row for row, key in enumerate(keys(rows))}
    same = rows.take(np.array([where[key] for key in keys(drawn)]))
    np.testing.assert_array_equal(drawn.features, same.features)
    np.testing.assert_array_equal(drawn.eke, same.eke)
    np.testing.assert_array_equal(drawn.cluster, same.cluster)
    assert drawn.runs == ("generate-1",)
    assert set(drawn.day) == set(batch.day)
    # The clusters have the shares that they have in the simulation, within five deviations.
    shares = np.bincount(rows.cluster, minlength=4) / len(rows)
    counts = np.bincount(drawn.cluster, minlength=4)
    deviation = np.sqrt(len(drawn) * shares * (1 - shares))
    assert (np.abs(counts - len(drawn) * shares) < 5 * deviation).all()


def test_the_seed_makes_the_draw(prepared: Prepared, daily: Path, tmp_path: Path) -> None:
    write_batch(prepared, daily, tmp_path / "batch.h5")
    run(prepared, daily, tmp_path)
    first = (tmp_path / "random-1.h5").read_bytes()
    run(prepared, daily, tmp_path)
    run(prepared, daily, tmp_path, seed=2)
    assert (tmp_path / "random-1.h5").read_bytes() == first
    other = read_samples(tmp_path / "random-2.h5")
    assert keys(other) != keys(read_samples(tmp_path / "random-1.h5"))


def test_what_does_not_go_together_is_named(
    prepared: Prepared, daily: Path, tmp_path: Path
) -> None:
    write_batch(prepared, daily, tmp_path / "batch.h5", clusters="other")
    with pytest.raises(UsageError, match=r"batch\.h5 was made with other clusters"):
        run(prepared, daily, tmp_path)
    write_batch(prepared, daily, tmp_path / "batch.h5", times=DAYS + 1)
    with pytest.raises(UsageError, match=rf"has {DAYS} days where .* chosen from {DAYS + 1}"):
        run(prepared, daily, tmp_path)


def test_both_sides_of_a_control_are_trained_and_tested_on_the_same(
    prepared: Prepared, daily: Path, tmp_path: Path
) -> None:
    write_batch(prepared, daily, tmp_path / "batch.h5")
    run(prepared, daily, tmp_path)
    tested = {}
    for name, rows in (("new", "batch"), ("random", "random-1")):
        assembled = assemble(
            AssembleInputs(
                base=prepared.base,
                batches=[tmp_path / f"{rows}.h5"],
                clusters_file=prepared.clusters_file,
                rows=2000,
                seed=1,
                output=tmp_path / f"training-{name}.h5",
            ),
            silent,
        )
        trained = train(
            TrainInputs(
                network="EKE-Bottleneck",
                iteration=1,
                training_set=tmp_path / f"training-{name}.h5",
                clusters_file=prepared.clusters_file,
                start_from=None,
                settings=TrainingSettings(epochs=2, batch_size=64, learning_rate=1e-3),
                seed=1,
                threads=1,
                device="cpu",
                weights=tmp_path / f"{name}.pt",
                script=tmp_path / f"{name}.script.pt",
            ),
            silent,
        )
        assert np.isfinite(float(trained.metrics["test_loss"]))
        tested[name] = assembled.metrics
    for part in ("rows", "train", "validation", "test"):
        assert tested["new"][part] == tested["random"][part]
    # The sampler's rows are all of the withheld cluster; of the random ones only their share is.
    assert int(tested["new"]["withheld_rows"]) > int(tested["random"]["withheld_rows"]) > 0
