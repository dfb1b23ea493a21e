"""The loop while a simulation breaks down: a field in the store that is not finite."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import tomlkit

from parslflow.learning.samples import read_attributes
from parslflow.sampling.features import FIELDS
from parslflow.store.client import StoreClient

from .test_faults import at_work
from .test_faults import run_of
from .test_loop import SMALL
from .test_loop import command

pytestmark = pytest.mark.timeout(300)

LIST = "generate-1-tiles"
DAYS = 20


def sampler(run: Path) -> int:
    """The process of the run's first sampler as soon as there is one."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for pid, name in at_work(run):
            if name == "sample-1":
                return pid
        time.sleep(0.005)
    pytest.fail("no sampler began")


def break_one(store: StoreClient) -> str:
    """Put a NaN in the last tile of the list; its name."""
    deadline = time.monotonic() + 60
    while store.list_length(LIST) < DAYS and time.monotonic() < deadline:
        time.sleep(0.05)
    name = store.get_list(LIST)[-1]
    tile = store.get_dataset(name)
    values = tile.tensors[FIELDS[0]].copy()
    # In the middle: what is in a halo comes from another tile.
    values[tuple(n // 2 for n in values.shape)] = np.nan
    store.put_dataset(replace(tile, tensors={**tile.tensors, FIELDS[0]: values}))
    return name


def test_a_time_with_a_field_that_is_not_finite_is_rejected_and_the_loop_goes_on(
    tmp_path: Path,
) -> None:
    experiment = tomlkit.parse(SMALL.read_text())
    experiment["high"]["generate_days"] = DAYS
    experiment["training"]["control_seeds"] = 0
    (tmp_path / "small.toml").write_text(tomlkit.dumps(experiment))
    with (tmp_path / "output").open("wb") as output:
        driver = subprocess.Popen(
            [sys.executable, "-m", "parslflow", "run", "small.toml"],
            cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    run = run_of(tmp_path, set(), driver)
    pid = sampler(run)
    # Held until the tile is broken that it would have taken.
    os.kill(pid, signal.SIGSTOP)
    try:
        with StoreClient.from_address_file(run / "store" / "address.json") as store:
            broken = break_one(store)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert driver.wait(200) == 0, (tmp_path / "output").read_text()

    summary = json.loads((run / "report" / "summary.json").read_text())
    assert summary["iterations"][1]["times_rejected"] == 1
    assert summary["chosen"]
    batch = run / "samples" / "batch-1.h5"
    assert (read_attributes(batch)["times"], read_attributes(batch)["rejected"]) == (DAYS, 1)
    with h5py.File(batch) as file:
        assert np.isfinite(file["features"][:]).all()
    # Which time and why is told where it is looked for.
    assert "of 1 times nothing was kept" in (tmp_path / "output").read_text()
    [journal] = run.glob("journal/sample-1-*.jsonl")
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    [rejected] = [event["values"] for event in events if event.get("series") == "rejected"]
    assert "nan" in rejected["flaw"]
    assert f"{rejected['day']:013.5f}" in broken
    verified = command("verify", run, folder=tmp_path)
    assert verified.returncode == 0, verified.stdout + verified.stderr
