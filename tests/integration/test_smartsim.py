"""The loop with a store that SmartSim starts: the experiment of `test_loop`, but smaller."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tomlkit

from tests.integration.test_loop import SMALL
from tests.integration.test_loop import processes_that_name

pytestmark = pytest.mark.timeout(300)


def parslflow(*arguments: str | Path, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "parslflow", *map(str, arguments)],
        cwd=folder, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_loop_runs_with_a_store_that_smartsim_starts(tmp_path: Path) -> None:
    experiment = tomlkit.parse(SMALL.read_text())
    experiment["store"]["launcher"] = "smartsim"
    experiment["high"]["spinup_days"] = 25
    experiment["low"]["spinup_days"] = 5
    experiment["training"]["networks"] = ["EKE-Bottleneck"]
    experiment["training"]["rows"] = 1000
    for part in ("first", "again"):
        experiment["training"][part]["epochs"] = 1
    (tmp_path / "experiment.toml").write_text(tomlkit.dumps(experiment))
    parslflow("store", "install-smartsim", folder=tmp_path)
    parslflow("run", "experiment.toml", folder=tmp_path)
    [run] = (tmp_path / "runs").glob("small-*")

    summary = json.loads((run / "report" / "summary.json").read_text())
    assert summary["iterations"][1]["samples_seen"] > 0
    assert (run / "simulations" / "low-network" / "daily.nc").is_file()
    # SmartSim started the store, and the ranks of the simulations and the sampler used it.
    assert (run / "store" / "smartsim" / "smartsim_db.dat").is_file()
    assert "User requested shutdown" in (run / "store" / "server.log").read_text()
    assert processes_that_name(run) == []
