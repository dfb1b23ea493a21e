"""Means over x and time of a flow, as MOM6's are: see ``reference.read_profiles``."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from benchmarks.against_mom6.forecast import kinetic_energy
from benchmarks.against_mom6.forecast import southern
from benchmarks.against_mom6.reference import DEPTH
from benchmarks.against_mom6.reference import DX
from benchmarks.against_mom6.reference import REDUCED_GRAVITY
from benchmarks.against_mom6.reference import Field
from benchmarks.against_mom6.reference import Flow
from parslflow.sampling.features import SMOOTHED
from parslflow.sampling.features import smooth

FILTER_SCALE = 8.0e4
CORIOLIS, BETA = 6.49e-5, 2.0e-11

COLUMNS = (
    *("u1", "u2", "eta_int", "KE1", "KE2"),
    *("KE_vert_sum_raw", "EKE_ref", "EKE_zonaltime_eddy", "Rd_dx"),
)


def profiles(flow: Flow) -> dict[str, Field]:
    """Means over x and all times, each (y).

    ``EKE_ref`` is what the networks learn: the sum over the layers of the kinetic energy times
    thickness, minus its smoothed mean over time, where positive. ``EKE_zonaltime_eddy`` is the sum
    of the kinetic energy of the velocity about its mean over x and time. ``KE1`` and ``KE2`` are
    not weighted with thickness.
    """
    energy = kinetic_energy(flow)
    column = (energy * flow.h).sum(axis=1)
    u = (flow.u + np.roll(flow.u, 1, axis=-1)) / 2
    v = (flow.v + southern(flow.v)) / 2
    u_mean, v_mean = (values.mean(axis=(0, 3), keepdims=True) for values in (u, v))
    eddies = ((u - u_mean) ** 2 + (v - v_mean) ** 2) / 2
    mean_column = smooth(column, DX, FILTER_SCALE).mean(axis=0)
    rows = {
        "eta_int": flow.h[:, 1] - DEPTH,
        "KE_vert_sum_raw": column,
        "EKE_ref": np.maximum(column - mean_column, 0),
        "EKE_zonaltime_eddy": (eddies * flow.h).sum(axis=1),
        "Rd_dx": deformation_radius(flow) / (np.sqrt(2) * DX),
    }
    for layer in (0, 1):
        rows[f"u{layer + 1}"] = u[:, layer]
        rows[f"KE{layer + 1}"] = energy[:, layer]
    return {name: rows[name].mean(axis=(0, 2)) for name in COLUMNS}


def deformation_radius(flow: Flow) -> Field:
    """(time, y, x), m."""
    ny = flow.h.shape[-2]
    f = CORIOLIS + BETA * DX * (np.arange(ny)[:, None] + 0.5)
    speed = np.sqrt(REDUCED_GRAVITY * flow.h[:, 0] * flow.h[:, 1] / flow.h.sum(axis=1))
    radius: Field = speed / np.sqrt(f**2 + 2 * BETA * speed)
    return radius


def domain_energy(flow: Flow) -> Field:
    """(time), kinetic energy per mass, m2/s2."""
    energy: Field = (kinetic_energy(flow) * flow.h).sum(axis=1).mean(axis=(1, 2)) / DEPTH
    return energy


def feature_ranges(daily: Path, first: int, dx: float) -> dict[str, tuple[float, float, float]]:
    """Least, mean and largest of the features and of EKE, from the output after day ``first``.

    The features are smoothed as the networks see them; EKE is the unsmoothed kinetic energy minus
    the smoothed one's mean over the days, where positive.
    """
    found = {}
    with h5py.File(daily) as file:
        for name in SMOOTHED:
            raw = file[name][first:].astype(np.float64)
            smoothed = smooth(raw, dx, FILTER_SCALE)
            found[name] = _range(smoothed)
            if name == "KE_vert_sum":
                found["EKE"] = _range(np.maximum(raw - smoothed.mean(axis=0), 0))
        found["Rd_dx_scaled"] = _range(file["Rd_dx"][first:] * (dx / FILTER_SCALE))
    return found


def _range(values: Field) -> tuple[float, float, float]:
    return float(values.min()), float(values.mean()), float(values.max())


def distances(ours: Field, theirs: Field) -> tuple[float, list[float]]:
    """Distance of a profile from our mean, and of each of ours from the mean of the others.

    In root mean square over y.

    Args:
        ours: (window, y).
        theirs: (y).
    """
    apart = float(np.sqrt(((theirs - ours.mean(axis=0)) ** 2).mean()))
    others = (ours.sum(axis=0) - ours) / (len(ours) - 1)
    return apart, [float(one) for one in np.sqrt(((ours - others) ** 2).mean(axis=1))]
