from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from parslflow.errors import UsageError
from parslflow.learning.clusters import Clusters
from parslflow.learning.prepare import prepare
from parslflow.learning.samples import read_attributes
from parslflow.learning.samples import read_samples
from parslflow.records import Value
from parslflow.sampling.features import FIELDS
from parslflow.sampling.features import features

from .conftest import Prepared
from .synthetic import DAYS
from .synthetic import DX
from .synthetic import FILTER_SCALE
from .synthetic import NX
from .synthetic import NY
from .synthetic import prepare_inputs
from .synthetic import silent
from .synthetic import write_daily

WALL_ROWS = 3


def expected_fields(daily: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smoothed features (nt, ny, nx, 4), MKE (ny, nx) and EKE (nt, ny, nx) by the definitions."""
    with h5py.File(daily) as file:
        values = {name: file[name][()] for name in FIELDS}
    smoothed = np.stack(
        [
            features({name: values[name][day] for name in FIELDS}, DX, FILTER_SCALE)
            for day in range(DAYS)
        ]
    )
    mke = smoothed[..., 0].mean(axis=0)
    return smoothed, mke, np.maximum(0, values["KE_vert_sum"] - mke)


def test_samples_are_the_cells_with_eke_away_from_the_walls(prepared: Prepared) -> None:
    samples = read_samples(prepared.base)
    smoothed, mke, eke = expected_fields(prepared.daily)
    day = (samples.day - 0.5).astype(int)

    np.testing.assert_allclose(samples.features, smoothed[day, samples.j, samples.i])
    np.testing.assert_allclose(samples.eke, eke[day, samples.j, samples.i])
    np.testing.assert_allclose(Clusters.load(prepared.clusters_file).mke, mke)
    interior = eke[:, WALL_ROWS : NY - WALL_ROWS]
    assert len(samples) == (interior > 0).sum()
    assert len({*zip(day, samples.j, samples.i, strict=True)}) == len(samples)
    assert samples.runs == ("base",)


def test_samples_belong_to_the_clusters_of_the_file(prepared: Prepared) -> None:
    samples, clusters = read_samples(prepared.base), Clusters.load(prepared.clusters_file)
    np.testing.assert_array_equal(samples.cluster, clusters.assign(samples.features))
    assert read_attributes(prepared.base)["clusters"] == clusters.id
    assert clusters.centres.shape == (4, 4)
    assert set(samples.cluster) == {0, 1, 2, 3}

    transformed = clusters.transform(samples.features)
    np.testing.assert_allclose(transformed.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(transformed.std(axis=0), 1, atol=1e-9)


def test_the_withheld_cluster_has_the_largest_vorticity(prepared: Prepared) -> None:
    samples, clusters = read_samples(prepared.base), Clusters.load(prepared.clusters_file)
    means = [samples.features[samples.cluster == index, 1].mean() for index in range(4)]
    assert clusters.withheld == int(np.argmax(means))


def test_the_record_says_what_was_read_and_written(prepared: Prepared) -> None:
    record, samples = prepared.record, read_samples(prepared.base)
    assert [artifact.path for artifact in record.read] == [prepared.daily]
    assert [artifact.path for artifact in record.wrote] == [prepared.base, prepared.clusters_file]
    assert record.metrics["samples"] == len(samples)
    withheld = Clusters.load(prepared.clusters_file).withheld
    assert record.metrics["withheld_samples"] == (samples.cluster == withheld).sum()


def test_it_reports_its_progress_and_gives_the_same_again(
    prepared: Prepared, tmp_path: Path
) -> None:
    rows: list[dict[str, Value]] = []

    def report(series: str, /, **values: Value) -> None:
        rows.append({"series": series, **values})

    inputs = prepare_inputs(tmp_path, prepared.daily)
    prepare(inputs, report)
    assert rows == [{"series": "day", "day": day + 1, "days": DAYS} for day in range(DAYS)]
    assert inputs.samples.read_bytes() == prepared.base.read_bytes()
    assert inputs.clusters_file.read_bytes() == prepared.clusters_file.read_bytes()


def test_land_is_left_out(tmp_path: Path) -> None:
    daily = write_daily(tmp_path / "daily.nc")
    with h5py.File(daily, "a") as file:
        for name in FIELDS:
            values = file[name][()]
            values[:, 10:12, 5:9] = np.nan
            file[name][...] = values
    inputs = prepare_inputs(tmp_path, daily)
    prepare(inputs, silent)
    samples = read_samples(inputs.samples)
    on_land = (samples.j >= 10) & (samples.j < 12) & (samples.i >= 5) & (samples.i < 9)
    assert not on_land.any()
    assert np.isfinite(samples.features).all()
    assert len(samples) > 1000


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.nc does not exist"):
        prepare(prepare_inputs(tmp_path, tmp_path / "none.nc"), silent)


@pytest.mark.parametrize("name", ["Rd_dx", "KE_vert_sum", "time"])
def test_a_missing_variable_is_named(tmp_path: Path, name: str) -> None:
    daily = write_daily(tmp_path / "daily.nc", **{name: None})
    with pytest.raises(UsageError, match=rf"daily\.nc has no variable '{name}'"):
        prepare(prepare_inputs(tmp_path, daily), silent)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"Rd_dx": np.ones((DAYS, NX, NY))}, "'Rd_dx' has the shape"),
        ({"xh": np.arange(NX) ** 2 * DX}, "not evenly spaced"),
        ({"RV_vert_avg": np.zeros((DAYS, NY, NX))}, "'RV_vert_avg' is 0"),
        ({"Rd_dx": np.ones((DAYS, NY, NX))}, "'Rd_dx_scaled' is the same everywhere"),
        ({"KE_vert_sum": np.zeros((DAYS, NY, NX))}, "gives 0 samples"),
    ],
)
def test_useless_fields_are_named(
    tmp_path: Path, changes: dict[str, np.ndarray], complaint: str
) -> None:
    daily = write_daily(tmp_path / "daily.nc", **changes)
    with pytest.raises(UsageError, match=rf"daily\.nc.*{complaint}"):
        prepare(prepare_inputs(tmp_path, daily), silent)
    assert list(tmp_path.iterdir()) == [daily]


def test_too_many_wall_rows_are_named(tmp_path: Path) -> None:
    daily = write_daily(tmp_path / "daily.nc")
    with pytest.raises(UsageError, match="'wall_rows' = 20"):
        prepare(prepare_inputs(tmp_path, daily, wall_rows=20), silent)
