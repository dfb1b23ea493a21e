from __future__ import annotations

import math

import pytest

from parslflow.report.comparison import HEADER
from parslflow.report.comparison import ZonalRow
from parslflow.report.comparison import verdict

NAN = math.nan
HIGH = ZonalRow("high", 1, 20, NAN, NAN, NAN, NAN, NAN, 22.0, 61.25, 810e3)
MEKE = ZonalRow("low_meke", 3, 90, 12.0, 12.5, 11.0, 15.0, 0.75, 40.0, 90.0, 790e3)
NETWORK = ZonalRow("low_network", 3, 90, 4.0, 5.0, 3.5, 7.0, 0.25, 18.0, 50.5, 830e3)


def test_the_rows_pass_through_metrics_that_have_no_nan() -> None:
    metrics = ZonalRow.to_metrics([HIGH, MEKE, NETWORK])
    assert metrics["low_network_rms"] == 4.0
    assert metrics["high_greatest_y"] == 810e3
    assert "high_rms" not in metrics
    high, *low = ZonalRow.of_metrics({"figures": 3, **metrics})
    assert low == [MEKE, NETWORK]
    assert high.cells() == HIGH.cells()
    assert math.isnan(high.rms)


def test_metrics_without_a_comparison_make_no_rows() -> None:
    assert ZonalRow.of_metrics({"figures": 3}) == []


def test_each_row_has_a_cell_for_each_column() -> None:
    assert NETWORK.cells() == (
        *("Phillips-Low-ML-EKE", "3", "90", "4.00", "5.00 (3.50 to 7.00)", "0.250"),
        *("18.00", "50.50", "830 km"),
    )
    assert HIGH.cells()[3:6] == ("-", "-", "-")
    assert len(HEADER) == len(HIGH.cells())


@pytest.mark.parametrize(
    ("meke", "network", "closer"),
    [(MEKE, NETWORK, "Low-ML-EKE"), (NETWORK, MEKE, "Low-MEKE")],
)
def test_the_verdict_names_the_closer_one(meke: ZonalRow, network: ZonalRow, closer: str) -> None:
    rows = [
        HIGH,
        ZonalRow(**(vars(meke) | {"case": "low_meke"})),
        ZonalRow(**(vars(network) | {"case": "low_network"})),
    ]
    assert verdict(rows).startswith(f"Phillips-{closer} is closer to Phillips-High than ")
    assert verdict(rows).endswith("RMS 4.00 against 12.00 m³/s².")


def test_the_verdict_says_where_logarithms_see_it_otherwise() -> None:
    network = ZonalRow(**(vars(NETWORK) | {"log_rms": 1.5}))
    words = "RMS 4.00 against 12.00 m³/s², but not in ln(1 + EKE): 1.500 against 0.750."
    assert verdict([HIGH, MEKE, network]).endswith(words)
