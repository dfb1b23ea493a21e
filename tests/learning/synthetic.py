"""A small turbulent simulation's output, and samples that can be learnt."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from parslflow.learning.prepare import PrepareInputs
from parslflow.learning.samples import Samples
from parslflow.records import Value
from parslflow.sampling.features import smooth

NX, NY, DAYS, DX, FILTER_SCALE = 32, 40, 12, 1e4, 4e4


def silent(series: str, /, **values: Value) -> None:
    """A report that nobody reads."""


def make_samples(n: int, seed: int = 0, runs: tuple[str, ...] = ("base",)) -> Samples:
    """Samples whose EKE is a smooth function of the features with a little noise."""
    random = np.random.default_rng(seed)
    energy = random.lognormal(2.0, 1.0, n)
    vorticity = random.normal(0, 0.01, n)
    slope = random.lognormal(-7.0, 0.5, n)
    radius = random.uniform(0.15, 0.4, n)
    target = 0.8 * np.log1p(energy) + 1e4 * vorticity**2 * radius + 0.1 * random.random(n)
    return Samples(
        features=np.column_stack([energy, vorticity, slope, radius]),
        eke=np.expm1(target),
        cluster=random.integers(0, 4, n).astype(np.int32),
        day=np.floor(random.random(n) * DAYS),
        j=random.integers(0, NY, n).astype(np.int32),
        i=random.integers(0, NX, n).astype(np.int32),
        run=random.integers(0, len(runs), n).astype(np.int32),
        runs=runs,
    )


def write_daily(path: Path, seed: int = 0, **changes: np.ndarray | None) -> Path:
    """A daily file like that of a simulation; ``changes`` replace variables, None removes one."""
    random = np.random.default_rng(seed)

    def noise() -> np.ndarray:
        fields = random.normal(size=(DAYS, NY, NX))
        return np.stack([smooth(field, DX, 3 * DX) for field in fields]) * 3

    variables: dict[str, np.ndarray | None] = {
        "time": np.arange(DAYS) + 0.5,
        "xh": (np.arange(NX) + 0.5) * DX,
        "yh": (np.arange(NY) + 0.5) * DX,
        "KE_vert_sum": np.exp(2 + noise()),
        "RV_vert_avg": 0.01 * noise(),
        "slope_vert_avg": 1e-3 * np.exp(noise()),
        "Rd_dx": np.linspace(3.3, 1.3, NY)[:, None] + 0.1 * noise(),
    }
    variables.update(changes)
    with h5py.File(path, "w") as file:
        for name, values in variables.items():
            if values is not None:
                file[name] = values
    return path


def prepare_inputs(folder: Path, daily: Path, **changes: Value) -> PrepareInputs:
    """Inputs that go with the daily file above."""
    values = {
        "daily": daily,
        "run": "base",
        "filter_scale": FILTER_SCALE,
        "wall_rows": 3,
        "clusters": 4,
        "seed": 5,
        "samples": folder / "base.h5",
        "clusters_file": folder / "clusters.h5",
    }
    return PrepareInputs.model_validate({**values, **changes})
