"""What the zonal mean EKE of a run's simulations says, in numbers and in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import fields

from parslflow.records import Value
from parslflow.report.tables import NONE

CASES = {
    "high": "Phillips-High",
    "high_network": "network on High",
    "low_meke": "Phillips-Low-MEKE",
    "low_network": "Phillips-Low-ML-EKE",
}
"""Whose zonal mean EKE is compared, as they are called in print. The second is what the deployed
network answers to High's own fields: its error without the coarse flow's."""
HEADER = ("case", "windows", "days", "RMS", "RMS of windows", "ln RMS", "mean", "most", "at y")
WINDOW_DAYS = 30
"""How many days make a window; one that is not whole is left out where there are whole ones."""
ADJUSTMENT_DAYS = 30
"""The days at the start of Low that are left out where it ran for more than three times as many:
what it starts from was made without the network."""


@dataclass(frozen=True)
class ZonalRow:
    """The zonal mean EKE of a simulation, in m3/s2, and how far it is from High's.

    High's windows of days are held against the mean of its other windows, which is what chance
    alone gives, Low's against the mean of High. Distances are root mean squares over y without the
    rows next to the walls; NaN where there is nothing to compare with.

    Attributes:
        case: one of ``CASES``.
        windows: how many.
        days: in all windows together.
        rms: distance of the mean of all windows from High's.
        window_rms: mean distance of a window.
        window_rms_lowest: the least of them.
        window_rms_highest: the greatest of them.
        log_rms: as ``rms``, of ln(1 + the zonal mean EKE).
        mean: over the domain.
        greatest: of all y.
        greatest_y: where that is, m.
    """

    case: str
    windows: int
    days: int
    rms: float
    window_rms: float
    window_rms_lowest: float
    window_rms_highest: float
    log_rms: float
    mean: float
    greatest: float
    greatest_y: float

    @staticmethod
    def to_metrics(rows: list[ZonalRow]) -> dict[str, Value]:
        """The rows as metrics of one stage, without what is NaN."""
        return {
            f"{row.case}_{key}": value
            for row in rows
            for key, value in asdict(row).items()
            if key != "case" and math.isfinite(value)
        }

    @staticmethod
    def of_metrics(metrics: Mapping[str, Value]) -> list[ZonalRow]:
        """The rows that :meth:`to_metrics` made into metrics."""
        return [
            ZonalRow(
                case,
                int(metrics[f"{case}_windows"]),
                int(metrics[f"{case}_days"]),
                *(float(metrics.get(f"{case}_{name}", math.nan)) for name in NUMBERS),
            )
            for case in CASES
            if f"{case}_windows" in metrics
        ]

    def cells(self) -> tuple[str, ...]:
        """The row in print, under ``HEADER``."""
        lowest, highest = self.window_rms_lowest, self.window_rms_highest
        span = f"{self.window_rms:.2f} ({lowest:.2f} to {highest:.2f})"
        return (
            CASES[self.case],
            str(self.windows),
            str(self.days),
            f"{self.rms:.2f}" if math.isfinite(self.rms) else NONE,
            span if math.isfinite(self.window_rms) else NONE,
            f"{self.log_rms:.3f}" if math.isfinite(self.log_rms) else NONE,
            f"{self.mean:.2f}",
            f"{self.greatest:.2f}",
            f"{self.greatest_y / 1e3:g} km",
        )


NUMBERS = tuple(one.name for one in fields(ZonalRow) if one.type == "float")
"""What of a row can be NaN."""


def verdict(rows: list[ZonalRow]) -> str:
    """Which of the Lows is closer to High, in one sentence; and by logarithms, if that differs."""
    low = [row for row in rows if row.case.startswith("low")]
    closer, other = sorted(low, key=lambda row: row.rms)
    sentence = (
        f"{CASES[closer.case]} is closer to {CASES['high']} than {CASES[other.case]}: "
        f"RMS {closer.rms:.2f} against {other.rms:.2f} m³/s²"
    )
    if closer.log_rms > other.log_rms:
        sentence += f", but not in ln(1 + EKE): {closer.log_rms:.3f} against {other.log_rms:.3f}"
    return f"{sentence}."
