"""The zonal mean of EKE in windows of days, and how far the coarse simulations' is from High's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parslflow.errors import UsageError
from parslflow.learning.clusters import Clusters
from parslflow.report.comparison import ADJUSTMENT_DAYS
from parslflow.report.comparison import WINDOW_DAYS
from parslflow.report.comparison import ZonalRow
from parslflow.report.daily import count_days
from parslflow.report.daily import read_daily

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Profile:
    """Zonal means of EKE against y, each over a window of days.

    Attributes:
        y: (ny,), centres of the rows, m.
        windows: (n, ny), m3/s2; NaN in rows without values.
        days: (n,), how many days each window has.
    """

    y: Array
    windows: Array
    days: NDArray[np.int64]

    @property
    def mean(self) -> Array:
        """(ny,), the mean over all days, m3/s2."""
        return np.asarray(np.average(self.windows, axis=0, weights=self.days))


def eddy_kinetic_energy(kinetic_energy: Array, mean: Array) -> Array:
    """The part of KE_vert_sum (days, ny, nx) above its time mean (ny, nx), 0 where below; m3/s2."""
    return np.maximum(0.0, kinetic_energy - mean)


def high_profile(paths: list[Path], clusters: Clusters, clusters_file: Path) -> Profile:
    """The profile of High over the windows of all ``paths``, each with the base data's time mean.

    EKE is what the networks learn: KE_vert_sum above the time mean, 0 where below.

    Raises:
        UsageError: a file cannot be read or has another grid than the time mean.
    """
    y, means, days = np.empty(0), [], []
    for path in paths:
        for part in windows_of(count_days(path, "KE_vert_sum")):
            energy = read_daily(path, "KE_vert_sum", part)
            if energy.values.shape[1:] != clusters.mke.shape:
                raise UsageError(
                    f"{path} has {energy.values.shape[1:]} cells, but the time mean in "
                    f"{clusters_file} has {clusters.mke.shape}: give the clusters of this grid's "
                    "base data."
                )
            y = energy.y
            means.append(zonal_mean(eddy_kinetic_energy(energy.values, clusters.mke)))
            days.append(len(energy.time))
    return Profile(y, np.array(means), np.array(days))


def low_profile(path: Path) -> Profile:
    """The profile of Low, without its first ``ADJUSTMENT_DAYS`` if it ran for long.

    Raises:
        UsageError: the file cannot be read or has no EKE.
    """
    total = count_days(path, "EKE")
    first = ADJUSTMENT_DAYS if total > 3 * ADJUSTMENT_DAYS else 0
    windows = [read_daily(path, "EKE", part) for part in windows_of(total, first)]
    return Profile(
        windows[0].y,
        np.array([zonal_mean(window.values) for window in windows]),
        np.array([len(window.time) for window in windows]),
    )


def on_rows(profile: Profile, y: Array) -> Profile:
    """``profile`` as the mean over the area of each of the rows ``y`` of another grid.

    Args:
        profile: of a grid with the same walls.
        y: centres of the rows, evenly spaced, m.
    """
    old, new = _edges(profile.y), _edges(y)
    width = np.diff(old)

    def integral(values: Array) -> Array:
        running = np.concatenate([[0.0], np.cumsum(values * width)])
        return np.diff(np.interp(new, old, running))

    known = np.isfinite(profile.windows)
    with np.errstate(invalid="ignore"):
        windows = [
            integral(np.where(there, window, 0.0)) / integral(there.astype(np.float64))
            for there, window in zip(known, profile.windows, strict=True)
        ]
    return Profile(y, np.array(windows), profile.days)


def compare(high: Profile, others: dict[str, Profile], wall: float) -> list[ZonalRow]:
    """How far the ``others`` are from ``high``, and each window of High from its other windows.

    The root mean squares are over the rows that the networks learned from: those next to the walls
    are left out. The mean and the greatest value are over all rows.

    Args:
        high: on its own rows.
        others: by case; all are compared on the rows of the one that has the fewest.
        wall: how far from the walls the networks saw no samples, m.
    """
    y = min((other.y for other in others.values()), key=len)
    high = on_rows(high, y)
    low = {case: on_rows(other, y) for case, other in others.items()}
    edges = _edges(y)
    rows = (y - edges[0] > wall) & (edges[-1] - y > wall) & np.isfinite(high.mean)
    return [
        _row("high", high, [_without(high, n) for n in range(len(high.days))], rows),
        *(_row(case, it, [high.mean] * len(it.days), rows, high.mean) for case, it in low.items()),
    ]


def _row(
    case: str,
    profile: Profile,
    references: list[Array | None],
    rows: NDArray[np.bool_],
    reference: Array | None = None,
) -> ZonalRow:
    """A row of the comparison.

    Args:
        case: its name.
        profile: its windows.
        references: (ny,), what each window is held against; None where there is nothing.
        rows: (ny,), which rows count.
        reference: (ny,), what the mean of all days is held against.
    """
    mean = profile.mean
    distances = [
        np.nan if other is None else _rms(window[rows] - other[rows])
        for window, other in zip(profile.windows, references, strict=True)
    ]
    greatest = int(np.nanargmax(mean))
    between = logarithms = np.nan
    if reference is not None:
        between = _rms(mean[rows] - reference[rows])
        logarithms = _rms(np.log1p(mean[rows]) - np.log1p(reference[rows]))
    return ZonalRow(
        case=case,
        windows=len(profile.days),
        days=int(profile.days.sum()),
        rms=between,
        window_rms=float(np.mean(distances)),
        window_rms_lowest=float(np.min(distances)),
        window_rms_highest=float(np.max(distances)),
        log_rms=logarithms,
        mean=float(np.nanmean(mean)),
        greatest=float(mean[greatest]),
        greatest_y=float(profile.y[greatest]),
    )


def _without(profile: Profile, window: int) -> Array | None:
    """The mean without one window, or None if there is no other."""
    if len(profile.days) == 1:
        return None
    others = np.arange(len(profile.days)) != window
    return Profile(profile.y, profile.windows[others], profile.days[others]).mean


def _rms(difference: Array) -> float:
    return float(np.sqrt(np.mean(difference**2)))


def windows_of(days: int, first: int = 0) -> list[slice]:
    """The windows of ``days`` from ``first`` on; one of what there is if there is no whole one."""
    count = (days - first) // WINDOW_DAYS
    if count == 0:
        return [slice(first, days)]
    return [slice(first + n * WINDOW_DAYS, first + (n + 1) * WINDOW_DAYS) for n in range(count)]


def zonal_mean(field: Array) -> Array:
    """(ny,), the mean of ``field`` (days, ny, nx) over x and days; NaN in rows without values."""
    count = np.isfinite(field).sum(axis=(0, 2))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nansum(field, axis=(0, 2)) / count)


def _edges(y: Array) -> Array:
    """(ny + 1,), the edges of evenly spaced rows with the centres ``y``."""
    half = (y[1] - y[0]) / 2
    return np.append(y - half, y[-1] + half)
