"""Membership equals NumPy's transform with scikit-learn's nearest centre."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from parslflow._ext.membership import assign
from parslflow._ext.membership import members

Array = NDArray[np.float64]
OFFSET = 3e-6


def dimensional(seed: int, *shape: int) -> Array:
    """Features of the magnitudes of a two-layer channel."""
    normal = np.random.default_rng(seed).normal(size=(*shape, 4))
    normal[..., 0] = 50 * np.exp(normal[..., 0])
    normal[..., 1] *= 0.01
    normal[..., 2] = 1e-3 * np.exp(normal[..., 2])
    normal[..., 3] = 0.28 + 0.05 * normal[..., 3]
    return normal


def compress(features: Array) -> Array:
    columns = np.moveaxis(features, -1, 0)
    rv = columns[1]
    return np.stack(
        [
            np.log1p(columns[0]),
            np.sign(rv) * np.log(1 + np.abs(rv) + OFFSET),
            np.log1p(columns[2]),
            columns[3],
        ],
        axis=-1,
    )


BASE = compress(dimensional(0, 4000))
MEAN = BASE.mean(axis=0)
STD = BASE.std(axis=0)


def fitted(clusters: int) -> KMeans:
    return KMeans(clusters, n_init=1, random_state=1).fit((BASE - MEAN) / STD)


MODELS = {clusters: fitted(clusters) for clusters in (1, 2, 6)}


def undecided(points: Array, centres: Array) -> NDArray[np.bool_]:
    """Points as near to a second centre as rounding can tell."""
    if len(centres) == 1:
        return np.zeros(len(points), dtype=bool)
    distances = np.sort(((points[:, None] - centres) ** 2).sum(axis=-1), axis=-1)
    return distances[:, 1] - distances[:, 0] < 1e-9 * (1 + distances[:, 1])


@given(
    n=st.integers(0, 300),
    clusters=st.sampled_from(sorted(MODELS)),
    seed=st.integers(1, 2**32 - 1),
)
def test_assign_is_the_prediction_of_scikit_learn(n: int, clusters: int, seed: int) -> None:
    model = MODELS[clusters]
    features = dimensional(seed, n)
    points = (compress(features) - MEAN) / STD
    assume(not undecided(points, model.cluster_centers_).any())
    result = assign(features, OFFSET, MEAN, STD, model.cluster_centers_)
    assert result.dtype == np.int32
    expected = model.predict(points) if n else np.empty(0)
    np.testing.assert_array_equal(result, expected)


@dataclass
class Fields:
    """What ``members`` takes, on some grid."""

    smoothed: NDArray[Any]
    radius: NDArray[Any]
    energy: NDArray[Any]
    mke: Array
    centres: Array
    radius_scale: float = 0.25
    wanted: int = 0
    wall_rows: int = 0

    def members(
        self, threads: int = 1
    ) -> tuple[Array, Array, NDArray[np.int32], NDArray[np.int32], int]:
        return members(
            self.smoothed, self.radius, self.energy, self.mke, self.radius_scale, OFFSET,
            MEAN, STD, self.centres, self.wanted, self.wall_rows, threads,
        )  # fmt: skip


def some_fields(
    seed: int, ny: int, nx: int, centres: Array, dtype: type[np.floating[Any]] = np.float64
) -> Fields:
    random = np.random.default_rng(seed)
    features = np.moveaxis(dimensional(seed, ny, nx), -1, 0).copy()
    features[3] /= 0.25
    features[random.random(features.shape) < 0.02] = np.nan
    mke = random.uniform(0, 2, size=(ny, nx))
    energy = mke + random.normal(size=(ny, nx))
    energy[random.random((ny, nx)) < 0.05] = np.nan
    return Fields(
        features[:3].astype(dtype), features[3].astype(dtype), energy.astype(dtype), mke, centres
    )


@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 90)),
    clusters=st.sampled_from(sorted(MODELS)),
    wall_rows=st.integers(0, 16),
    seed=st.integers(1, 2**32 - 1),
    dtype=st.sampled_from([np.float32, np.float64]),
    threads=st.integers(1, 3),
    data=st.data(),
)
def test_members_are_those_numpy_keeps(
    shape: tuple[int, int],
    clusters: int,
    wall_rows: int,
    seed: int,
    dtype: type[np.floating[Any]],
    threads: int,
    data: st.DataObject,
) -> None:
    ny, nx = shape
    centres = MODELS[clusters].cluster_centers_
    fields = some_fields(seed, ny, nx, centres, dtype)
    fields.wanted = data.draw(st.integers(0, clusters - 1))
    fields.wall_rows = wall_rows
    columns = [*fields.smoothed.astype(np.float64), fields.radius * np.float64(0.25)]
    features = np.stack(columns, axis=-1)
    eke = fields.energy - fields.mke

    points = (compress(features) - MEAN) / STD
    j = np.arange(ny)[:, None]
    sample = (np.log1p(np.maximum(eke, 0)) > 0) & ~np.isnan(points).any(axis=-1)
    sample &= (j >= wall_rows) & (j < ny - wall_rows)
    assume(not undecided(points[sample], centres).any())
    nearest = np.full(shape, -1)
    if sample.any():
        nearest[sample] = MODELS[clusters].predict(points[sample])
    keep = nearest == fields.wanted

    kept, kept_eke, kept_j, kept_i, seen = fields.members(threads)
    np.testing.assert_array_equal(kept, features[keep], strict=True)
    np.testing.assert_array_equal(kept_eke, eke[keep], strict=True)
    origin = np.stack([kept_j, kept_i], axis=-1)
    np.testing.assert_array_equal(origin, np.argwhere(keep).astype(np.int32), strict=True)
    assert seen == sample.sum()


@given(
    n=st.integers(1, 200),
    seed=st.integers(1, 2**32 - 1),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_assign_and_members_agree(n: int, seed: int, dtype: type[np.floating[Any]]) -> None:
    fields = some_fields(seed, 1, n, MODELS[6].cluster_centers_, dtype)
    fields.radius_scale = 1.0
    fields.energy[:] = 3.0
    rows = np.stack([*fields.smoothed, fields.radius], axis=-1)[0]
    clusters = assign(rows, OFFSET, MEAN, STD, fields.centres)
    for fields.wanted in range(6):
        _, _, _, i, seen = fields.members()
        np.testing.assert_array_equal(i, np.flatnonzero(clusters == fields.wanted))
        assert seen == (clusters >= 0).sum()


@pytest.mark.parametrize("feature", [0, 1, 2])
def test_the_transform_is_exact_to_a_trillionth(feature: int) -> None:
    # Between two centres whose middle lies a trillionth beside the true value, the nearer one tells
    # on which side of the middle the computed value lies.
    random = np.random.default_rng(feature)
    values = np.concatenate([random.uniform(-0.99, 3, 300), np.exp(random.uniform(-3, 600, 300))])
    exact = np.log1p(values)
    if feature == 1:
        exact = np.log1p(np.abs(values) + OFFSET) * np.sign(values)
    large = np.abs(exact) > 0.05
    for value, true in zip(values[large], exact[large], strict=True):
        row = np.zeros((1, 4))
        row[0, feature] = value
        for expected, middle in ((1, true - 1e-12 * abs(true)), (0, true + 1e-12 * abs(true))):
            centres = np.zeros((2, 4))
            centres[:, feature] = middle - abs(true), middle + abs(true)
            assert assign(row, OFFSET, np.zeros(4), np.ones(4), centres) == [expected]


def test_a_vorticity_of_zero_has_no_sign() -> None:
    features = np.array([[1.0, 0.0, 1e-3, 0.3], [1.0, -0.0, 1e-3, 0.3]])
    centres = np.array([[np.log(2), OFFSET, np.log1p(1e-3), 0.3], [np.log(2), 0, 1e-3, 0.3]])
    result = assign(features, OFFSET, np.zeros(4), np.ones(4), centres)
    np.testing.assert_array_equal(result, [1, 1])


def test_the_first_of_equally_near_centres_is_taken() -> None:
    features = np.array([[0.0, 0.0, 0.0, 1.0]])
    centres = np.array([[0.0, 0, 0, 0], [0.0, 0, 0, 2], [0.0, 0, 0, 0]])
    assert assign(features, OFFSET, np.zeros(4), np.ones(4), centres) == [0]


def test_a_row_with_a_nan_is_in_no_cluster() -> None:
    features = dimensional(5, 4)
    features[np.arange(4), np.arange(4)] = np.nan
    centres = MODELS[6].cluster_centers_
    np.testing.assert_array_equal(assign(features, OFFSET, MEAN, STD, centres), [-1] * 4)


def test_what_is_not_finite_is_in_no_cluster() -> None:
    features = dimensional(5, 5)
    features[0, 0] = -1.0
    features[1, 2] = -2.0
    features[2, 1] = np.inf
    features[3, 3] = -np.inf
    features[4, 0] = 1e308
    clusters = assign(features, OFFSET, MEAN, STD, MODELS[6].cluster_centers_)
    assert clusters[:4].tolist() == [-1] * 4
    assert clusters[4] >= 0


def test_a_field_without_a_sample_gives_none() -> None:
    fields = some_fields(3, 12, 70, MODELS[6].cluster_centers_)
    fields.energy[:] = fields.mke
    kept, eke, j, i, seen = fields.members()
    assert (kept.shape, eke.shape, j.shape, i.shape, seen) == ((0, 4), (0,), (0,), (0,), 0)
    fields.wall_rows = 6
    assert fields.members()[-1] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"smoothed": np.zeros((2, 3, 5))}, r"shape \(2, 3, 5\) where \(3, 3, 5\) is needed"),
        ({"smoothed": np.zeros((5, 3, 3)).T}, "smoothed is not contiguous"),
        ({"smoothed": np.zeros((3, 3, 5), "i8")}, "smoothed holds int64: give a C-contiguous"),
        ({"smoothed": [1, 2]}, "smoothed is of type list"),
        ({"energy": np.zeros((3, 4))}, r"grid of \(3, 5\), but energy is on one of \(3, 4\)"),
        ({"energy": np.zeros((3, 5), "f4")}, "energy holds float32: give .* float64"),
        ({"mke": np.zeros((5, 3)).T}, "mke is not contiguous"),
        ({"mean": np.zeros(3)}, r"mean has the shape \(3,\) where \(4\) is needed"),
        ({"mean": np.full(4, np.nan)}, "mean has values that are not finite"),
        ({"std": np.zeros(4)}, "std has values that are not positive"),
        ({"centres": np.zeros((0, 4))}, r"centres has the shape \(0, 4\) where \(n, 4\) is needed"),
        ({"centres": np.zeros((2, 3))}, r"centres has the shape \(2, 3\) where \(n, 4\) is needed"),
        ({"wanted": 2}, "no cluster 2 among 2"),
        ({"wall_rows": -1}, "cannot be -1"),
        ({"threads": 0}, "At least one thread has to work, not 0"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "smoothed": np.zeros((3, 3, 5)),
        "radius": np.zeros((3, 5)),
        "energy": np.zeros((3, 5)),
        "mke": np.zeros((3, 5)),
        "radius_scale": 1.0,
        "rv_offset": OFFSET,
        "mean": np.zeros(4),
        "std": np.ones(4),
        "centres": np.zeros((2, 4)),
        "wanted": 0,
        "wall_rows": 1,
    }
    with pytest.raises(ValueError, match=message):
        members(**(arguments | change))
