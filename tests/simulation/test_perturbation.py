from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from parslflow.errors import UsageError
from parslflow.simulation import phillips
from parslflow.simulation.perturbation import PerturbInputs
from parslflow.simulation.perturbation import noise
from parslflow.simulation.perturbation import perturb
from parslflow.simulation.settings import namelist

from .test_phillips import VALUES
from .test_phillips import ignore
from .test_phillips import inputs


@settings(max_examples=30)
@given(
    nx=st.integers(4, 40),
    ny=st.integers(4, 40),
    scale=st.floats(1e-6, 10.0),
    seed=st.integers(0, 2**31),
)
def test_noise_neither_converges_nor_crosses_a_wall(
    nx: int, ny: int, scale: float, seed: int
) -> None:
    u, v = noise(nx, ny, scale, seed)
    assert u.shape == v.shape == (ny, nx)
    south = np.vstack([np.zeros(nx), v[:-1]])
    divergence = u - np.roll(u, 1, axis=-1) + v - south
    assert np.abs(divergence).max() < 1e-9 * scale
    assert (v[-1] == 0).all()
    assert np.sqrt((u**2 + v**2).mean()) == pytest.approx(scale)


def test_noise_is_that_of_its_seed() -> None:
    first, again, other = (noise(12, 16, 0.1, seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_the_model_goes_on_from_a_state_with_noise(tmp_path: Path, mpi: dict[str, str]) -> None:
    phillips.simulate(inputs(tmp_path, "start", mpi), ignore)
    restart = tmp_path / "start" / "restart.nc"
    record = perturb(
        PerturbInputs(
            restart=restart, scale=0.01, seed=3, output=tmp_path / "noisy" / "restart.nc"
        ),
        ignore,
    )
    noisy = record.wrote[0].path
    assert 0.01 < float(record.metrics["largest_change"]) < 0.1
    with h5py.File(restart) as before, h5py.File(noisy) as after:
        assert after.attrs["time"] == before.attrs["time"]
        np.testing.assert_array_equal(after["h"][()], before["h"][()])
        changes = after["u"][()] - before["u"][()]
        np.testing.assert_allclose(changes[0], changes[1], atol=1e-15)
    days = {}
    for name, start in (("calm", restart), ("noise", noisy)):
        text = namelist(**(VALUES | {"restart": str(start)}))
        answer = phillips.simulate(
            inputs(tmp_path, name, mpi, namelist=text, restart=start), ignore
        )
        days[name] = answer.metrics["kinetic_energy"]
    assert days["calm"] != days["noise"]
    assert float(days["noise"]) == pytest.approx(float(days["calm"]), rel=0.2)


def test_a_file_that_is_no_restart_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.nc"
    wrong.write_bytes(b"no restart")
    with pytest.raises(UsageError, match=r"wrong\.nc is no restart"):
        perturb(
            PerturbInputs(restart=wrong, scale=0.01, seed=3, output=tmp_path / "out.nc"), ignore
        )
