"""The restart files of the Phillips model, read and written as it does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from parslflow.errors import UsageError
from parslflow.rundir import atomic_path

Field = NDArray[np.float64]

STATE = ("h", "u", "v", "eddy_energy")
PAST = ("du_1", "du_2", "dv_1", "dv_2")
"""Tendencies of the last steps, which are of no use to a state that was changed."""
ATTRIBUTES = ("dx", "nx", "ny", "dt", "time", "past")


@dataclass(frozen=True)
class State:
    """What the model needs to go on, on one grid; (layer, y, x) or (y, x)."""

    h: Field
    """Thickness of the layers, m."""
    u: Field
    """Velocity along x on the eastern faces, m/s; x is periodic."""
    v: Field
    """Velocity along y on the northern faces, m/s; the last row is the northern wall."""
    eddy_energy: Field
    """Depth-mean eddy kinetic energy, m²/s²."""


def read(path: Path) -> tuple[State, dict[str, Any], dict[str, dict[str, Any]]]:
    """State and attributes of a restart, and the attributes of each of its variables.

    Raises:
        UsageError: the file is no restart, or what it holds is no state.
    """
    try:
        with h5py.File(path, "r") as file:
            attributes = {name: file.attrs[name] for name in ATTRIBUTES} | _words(file, "unsent")
            words = {name: _words(file[name], "DIMENSION_LIST") for name in (*STATE, *PAST)}
            state = State(*(file[name][()] for name in STATE))
    except (OSError, KeyError) as error:
        reason = str(error).strip("'\"")
        raise UsageError(
            f"{path} is no restart ({reason}): give the path of a file that the model wrote."
        ) from None
    cells = (int(np.squeeze(attributes["ny"])), int(np.squeeze(attributes["nx"])))
    for name in STATE:
        values: Field = getattr(state, name)
        if values.shape[-2:] != cells or values.ndim != (2 if name == "eddy_energy" else 3):
            problem = f"of shape {values.shape}, not of {cells[1]} by {cells[0]} cells"
        elif not np.isfinite(values).all():
            problem = "not finite everywhere"
        elif name == "h" and values.min() <= 0:
            problem = "not positive everywhere"
        else:
            continue
        raise UsageError(
            f"{path}: '{name}' is {problem}: give the restart of a run that ended well."
        )
    return state, attributes, words


def without_past(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a restart that forgets the tendencies of its last steps."""
    return attributes | {"past": np.zeros_like(attributes["past"])}


def _words(of: h5py.File | h5py.Dataset, left: str) -> dict[str, Any]:
    """The attributes that say what something is, without ``left`` and what NetCDF keeps there."""
    return {
        name: value for name, value in of.attrs.items() if not name.startswith("_") and name != left
    }


def write(
    path: Path, state: State, attributes: dict[str, Any], words: dict[str, dict[str, Any]]
) -> None:
    """Write a restart as the model does, in NetCDF-4."""
    layers, ny, nx = state.h.shape
    with atomic_path(path) as temporary, h5py.File(temporary, "w", track_order=True) as file:
        file.attrs.update(attributes)
        for name, length in (("x", nx), ("y", ny), ("layer", layers)):
            dimension = file.create_dataset(name, shape=(length,), dtype=">f4")
            dimension.make_scale(f"This is a netCDF dimension but not a netCDF variable{length:10}")
        for name, attributes_of in words.items():
            data = getattr(state, name) if name in STATE else np.zeros_like(state.h)
            variable = file.create_dataset(name, data=data)
            for axis, dimension in enumerate(("layer", "y", "x")[-data.ndim :]):
                variable.dims[axis].attach_scale(file[dimension])
            variable.attrs.update(attributes_of)
