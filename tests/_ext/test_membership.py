"""Membership equals NumPy's transform with scikit-learn's nearest centre."""

from __future__ import annotations

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


@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 20)),
    clusters=st.sampled_from(sorted(MODELS)),
    wall_rows=st.integers(0, 16),
    seed=st.integers(1, 2**32 - 1),
    dtype=st.sampled_from([np.float32, np.float64]),
    data=st.data(),
)
def test_members_are_those_numpy_keeps(
    shape: tuple[int, int],
    clusters: int,
    wall_rows: int,
    seed: int,
    dtype: type[np.floating[Any]],
    data: st.DataObject,
) -> None:
    ny, nx = shape
    wanted = data.draw(st.integers(0, clusters - 1))
    centres = MODELS[clusters].cluster_centers_
    random = np.random.default_rng(seed)
    features = dimensional(seed, ny, nx).astype(dtype)
    features[random.random((ny, nx, 4)) < 0.02] = np.nan
    eke = np.maximum(random.normal(size=shape), 0.0).astype(dtype)
    eke[random.random(shape) < 0.05] = np.nan

    points = (compress(features.astype(np.float64)) - MEAN) / STD
    j = np.arange(ny)[:, None]
    with np.errstate(invalid="ignore"):
        sample = (np.log1p(eke) > 0) & ~np.isnan(points).any(axis=-1)
    sample &= (j >= wall_rows) & (j < ny - wall_rows)
    assume(not undecided(points[sample], centres).any())
    nearest = np.full(shape, -1)
    if sample.any():
        nearest[sample] = MODELS[clusters].predict(points[sample])
    keep = nearest == wanted

    kept, kept_eke, origin, seen = members(
        features, eke, OFFSET, MEAN, STD, centres, wanted, wall_rows
    )
    np.testing.assert_array_equal(kept, features[keep], strict=True)
    np.testing.assert_array_equal(kept_eke, eke[keep], strict=True)
    np.testing.assert_array_equal(origin, np.argwhere(keep).astype(np.int32), strict=True)
    assert seen == sample.sum()


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.zeros((3, 5, 3))}, "3 features where 4 are needed"),
        ({"eke": np.zeros((3, 4))}, r"grid of \(3, 5\), but the energy is on one of \(3, 4\)"),
        ({"mean": np.zeros(3)}, "must have 4 columns"),
        ({"centres": np.zeros((0, 4))}, "no centres"),
        ({"wanted": 2}, "no cluster 2 among 2"),
        ({"wall_rows": -1}, "cannot be -1"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "features": np.zeros((3, 5, 4)),
        "eke": np.zeros((3, 5)),
        "rv_offset": OFFSET,
        "mean": np.zeros(4),
        "std": np.ones(4),
        "centres": np.zeros((2, 4)),
        "wanted": 0,
        "wall_rows": 1,
    }
    with pytest.raises(ValueError, match=message):
        members(**(arguments | change))
