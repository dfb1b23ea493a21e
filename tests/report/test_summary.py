from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from parslflow.report.comparison import ZonalRow
from parslflow.report.summary import ControlRow
from parslflow.report.summary import IterationRow
from parslflow.report.summary import Losses
from parslflow.report.summary import Summary
from parslflow.report.summary import duration
from parslflow.report.summary import from_json
from parslflow.report.summary import to_json
from parslflow.report.summary import to_text

SUMMARY = Summary(
    experiment="demo",
    run=Path("runs/demo-1"),
    outcome="EKE-ResNet-1 has test loss 0.900, which is good enough.",
    iterations=[
        IterationRow(
            iteration=0,
            samples_seen=0,
            samples_kept=0,
            batch="",
            losses={
                "EKE-ResNet": Losses(0.4121, 0.4551, 1.8321),
                "EKE-Bottleneck": Losses(0.35, 0.41, math.nan),
            },
        ),
        IterationRow(
            iteration=1,
            samples_seen=576000,
            samples_kept=51234,
            batch="batch-1.h5",
            losses={
                "EKE-ResNet": Losses(0.31, 0.35, 0.9),
                "EKE-Bottleneck": Losses(0.33, 0.4, 1.1),
            },
            baselines={"linear": Losses(0.5, 0.6, 0.95)},
        ),
    ],
    chosen="EKE-ResNet-1",
    threshold=1.0,
    controls=[
        ControlRow.of("EKE-ResNet", "new", [0.3, 0.5], [0.9, 0.9]),
        ControlRow.of("EKE-ResNet", "random", [0.25], [1.25]),
    ],
    zonal=[
        ZonalRow("high", 1, 20, *[math.nan] * 5, 22.0, 61.25, 810e3),
        ZonalRow("low_meke", 3, 90, 12.0, 12.5, 11.0, 15.0, 0.75, 40.0, 90.0, 790e3),
        ZonalRow("low_network", 3, 90, 4.0, 5.0, 3.5, 7.0, 0.25, 18.0, 50.5, 830e3),
    ],
    stage_seconds={"generate": 83.24, "train": 3725.0, "sample": 8.31},
    total_seconds=4000.0,
)

TEXT = """\
Experiment    demo
Run           runs/demo-1
Outcome       EKE-ResNet-1 has test loss 0.900, which is good enough.
Chosen model  EKE-ResNet-1
Threshold     test loss at most 1
Total time    1 h 07 min

New samples
---------------------------------------------
iteration  batch          seen    kept  share
---------------------------------------------
        1  batch-1.h5  576,000  51,234   8.9%

Training (loss)
-----------------------------------------------------------------------------
iteration  network         train  validation  test before  test after  enough
-----------------------------------------------------------------------------
        0  EKE-ResNet      0.412       0.455            -       1.832      no
        0  EKE-Bottleneck  0.350       0.410            -           -      no
        1  EKE-ResNet      0.310       0.350        1.832       0.900     yes
        1  EKE-Bottleneck  0.330       0.400            -       1.100      no
        1  linear          0.500       0.600            -       0.950       -

New and random rows (loss)
-------------------------------------------------------
network     rows    seeds     validation           test
-------------------------------------------------------
EKE-ResNet  new         2  0.400 ± 0.141  0.900 ± 0.000
EKE-ResNet  random      1      0.250 ± -      1.250 ± -

Zonal mean EKE (m³/s²)
-----------------------------------------------------------------------------------------------
case                 windows  days    RMS          RMS of windows  ln RMS   mean   most    at y
-----------------------------------------------------------------------------------------------
Phillips-High              1    20      -                       -       -  22.00  61.25  810 km
Phillips-Low-MEKE          3    90  12.00  12.50 (11.00 to 15.00)   0.750  40.00  90.00  790 km
Phillips-Low-ML-EKE        3    90   4.00     5.00 (3.50 to 7.00)   0.250  18.00  50.50  830 km
Phillips-Low-ML-EKE is closer to Phillips-High than Phillips-Low-MEKE: RMS 4.00 against 12.00 m³/s².

Time
------------------------------
stage           time  of total
------------------------------
generate  1 min 23 s        2%
train     1 h 02 min       93%
sample         8.3 s        0%
"""


def test_the_text_shows_samples_losses_before_and_after_and_times() -> None:
    assert to_text(SUMMARY) == TEXT


def test_tables_without_rows_are_left_out() -> None:
    text = to_text(
        replace(SUMMARY, iterations=[], controls=[], zonal=[], stage_seconds={}, chosen="")
    )
    assert "New samples" not in text
    assert "Training" not in text
    assert "random" not in text
    assert "Zonal" not in text
    assert "Time\n" not in text
    assert "Chosen model  none\n" in text


def test_the_json_holds_everything_and_no_nan() -> None:
    content = json.loads(to_json(SUMMARY))
    assert content["run"] == "runs/demo-1"
    assert content["stage_seconds"] == {"generate": 83.24, "train": 3725.0, "sample": 8.31}
    first, second = content["iterations"]
    assert first["losses"]["EKE-Bottleneck"] == {"train": 0.35, "validation": 0.41, "test": None}
    assert second["losses"]["EKE-ResNet"]["test"] == 0.9
    assert second["samples_kept"] == 51234
    assert second["baselines"] == {"linear": {"train": 0.5, "validation": 0.6, "test": 0.95}}
    assert content["controls"][0]["test_spread"] == 0.0
    assert content["controls"][1]["test_spread"] is None
    assert content["zonal"][0]["rms"] is None
    assert content["zonal"][2]["rms"] == 4.0
    assert content["threshold"] == 1.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (247, "4 min 07 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations_are_rounded_without_a_sixtieth_second(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_summary_is_read_back() -> None:
    found = from_json(to_json(SUMMARY))
    assert to_text(found) == to_text(SUMMARY)
    assert math.isnan(found.iterations[0].losses["EKE-Bottleneck"].test)
    assert found.iterations[1] == SUMMARY.iterations[1]


def test_a_network_that_diverged_is_told_of() -> None:
    reason = "EKE-Bottleneck diverged on training-1.h5 in epoch 3: lower 'learning_rate' = 5.0."
    first, second = SUMMARY.iterations
    losses = {"EKE-ResNet": Losses(0.31, 0.35, 0.9)}
    row = replace(second, losses=losses, diverged={"EKE-Bottleneck": reason})
    summary = replace(SUMMARY, iterations=[first, row])
    text = to_text(summary)
    [line] = [line for line in text.splitlines() if line.endswith("diverged")]
    assert line.split() == ["1", "EKE-Bottleneck", "-", "-", "-", "-", "diverged"]
    assert reason in text
    assert from_json(to_json(summary)).iterations[1].diverged == {"EKE-Bottleneck": reason}


def test_rejected_times_are_told() -> None:
    first, second = SUMMARY.iterations
    summary = replace(SUMMARY, iterations=[first, replace(second, times_rejected=2)])
    sentence = "Iteration 1: of 2 times nothing was kept, since a field was not finite"
    assert sentence in to_text(summary)
    assert sentence not in to_text(SUMMARY)
    assert from_json(to_json(summary)).iterations[1].problems[0].startswith(sentence)


def test_a_member_without_data_is_told() -> None:
    first, second = SUMMARY.iterations
    failed = {"2": "phillips ended with exit code 137."}
    summary = replace(SUMMARY, iterations=[first, replace(second, failed=failed)])
    sentence = "Iteration 1 is without member 2: phillips ended with exit code 137."
    assert sentence in to_text(summary).splitlines()
    assert from_json(to_json(summary)) == summary
