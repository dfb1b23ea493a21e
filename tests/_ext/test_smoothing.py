"""The filter equals that of gcm-filters, with and without walls and land."""

from __future__ import annotations

from typing import Any

import gcm_filters
import numpy as np
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from parslflow._ext.smoothing import chebyshev_filter
from parslflow.sampling.features import gaussian

Field = NDArray[np.float64]


def ours(field: Field, factor: float, walls: bool) -> Field:
    out = np.empty((1, *field.shape), dtype=field.dtype)
    chebyshev_filter(field[None], out, gaussian(factor), walls)
    return out[0]


def theirs(field: Field, factor: float, mask: Field | None = None) -> Field:
    grid = gcm_filters.GridType.REGULAR
    variables = {}
    if mask is not None:
        grid = gcm_filters.GridType.REGULAR_WITH_LAND
        variables = {"wet_mask": xarray.DataArray(mask, dims=("y", "x"))}
    reference = gcm_filters.Filter(
        filter_scale=factor,
        dx_min=1.0,
        filter_shape=gcm_filters.FilterShape.GAUSSIAN,
        grid_type=grid,
        grid_vars=variables,
    )
    filtered = reference.apply(xarray.DataArray(field, dims=("y", "x")), dims=["y", "x"])
    return np.asarray(filtered.values)


def walled(field: Field, factor: float) -> Field:
    """gcm-filters on the field with a row of land, which is beyond both walls as it wraps round."""
    land = np.full((1, field.shape[1]), np.nan)
    extended = np.vstack([field, land])
    return theirs(extended, factor, np.isfinite(extended).astype(float))[:-1]


def check(result: Field, reference: Field) -> None:
    scale = np.nanmax(np.abs(reference), initial=0.0)
    np.testing.assert_allclose(result, reference, rtol=1e-12, atol=1e-12 * scale)


shapes = st.tuples(st.integers(2, 25), st.integers(1, 25))
factors = st.one_of(st.floats(0.5, 30.0), st.sampled_from([1.0, 2.0, 4.0, 8.0, 16.0]))
seeds = st.integers(0, 2**32 - 1)


@given(factor=factors)
def test_the_polynomial_is_that_of_gcm_filters(factor: float) -> None:
    reference = gcm_filters.Filter(filter_scale=factor, dx_min=1.0)
    np.testing.assert_allclose(gaussian(factor), reference.filter_spec.p, rtol=0, atol=1e-14)


@given(shape=shapes, factor=factors, seed=seeds)
def test_periodic_field(shape: tuple[int, int], factor: float, seed: int) -> None:
    field = np.random.default_rng(seed).normal(1.0, 3.0, size=shape)
    check(ours(field, factor, walls=False), theirs(field, factor))


@given(shape=shapes, factor=factors, seed=seeds)
def test_field_between_walls(shape: tuple[int, int], factor: float, seed: int) -> None:
    field = np.random.default_rng(seed).normal(1.0, 3.0, size=shape)
    check(ours(field, factor, walls=True), walled(field, factor))


@given(shape=shapes, factor=factors, seed=seeds, share=st.floats(0.0, 1.0), walls=st.booleans())
def test_field_with_land(
    shape: tuple[int, int], factor: float, seed: int, share: float, walls: bool
) -> None:
    random = np.random.default_rng(seed)
    field = random.normal(1.0, 3.0, size=shape)
    field[random.random(shape) < share] = np.nan
    result = ours(field, factor, walls)
    mask = np.isfinite(field).astype(float)
    check(result, walled(field, factor) if walls else theirs(field, factor, mask))
    np.testing.assert_array_equal(np.isnan(result), np.isnan(field))


@given(seed=seeds, walls=st.booleans())
def test_single_precision_is_close(seed: int, walls: bool) -> None:
    field = np.random.default_rng(seed).normal(size=(20, 30))
    result = ours(field.astype(np.float32), 8.0, walls)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, ours(field, 8.0, walls), atol=1e-5)


def test_nothing_passes_a_wall() -> None:
    field = np.zeros((30, 20))
    field[0, 3] = 1.0
    filtered = ours(field, 8.0, walls=True)
    assert filtered.sum() == pytest.approx(1.0, rel=1e-12)
    steps = len(gaussian(8.0)) - 1
    assert filtered[steps].any()
    assert not filtered[steps + 1 :].any()


def test_each_of_several_fields_is_filtered_by_itself() -> None:
    fields = np.random.default_rng(3).normal(size=(3, 12, 9))
    fields[1, 4, 4] = np.nan
    out = np.empty_like(fields)
    chebyshev_filter(fields, out, gaussian(4.0), walls=True)
    for field, filtered in zip(fields, out, strict=True):
        np.testing.assert_array_equal(filtered, ours(field, 4.0, walls=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("walls", [True, False])
@pytest.mark.parametrize("land", [True, False])
@pytest.mark.parametrize("shape", [(3, 40, 30), (1, 33, 1500), (2, 2, 7)])
def test_any_number_of_threads_gives_the_same_bits(
    shape: tuple[int, int, int], land: bool, walls: bool, dtype: type[np.floating[Any]]
) -> None:
    random = np.random.default_rng(5)
    fields = random.normal(size=shape).astype(dtype)
    if land:
        fields[random.random(shape) < 0.1] = np.nan
    one, many = np.empty_like(fields), np.empty_like(fields)
    chebyshev_filter(fields, one, gaussian(9.0), walls)
    for threads in (2, 3, 8):
        many[:] = -1
        chebyshev_filter(fields, many, gaussian(9.0), walls, threads)
        np.testing.assert_array_equal(many, one)


def test_a_wide_field_is_filtered_in_blocks() -> None:
    field = np.random.default_rng(6).normal(size=(30, 3000))
    field[3:9, 400:700] = np.nan
    check(ours(field, 16.0, walls=True), walled(field, 16.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"out": np.zeros((1, 4, 6))}, r"shape \(1, 4, 5\), but .* \(1, 4, 6\)"),
        ({"out": np.zeros((1, 4, 5), "f4")}, "out holds float32: give .* float64"),
        ({"fields": np.zeros((1, 4, 5), "i4")}, "fields holds int32: give .* float32 or float64"),
        ({"fields": np.zeros((1, 5, 4)).transpose(0, 2, 1)}, "fields is not contiguous"),
        ({"fields": np.zeros((4, 5))}, r"fields has the shape \(4, 5\): give .* 3 dimensions"),
        ({"coefficients": np.ones(1)}, "at least two coefficients"),
        ({"coefficients": np.zeros(0)}, r"coefficients has the shape \(0,\)"),
        ({"coefficients": np.full(3, np.nan)}, "coefficients has values that are not finite"),
        ({"threads": 0}, "At least one thread has to work, not 0"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "fields": np.zeros((1, 4, 5)),
        "out": np.zeros((1, 4, 5)),
        "coefficients": gaussian(4.0),
        "walls": True,
    }
    with pytest.raises(ValueError, match=message):
        chebyshev_filter(**(arguments | change))


def test_a_field_is_not_filtered_in_its_own_place() -> None:
    field = np.zeros((1, 4, 5))
    with pytest.raises(ValueError, match="memory of its own"):
        chebyshev_filter(field, field, gaussian(4.0), walls=True)
