"""Features: three fields smoothed between walls, the deformation radius only scaled."""

from __future__ import annotations

import numpy as np

from parslflow.learning.samples import FEATURES
from parslflow.sampling.features import FIELDS
from parslflow.sampling.features import features
from parslflow.sampling.features import smooth


def test_columns_are_in_the_order_of_the_features() -> None:
    random = np.random.default_rng(0)
    fields = {name: random.normal(size=(16, 12)) for name in FIELDS}
    result = features(fields, dx=1e4, filter_scale=8e4)
    assert result.shape == (16, 12, len(FEATURES))
    for f, name in enumerate(FEATURES[:3]):
        np.testing.assert_array_equal(result[..., f], smooth(fields[name], 1e4, 8e4))
    np.testing.assert_allclose(result[..., 3], fields["Rd_dx"] / 8, rtol=1e-15)


def test_a_wave_is_damped_as_the_gaussian_says() -> None:
    x = 5e3 * (np.arange(240) + 0.5)
    wavenumber = 2 * np.pi * 4 / 1.2e6
    field = np.tile(np.sin(wavenumber * x), (20, 1))
    # The five-point Laplacian sees a slightly smaller wavenumber.
    seen = 2 / 5e3 * np.sin(wavenumber * 5e3 / 2)
    expected = np.exp(-((seen * 8e4) ** 2) / 24) * field
    # 1 %: what the polynomial of this degree leaves of the Gaussian.
    np.testing.assert_allclose(smooth(field, 5e3, 8e4), expected, rtol=0.01)


def test_a_stack_of_fields_is_smoothed_field_by_field() -> None:
    fields = np.random.default_rng(1).normal(size=(2, 3, 10, 8))
    result = smooth(fields, 1e4, 8e4)
    np.testing.assert_array_equal(result[1, 2], smooth(fields[1, 2], 1e4, 8e4))


def test_any_memory_layout_is_taken() -> None:
    field = np.random.default_rng(2).normal(size=(10, 8))
    result = smooth(np.asfortranarray(field), 1e4, 8e4)
    np.testing.assert_array_equal(result, smooth(field, 1e4, 8e4))
