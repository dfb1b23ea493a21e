from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .scale import BATCH
from .scale import write_large_run

pytestmark = pytest.mark.timeout(300)

VERSIONS = ("EKE-ResNet-1", "EKE-ResNet-2")
GROWTH = 4.0
"""How much more an answer may take with ten times the artifacts, the process's start included."""


def parslflow(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "parslflow", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("lineage", ["batch-1.h5", "--down"], "went into"),
        ("lineage", ["train-EKE-ResNet-0", "--up"], "samples/training-0.h5"),
        ("diff", VERSIONS, "only EKE-ResNet-2"),
        ("why", [], "went back to it from EKE-ResNet-2"),
        ("why", ["EKE-ResNet-2"], "holds"),
        ("batches", [], "+0.0500"),
        ("samples", ["batch-1.h5", "--by", "rank"], "400 samples"),
        ("samples", ["batch-1.h5", "--by", "place"], "j / i"),
        ("search", ["context=train", "test_loss<0.6"], "train-EKE-ResNet-2"),
        ("models", [], "was deployed"),
        ("verify", [], "all as it was logged"),
    ],
)
def test_a_question_is_answered(
    loop_run: Path, command: str, arguments: list[str], words: str
) -> None:
    answer = parslflow(command, loop_run, *arguments)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert words in answer.stdout
    machine = parslflow(command, loop_run, *arguments, "--format", "json")
    assert json.loads(machine.stdout)


def test_checkout_and_verify_of_a_damaged_run(own_run: Path, tmp_path: Path) -> None:
    (own_run / "samples" / "batch-1.h5").unlink()
    answer = parslflow("verify", own_run)
    assert answer.returncode == 1
    assert answer.stdout.startswith("samples/batch-1.h5, which sample-1-")
    assert " produced, is missing: " in answer.stdout
    assert answer.stderr.count("\n") == 1
    assert parslflow("checkout", own_run, "batch-1.h5").returncode == 0
    assert parslflow("verify", own_run).returncode == 0
    assert parslflow("checkout", own_run, "batch-1.h5").stdout.count("there already") == 1
    target = tmp_path / "copy.h5"
    assert parslflow("checkout", own_run, "batch-2.h5", "--to", target).returncode == 0
    answer = parslflow("checkout", own_run, "batch-1.h5", "--to", target)
    assert answer.returncode == 2
    assert "--to" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_folder_whose_journal_was_logged_by_hand_is_asked_too(own_run: Path) -> None:
    (own_run / "experiment.toml").unlink()
    assert "EKE-ResNet-1" in parslflow("models", own_run).stdout
    assert parslflow("lineage", own_run).returncode == 0
    assert (own_run / "report" / "lineage.svg").is_file()
    assert parslflow("models", own_run / "models").returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("lineage", "nothing.h5"),
        ("diff", "EKE-ResNet-1", "EKE-ResNet-9"),
        ("why", "nothing"),
        ("samples", "nothing.h5", "--by", "day"),
        ("search", "nothing=1"),
        ("checkout", "nothing.h5"),
    ],
)
def test_what_is_not_there_has_one_sentence(loop_run: Path, arguments: tuple[str, ...]) -> None:
    command, *rest = arguments
    answer = parslflow(command, loop_run, *rest)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.count("\n") == 1


def test_answers_take_little_more_with_ten_thousand_artifacts(tmp_path: Path) -> None:
    large, small = tmp_path / "large", tmp_path / "small"
    assert 10_000 <= write_large_run(large) < 10_500
    assert write_large_run(small, files=1) <= 1_500
    questions = [
        ("lineage", "EKE-ResNet-50", "--format", "json"),
        ("lineage", "simulations/generate-99/part-0.nc", "--up"),
        ("diff", "EKE-ResNet-1", "EKE-ResNet-99"),
        ("why",),
        ("batches",),
        ("search", "context=train", "test_loss<0.6"),
        ("search", "path~batch"),
        ("samples", f"batch-{BATCH}.h5", "--by", "rank"),
        ("models",),
    ]
    for command, *rest in questions:
        # The least of three: others may use the machine at the same time.
        few, many = (
            min(cpu_seconds(command, run, *rest) for _ in range(3)) for run in (small, large)
        )
        assert many < GROWTH * few, command


def cpu_seconds(*arguments: str | Path) -> float:
    before = os.times()
    assert parslflow(*arguments).returncode == 0
    after = os.times()
    return (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )
