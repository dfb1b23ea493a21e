"""What a worker finds where it runs, for ``parslflow doctor``."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
from pathlib import Path
from typing import TypedDict

PACKAGES = ("parslflow", "parsl", "numpy", "h5py", "torch", "scikit-learn")
"""Whose versions must be the driver's."""


class Place(TypedDict):
    """Where a worker runs."""

    host: str
    versions: dict[str, str]
    """By package, and of Python; empty where there is none."""
    token: str
    """What the worker reads in the driver's file; empty if it does not see it."""
    free: int
    """Bytes that are free in the run directory, as the worker sees it; 0 if it does not."""
    device: str
    """Why the device cannot be used; empty if it can."""


def look(folder: Path, device: str) -> Place:
    """Look around, and leave a file in ``folder`` that is called as this host.

    Args:
        folder: the run directory; the driver has put a file ``token`` there.
        device: where networks shall run, as torch names it; empty where none shall.
    """
    token, free = "", 0
    try:
        token = (folder / "token").read_text(encoding="utf-8")
        (folder / f"seen-by-{platform.node()}").touch()
        free = shutil.disk_usage(folder).free
    except OSError:
        pass  # what is missing says so
    return Place(
        host=platform.node(),
        versions=versions(),
        token=token,
        free=free,
        device=_tried(device) if device else "",
    )


def versions() -> dict[str, str]:
    """The versions of Python and of ``PACKAGES`` here."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = ""
    return found


def reach_store(address_file: Path) -> str:
    """Write into the store and read it back; why that failed, or nothing."""
    import numpy as np

    from parslflow.errors import ParslflowError
    from parslflow.store.client import StoreClient

    key = f"doctor-{platform.node()}"
    try:
        with StoreClient.from_address_file(address_file) as store:
            store.put_tensor(key, np.arange(3.0))
            same = bool((store.get_tensor(key) == np.arange(3.0)).all())
            store.delete(key)
    except ParslflowError as error:
        return str(error)
    return "" if same else "it answers with other numbers than it was given"


def _tried(device: str) -> str:
    """Why torch cannot use the device; nothing if it can."""
    try:
        import torch

        torch.ones(2, device=device).sum().item()
    except Exception as error:  # whatever torch, or what it loads, says
        return str(error).splitlines()[0]
    return ""
