"""The stock Fortran client on one server and on a cluster, as a simulation uses it."""

from __future__ import annotations

import inspect
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import smartredis
import torch

from parslflow import sites
from tests.conformance.conftest import Place
from tests.conformance.conftest import Scripted
from tests.conformance.fortran import PROGRAMS
from tests.conformance.fortran import Library

LIMIT_S = 60
RANKS, DAYS = 2, 5


class Rows(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x[:, 0] + 0.25 * x[:, 3]).to(torch.float32)


def add(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a + b


@pytest.fixture
def model(scripted: Scripted, tmp_path: Path) -> Path:
    file = tmp_path / "rows.pt"
    file.write_bytes(scripted(Rows()))
    return file


def run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(word) for word in command],
        env=os.environ,  # the fixture `place` put the store's address there
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_simulation(place: Place, stock_fortran: Library, model: Path, tmp_path: Path) -> None:
    script = tmp_path / "add.txt"
    script.write_text(inspect.getsource(add))
    run(stock_fortran.program(PROGRAMS / "simulation.f90"), model, script)
    client = smartredis.Client(logger_name="tests")
    counts = np.array([[1, 3, 5], [2, 4, 6]])
    for name, divisor, dtype in (
        ("i8", 1, "i1"), ("i16", 1, "i2"), ("i32", 1, "i4"), ("i64", 1, "i8"), ("r32", 2, "f4"),
        ("r64", 3, "f8"),
    ):  # fmt: skip
        found = client.get_tensor(name)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, (counts / divisor).astype(dtype))
    assert client.get_tensor("cube").shape == (4, 3, 2)
    kept = [smartredis.Dataset.from_pybind(one) for one in client.get_datasets_from_list("kept")]
    assert [tile.get_name() for tile in kept] == ["tile-1", "tile-2", "tile-3"]
    for number, tile in enumerate(kept, start=1):
        np.testing.assert_array_equal(tile.get_tensor("field"), counts * number)
        assert list(tile.get_meta_scalars("number")) == [number]
        assert tile.get_meta_strings("run") == ["high-1"]


def test_ranks_of_a_simulation(
    place: Place, stock_fortran: Library, model: Path, tmp_path: Path
) -> None:
    client = smartredis.Client(logger_name="tests")
    client.set_model_from_file("rows", str(model), "TORCH", "CPU")
    program = stock_fortran.program(PROGRAMS / "stock_ranks.f90", "mpifort")
    local = sites.load(sites.Choice("local"), tmp_path)
    mpi = [f"{name}={value}" for name, value in local.environment.items()]
    run("env", *mpi, "mpiexec", "-n", str(RANKS), program, str(DAYS))
    tiles = [smartredis.Dataset.from_pybind(one) for one in client.get_datasets_from_list("tiles")]
    names = {f"tile-{day}-{rank}" for day in range(1, DAYS + 1) for rank in range(RANKS)}
    assert len(tiles) == len(names)
    assert {tile.get_name() for tile in tiles} == names
    for tile in tiles:
        _, day, rank = tile.get_name().split("-")
        assert list(tile.get_meta_scalars("rank")) == [int(rank)]
        np.testing.assert_array_equal(
            tile.get_tensor("field"), np.full((5, 4), 100.0 * int(rank) + int(day))
        )
