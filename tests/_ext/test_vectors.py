"""The kernels give the same on a processor without wide vectors, but for rounding."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parslflow._ext.membership import assign
from parslflow._ext.smoothing import chebyshev_filter
from parslflow._ext.tiles import assemble
from parslflow.sampling.features import gaussian


def results() -> dict[str, NDArray[np.generic]]:
    """Something of every kernel that has two variants."""
    random = np.random.default_rng(1)
    fields = random.normal(size=(2, 50, 61))
    smooth = np.empty_like(fields)
    chebyshev_filter(fields, smooth, gaussian(7.0), walls=True)
    rows = np.abs(random.normal(size=(501, 4)))
    clusters = assign(rows, 1e-6, np.zeros(4), np.ones(4), random.normal(size=(5, 4)))
    out = np.empty((1, 2, 61, 50))
    bounds = np.array([[(0, 0, 0, 1, 50, 1, 61, 50, 61)]], dtype=np.intc)
    assemble(out, bounds, [[list(fields)]], ["a", "b"], 1)
    return {"smooth": smooth, "clusters": clusters, "global": out}


def test_the_baseline_agrees(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, __file__, str(tmp_path / "baseline.npz")],
        check=True,
        env=os.environ | {"PARSLFLOW_VECTORS": "baseline"},
    )
    with np.load(tmp_path / "baseline.npz") as baseline:
        expected = results()
        np.testing.assert_allclose(baseline["smooth"], expected["smooth"], rtol=0, atol=1e-13)
        np.testing.assert_array_equal(baseline["clusters"], expected["clusters"])
        np.testing.assert_array_equal(baseline["global"], expected["global"])


if __name__ == "__main__":
    np.savez(sys.argv[1], **results())
