from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from parslflow import driver
from parslflow import plan
from parslflow.plan import Step
from parslflow.sites import Choice

DEMO = Path(__file__).resolve().parents[1] / "configs" / "experiments" / "demo.toml"


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Step]:
    runs = tmp_path_factory.mktemp("plan") / "runs"
    found = driver.plan(DEMO, Choice("local"), runs)
    assert not runs.exists(), "nothing is written"
    names = [step.name for step in found]
    assert len(set(names)) == len(names), "a name stands for one execution"
    return {step.name: step for step in found}


def test_every_stage_is_there_with_its_place(steps: dict[str, Step]) -> None:
    for name, executor in (
        ("spinup-high", "simulation"),
        ("prepare", "training"),
        ("train-EKE-Bottleneck-3", "training"),
        ("sample-3", "sampling"),
        ("generate-3", "simulation"),
        ("deploy-EKE-ResNet-3", "sampling"),
        ("low-EKE-ResNet-3", "simulation"),
        ("figures", "sampling"),
    ):
        assert steps[name].executor == executor


def test_a_stage_reads_what_an_earlier_one_writes(steps: dict[str, Step]) -> None:
    assert steps["generate-2"].reads == ("generate-1/restart.nc",)
    assert "samples/batch-2.h5" in steps["assemble-2"].reads
    assert "samples/batch-2.h5" not in steps["assemble-1"].reads
    assert "models/EKE-ResNet-1.pt" in steps["train-EKE-ResNet-2"].reads
    assert "generate-3/daily.nc" in steps["figures"].reads


def test_costs_grow_with_the_work(steps: dict[str, Step]) -> None:
    assert steps["prepare"].seconds == 0
    # At 10 km a day has 96 steps of 120 by 160 cells.
    high = steps["generate-1"]
    assert high.seconds * high.cores == pytest.approx(20 * 96 * 19200 * plan.STEP_SECONDS)
    assert steps["low-EKE-ResNet-3"].seconds > 2 * steps["low-meke"].seconds > 0
    assert steps["train-EKE-Bottleneck-0"].seconds > steps["train-EKE-ResNet-0"].seconds > 0


def test_the_command_prints_the_plan_and_starts_nothing(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "parslflow", "run", DEMO, "--dry-run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[0].split() == [
        *("stage", "executor", "cores", "core", "hours", "reads"),
    ]
    assert "core hours, of a core of an AMD EPYC" in answer.stdout
    assert list(tmp_path.iterdir()) == []
