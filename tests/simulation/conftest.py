from __future__ import annotations

import pytest

from parslflow import sites


@pytest.fixture
def mpi(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment that MPI ranks need on this machine."""
    return sites.load(sites.Choice("local"), tmp_path_factory.mktemp("site")).environment
