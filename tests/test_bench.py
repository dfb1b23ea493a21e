"""The benchmarks measure what they say, from the command line and at a site."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from parslflow.bench import ROOT
from parslflow.bench import measure
from parslflow.errors import ParslflowError


def benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_figures_go_to_the_file_and_a_table_to_the_terminal(tmp_path: Path) -> None:
    ended = benchmarks("--json", str(tmp_path / "figures.json"), "tiles_24", "smoothing")
    assert ended.returncode == 0, ended.stderr
    assert [line.split()[0] for line in ended.stdout.splitlines()[:3]] == [
        "name",
        "tiles_24",
        "smoothing",
    ]
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert list(figures) == ["tiles_24", "smoothing"]
    for figure in figures.values():
        assert list(figure) == ["figure", "unit", "ours", "against", "runs"]
        assert figure["figure"] == pytest.approx(figure["against"] / figure["ours"])


def test_the_whole_sampler_keeps_what_the_reference_keeps() -> None:
    # The benchmark compares the two files itself.
    ended = benchmarks("sampler_256")
    assert ended.returncode == 0, ended.stderr


def test_an_unknown_name_is_told() -> None:
    ended = benchmarks("tiles_23")
    assert ended.returncode == 2
    assert ended.stderr.startswith("benchmarks: there is no 'tiles_23': choose from tiles_24, ")


def test_a_failure_at_a_site_is_told(tmp_path: Path) -> None:
    with pytest.raises(ParslflowError, match=r"The benchmarks failed, see .*there is no 'nothing'"):
        measure(["nothing"], tmp_path / "figures.json", tmp_path / "log")


def test_the_same_is_measured_at_a_site(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "parslflow", "bench", "--site", "local", "tiles_24"]
    ended = subprocess.run(
        [*command, "--runs", str(tmp_path)], cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert "tiles_24" in ended.stdout
    [figures] = tmp_path.glob("bench-*/benchmarks.json")
    assert list(json.loads(figures.read_text())) == ["tiles_24"]
    assert f"Figures: {figures}" in ended.stdout
