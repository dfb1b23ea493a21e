from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[1] / "configs" / "experiments" / "demo.toml"


def parslflow(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "parslflow", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_names_the_commands(tmp_path: Path) -> None:
    answer = parslflow("--help", folder=tmp_path)
    assert answer.returncode == 0
    for command in ("run", "lineage", "stage", "store"):
        assert command in answer.stdout


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("spinup_days =", "spinup_dais =", "high.spinup_dais"),
        ("layout = [1, 2] ", "layout = [1, 7] ", "choose a layout"),
        ("seed = 2025", 'seed = 2025\nexecutable = "/no/phillips"', "/no/phillips"),
    ],
)
def test_a_wrong_experiment_ends_with_one_sentence_before_anything_starts(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    (tmp_path / "mine.toml").write_text(DEMO.read_text().replace(old, new, 1))
    answer = parslflow("run", "mine.toml", "--site", "local", folder=tmp_path)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.count("\n") == 1
    assert "mine.toml" in answer.stderr
    assert words in answer.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_an_unknown_site_ends_with_one_sentence(tmp_path: Path) -> None:
    answer = parslflow("run", DEMO, "--site", "nowhere", folder=tmp_path)
    assert answer.returncode == 2
    assert "--site nowhere" in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_interpolation_of_no_restart_is_refused(tmp_path: Path) -> None:
    arguments = ["interpolate", "none.nc", "--grid", "60", "80", "--out", "out.nc"]
    answer = parslflow(*arguments, folder=tmp_path)
    assert answer.returncode == 2
    assert "none.nc is no restart" in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert "no whole number" in parslflow(*arguments[:3], "0", "1", folder=tmp_path).stderr


def test_lineage_of_no_run_is_refused(tmp_path: Path) -> None:
    answer = parslflow("lineage", tmp_path, folder=tmp_path)
    assert answer.returncode == 2
    assert "not a run directory" in answer.stderr


def test_the_driver_imports_no_torch() -> None:
    code = "import sys, parslflow.driver; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
