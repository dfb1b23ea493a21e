"""A copy of the small logged run, for tests that write into it or change its files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from parslflow.provenance import graph
from parslflow.provenance.graph import Graph

from ..conftest import LoggedRun

EXPERIMENT = 'name = "small"\nseed = 7\n[training]\nnetworks = ["EKE-ResNet"]\nrate = 1e-3\n'
STAGE = '{"stage": "train", "inputs": {"weights": "/somewhere/a.pt", "settings": {"epochs": 300}}}'


@pytest.fixture(scope="session")
def small_run(logged_run: LoggedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("export") / "small run"
    shutil.copytree(logged_run.root, root, symlinks=True)
    (root / "experiment.toml").write_text(EXPERIMENT)
    (root / "environment.json").write_text('{"python": "3.11.7"}')
    (root / "stages").mkdir()
    (root / "stages" / "train-EKE-ResNet-0.json").write_text(STAGE)
    return root


@pytest.fixture(scope="session")
def small_graph(small_run: Path) -> Graph:
    return graph.read(small_run)
