from __future__ import annotations

import json
from pathlib import Path

import pytest

from .parsl_program import told_by

PROGRAM = """
with guarding(), executors.loaded(site) as kernel, watching(kernel):
    seen = [sorted(kernel.executors)]
    assert python_app(nap, executors=["simulation"])(0.0).result(timeout=60) == 0.0
    for label in ("simulation", "store", "sampling", "training"):
        executors.start(site, label)
        seen.append(sorted(kernel.executors))
        assert python_app(nap, executors=[label])(0.0).result(timeout=60) == 0.0
    time.sleep(2.5)  # Parsl has looked twice whether there are blocks enough
    blocks = {one.label: len(one.status_facade) for one in site.parsl.executors}
print(json.dumps([seen, blocks]))
"""


@pytest.mark.timeout(150)
def test_executors_start_when_they_are_needed_with_their_first_blocks(tmp_path: Path) -> None:
    seen, blocks = json.loads(told_by(PROGRAM, tmp_path))
    first = ["_parsl_internal", "simulation"]
    every = sorted([*first, "store", "sampling", "training"])
    assert seen == [first, first, [*first, "store"], every, every]
    assert blocks == dict.fromkeys(("simulation", "training", "sampling", "store"), 1)
