"""Findings at this machine as it is, and at a site with faults."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from parslflow import probe

SMALL = Path(__file__).parent / "integration" / "small.toml"

FAULTY = """
import dataclasses
from pathlib import Path
from parslflow import sites

def site(run_dir):
    local = sites.load(sites.Choice("local"), run_dir)
    training = next(one for one in local.parsl.executors if one.label == "training")
    training.provider.worker_init = "export PYTHONPATH={shadow}:$PYTHONPATH"
    sampling = next(one for one in local.parsl.executors if one.label == "sampling")
    sampling.provider.worker_init = "exit 3"
    launch = ("mpiexec", "--no-such-option", "-n", "{{ranks}}")
    return dataclasses.replace(local, launch=launch, device="cuda:7")
"""


def doctor(folder: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "parslflow", "doctor", SMALL, *options]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=280, check=False
    )


@pytest.mark.timeout(300)
def test_a_site_that_is_well_leaves_nothing_behind(tmp_path: Path) -> None:
    answer = doctor(tmp_path)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    lines = answer.stdout.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    for label in ("simulation", "training", "sampling", "store"):
        assert any(line.startswith(f"ok    workers of '{label}': answered") for line in lines)
    assert "store from 'simulation': answers" in answer.stdout
    assert "with 2 ranks: a day of High in" in lines[-1]
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.timeout(300)
def test_faults_are_told_with_their_cures(tmp_path: Path) -> None:
    shadow = tmp_path / "shadow" / "numpy-0.1.dist-info"
    shadow.mkdir(parents=True)
    (shadow / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.1\n")
    (tmp_path / "faulty.py").write_text(FAULTY.format(shadow=shadow.parent))
    answer = doctor(tmp_path, "--site", "faulty.py", "--patience", "25")
    assert answer.returncode == 1, answer.stdout + answer.stderr
    found = answer.stdout
    assert "FAIL  software of 'training': numpy 0.1 (here" in found
    assert "environment in the site's 'worker_init'" in found
    assert "FAIL  device of 'training':" in found
    assert "mend the site's 'device'" in found
    assert "FAIL  workers of 'sampling':" in found
    assert "FAIL  'mpiexec --no-such-option -n {ranks}' with 2 ranks:" in found
    assert "ok    store from 'simulation': answers" in found
    assert "Traceback" not in answer.stderr
    [run] = (tmp_path / "runs").iterdir()
    assert f"at faulty.py; logs are in {run}" in answer.stderr


def test_a_folder_that_is_not_there_is_seen_as_such(tmp_path: Path) -> None:
    place = probe.look(tmp_path / "none", "")
    assert (place["token"], place["free"], place["device"]) == ("", 0, "")
    assert place["versions"] == probe.versions()
    (tmp_path / "token").write_text("abc")
    place = probe.look(tmp_path, "cpu")
    assert (place["token"], place["device"]) == ("abc", "")
    assert place["free"] > 0
    assert (tmp_path / f"seen-by-{place['host']}").exists()


def test_a_store_that_is_not_there_is_seen_as_such(tmp_path: Path) -> None:
    assert "address.json" in probe.reach_store(tmp_path / "address.json")
