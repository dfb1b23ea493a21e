from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys, time
from pathlib import Path
from parsl import python_app
from parslflow import executors, sites
from parslflow.guard import guarding
from parslflow.watch import watching

def add(one, other):
    return one + other

sites.prepare_process()
site = sites.load(sites.Choice("local"), Path(sys.argv[1]))
with guarding(), executors.loaded(site) as kernel, watching(kernel):
    seen = [sorted(kernel.executors)]
    assert python_app(add, executors=["simulation"])(1, 2).result(timeout=60) == 3
    for label in ("simulation", "store", "sampling", "training"):
        executors.start(site, label)
        seen.append(sorted(kernel.executors))
        assert python_app(add, executors=[label])(1, 2).result(timeout=60) == 3
    time.sleep(2.5)  # Parsl has looked twice whether there are blocks enough
    blocks = {one.label: len(one.status_facade) for one in site.parsl.executors}
print(json.dumps([seen, blocks]))
"""


@pytest.mark.timeout(150)
def test_executors_start_when_they_are_needed_with_their_first_blocks(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path],
        capture_output=True, text=True, timeout=140, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    seen, blocks = json.loads(answer.stdout)
    first = ["_parsl_internal", "simulation"]
    every = sorted([*first, "store", "sampling", "training"])
    assert seen == [first, first, [*first, "store"], every, every]
    assert blocks == dict.fromkeys(("simulation", "training", "sampling", "store"), 1)
