from __future__ import annotations

import math
from dataclasses import fields
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from parslflow.errors import UsageError
from parslflow.learning.clusters import Clusters
from parslflow.learning.clusters import rv_offset

from .synthetic import make_samples


def make_clusters(seed: int = 0, count: int = 4) -> Clusters:
    random = np.random.default_rng(seed)
    return Clusters(
        rv_offset=1e-6,
        mean=np.array([2.0, 0.0, 1e-3, 0.3]),
        std=np.array([1.0, 0.01, 5e-4, 0.08]),
        centres=random.normal(size=(count, 4)),
        withheld=1,
        mke=random.random((7, 5)),
        filter_scale=8e4,
        dx=1e4,
        wall_rows=2,
    )


def test_the_transform_is_the_formula() -> None:
    clusters = make_clusters()
    features = np.array([[3.0, -0.02, 1e-3, 0.3], [0.0, 0.0, 0.0, 0.1], [9.5, 0.03, 2e-3, 0.4]])
    for row, got in zip(features, clusters.transform(features), strict=True):
        energy, vorticity, slope, radius = row
        sign = math.copysign(1, vorticity) if vorticity else 0
        compressed = [
            math.log(1 + energy),
            sign * math.log(1 + abs(vorticity) + clusters.rv_offset),
            math.log(1 + slope),
            radius,
        ]
        expected = [
            (value - mean) / std
            for value, mean, std in zip(compressed, clusters.mean, clusters.std, strict=True)
        ]
        np.testing.assert_allclose(got, expected, atol=1e-10)


def test_the_vorticity_offset_is_that_of_the_smallest_nonzero_magnitude() -> None:
    assert rv_offset(np.array([0.0, -0.25, 0.5])) == pytest.approx(math.log(1.25))


def test_assignment_is_that_of_scikit_learn() -> None:
    features = make_samples(2000).features
    clusters = make_clusters()
    fit = KMeans(5, n_init=2, random_state=0).fit(clusters.transform(features))
    clusters = replace(clusters, centres=fit.cluster_centers_)
    np.testing.assert_array_equal(clusters.assign(features), fit.labels_)


def test_a_row_with_nan_belongs_to_no_cluster() -> None:
    features = make_samples(3).features
    features[1, 2] = np.nan
    assigned = make_clusters().assign(features)
    assert assigned[1] == -1
    assert (assigned[[0, 2]] >= 0).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 12))
def test_a_file_gives_back_what_was_saved(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int
) -> None:
    path = tmp_path_factory.mktemp("clusters") / "clusters.h5"
    clusters = make_clusters(seed, count)
    clusters.save(path)
    loaded = Clusters.load(path)
    for field in fields(Clusters):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(clusters, field.name))
    assert loaded.id == clusters.id


@pytest.mark.parametrize("field", [field.name for field in fields(Clusters)])
def test_the_id_depends_on_everything(field: str) -> None:
    clusters = make_clusters()
    value = getattr(clusters, field)
    assert replace(clusters, **{field: value + 1}).id != clusters.id
    assert replace(clusters, **{field: value}).id == clusters.id


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clusters.h5"
    make_clusters().save(path)
    with h5py.File(path, "a") as file:
        file.attrs["withheld"] = 2
    with pytest.raises(UsageError, match=r"clusters\.h5 was changed"):
        Clusters.load(path)


@pytest.mark.parametrize("key", ["centres", "mke"])
def test_a_missing_data_set_is_named(tmp_path: Path, key: str) -> None:
    path = tmp_path / "clusters.h5"
    make_clusters().save(path)
    with h5py.File(path, "a") as file:
        del file[key]
    with pytest.raises(UsageError, match=rf"clusters\.h5 has no data set '{key}'"):
        Clusters.load(path)


def test_a_missing_attribute_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clusters.h5"
    make_clusters().save(path)
    with h5py.File(path, "a") as file:
        del file.attrs["rv_offset"]
    with pytest.raises(UsageError, match=r"clusters\.h5 has no attribute 'rv_offset'"):
        Clusters.load(path)
