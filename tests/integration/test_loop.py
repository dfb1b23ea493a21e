"""The whole loop with real MPI ranks, a real store, Parsl and CMF, as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import pytest

from parslflow.provenance.models import models

pytestmark = pytest.mark.timeout(400)

SMALL = Path(__file__).with_name("small.toml")


@dataclass
class Finished:
    """A finished run inside a user's own git repository."""

    folder: Path
    run: Path
    output: str
    git_before: str
    summary: dict[str, Any]


def git_state(folder: Path) -> str:
    """Branch, commit and changes of the repository in ``folder``."""
    return "".join(
        subprocess.run(
            ["git", *command], cwd=folder, check=True, capture_output=True, text=True, timeout=20
        ).stdout
        for command in (["status", "--porcelain", "--branch"], ["rev-parse", "HEAD"], ["log"])
    )


def command(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "parslflow", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )


def test_progress_and_summary_are_shown(finished: Finished) -> None:
    for words in ("generate-1", "train-EKE-ResNet-1", "Chosen model", str(finished.run)):
        assert words in finished.output
    assert [row["iteration"] for row in finished.summary["iterations"]] == [0, 1]
    assert finished.summary["chosen"] in finished.output


def test_every_time_of_high_was_sampled_once(finished: Finished) -> None:
    row = finished.summary["iterations"][1]
    # At most 30 columns times (40 - 2*2) rows times 3 days; cells without EKE are no samples.
    assert row["samples_kept"] < row["samples_seen"] <= 30 * 36 * 3
    with h5py.File(finished.run / "samples" / row["batch"]) as batch:
        assert batch.attrs["times"] == 3
        assert batch["eke"].shape == (row["samples_kept"],)
        origins = list(zip(batch["day"][:], batch["j"][:], batch["i"][:], strict=True))
    assert len(set(origins)) == len(origins)


def test_the_network_answered_every_step_of_low(finished: Finished) -> None:
    low = finished.run / "simulations" / f"low-{finished.summary['chosen']}"
    assert finished.summary["chosen"] in (low / "input.nml").read_text()
    days = [line for line in (low / "stdout.log").read_text().splitlines() if "inference" in line]
    assert len(days) == 3
    with h5py.File(low / "daily.nc") as daily:
        assert (daily["EKE"][-1] >= 0).all()
        assert daily["EKE"][-1].max() > 0


def test_the_lineage_goes_back_to_the_first_restart(finished: Finished) -> None:
    answer = command("lineage", finished.run, "--format", "json", folder=finished.folder)
    assert answer.returncode == 0, answer.stderr
    graph = json.loads(answer.stdout)
    text = json.dumps(graph["nodes"])
    for name in ("spinup-high-15x20", "interpolate-high-30x40/restart.nc", "spinup-high/input.nml"):
        assert name in text
    for name in (finished.summary["chosen"], "batch-1.h5", "base.h5", "restart.nc", "generate-1"):
        if name in ("batch-1.h5", "generate-1") and finished.summary["chosen"].endswith("-0"):
            continue
        assert name in text
    names = {node["id"] for node in graph["nodes"]}
    assert all({edge["source"], edge["target"]} <= names for edge in graph["edges"])

    tree = command("lineage", finished.run, folder=finished.folder)
    assert finished.summary["chosen"] in tree.stdout
    ElementTree.parse(finished.run / "report" / "lineage.svg")  # noqa: S314  (our own file)
    page = ElementTree.parse(finished.run / "report" / "index.html")  # noqa: S314
    assert page.find(".//{http://www.w3.org/2000/svg}svg") is not None


def test_the_control_is_in_the_report_and_none_of_the_models(finished: Finished) -> None:
    networks = ("EKE-ResNet", "EKE-Bottleneck")
    assert [(row["network"], row["rows"]) for row in finished.summary["controls"]] == [
        (network, rows) for network in networks for rows in ("new", "random")
    ]
    for row in finished.summary["iterations"]:
        assert set(row["baselines"]) == {"constant", "linear", "boosted_trees"}
        assert row["baselines"]["constant"]["test"] > 0
    versions = {model.version for model in models(finished.run)}
    assert versions == {f"{network}-{iteration}" for network in networks for iteration in (0, 1)}


def test_figures_are_drawn(finished: Finished) -> None:
    for name in ("vorticity", "zonal_mean_eke", "losses"):
        path = finished.run / "report" / f"{name}.png"
        assert path.read_bytes().startswith(b"\x89PNG")


def test_the_zonal_means_are_compared(finished: Finished) -> None:
    high, offline, meke, network = finished.summary["zonal"]
    cases = [row["case"] for row in (high, offline, meke, network)]
    assert cases == ["high", "high_network", "low_meke", "low_network"]
    assert high["rms"] is None
    assert meke["rms"] > 0
    assert network["rms"] > 0
    assert "Phillips-High" in (finished.run / "report" / "index.html").read_text(encoding="utf-8")


def test_the_users_repository_is_untouched(finished: Finished) -> None:
    assert git_state(finished.folder) == finished.git_before


def test_a_stage_can_be_run_again_by_hand(finished: Finished) -> None:
    answer = command("stage", finished.run / "stages" / "assemble-0.json", folder=finished.folder)
    assert answer.returncode == 0, answer.stderr
    assert "training-0.h5" in answer.stdout


def test_no_process_is_left_behind(finished: Finished) -> None:
    deadline = time.monotonic() + 10
    while left := processes_that_name(finished.run):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def processes_that_name(path: Path) -> list[str]:
    """Command lines of other processes that mention ``path``."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(path) in line:
            found.append(line)
    return found
