"""What the stages make of a small simulation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from parslflow.learning.assemble import AssembleInputs
from parslflow.learning.assemble import assemble
from parslflow.learning.prepare import prepare
from parslflow.records import Record

from .synthetic import prepare_inputs
from .synthetic import silent
from .synthetic import write_daily


@dataclass(frozen=True)
class Prepared:
    """What ``prepare`` and ``assemble`` made."""

    daily: Path
    base: Path
    clusters_file: Path
    training_set: Path
    record: Record


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The base data of a small simulation, and a training set of them."""
    folder = tmp_path_factory.mktemp("prepared")
    daily = write_daily(folder / "daily.nc")
    inputs = prepare_inputs(folder, daily)
    record = prepare(inputs, silent)
    assemble(
        AssembleInputs(
            base=inputs.samples,
            batches=[],
            clusters_file=inputs.clusters_file,
            rows=2000,
            seed=3,
            output=folder / "training.h5",
        ),
        silent,
    )
    return Prepared(daily, inputs.samples, inputs.clusters_file, folder / "training.h5", record)
