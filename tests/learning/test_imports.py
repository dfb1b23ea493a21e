from __future__ import annotations

import subprocess
import sys

import pytest

LIGHT = [
    "",
    ".samples",
    ".clusters",
    ".hdf5",
    ".settings",
    ".prepare",
    ".assemble",
    ".baselines",
    ".control",
]


@pytest.mark.parametrize("module", [f"parslflow.learning{name}" for name in LIGHT])
def test_the_driver_can_import_it_without_torch(module: str) -> None:
    code = (
        f"import {module}, sys; "
        "print([name for name in ('torch', 'sklearn', 'parsl', 'cmflib') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == "[]"
