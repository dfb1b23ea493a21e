"""The figures of a run: vorticity, zonal mean EKE, and losses by epoch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from matplotlib.ticker import NullLocator
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import NDArray

from parslflow.learning.clusters import Clusters
from parslflow.records import Artifact
from parslflow.records import Inputs
from parslflow.records import Record
from parslflow.records import Report
from parslflow.report.comparison import CASES
from parslflow.report.comparison import WINDOW_DAYS
from parslflow.report.comparison import ZonalRow
from parslflow.report.daily import Daily
from parslflow.report.daily import read_daily
from parslflow.report.losses import LossHistory
from parslflow.report.losses import read_losses
from parslflow.report.offline import offline_profile
from parslflow.report.zonal import Profile
from parslflow.report.zonal import compare
from parslflow.report.zonal import high_profile
from parslflow.report.zonal import low_profile
from parslflow.rundir import atomic_path
from parslflow.sampling.features import smooth

Array = NDArray[np.float64]

DPI = 130
COLOURS = {
    "high": "black",
    "high_network": "tab:green",
    "low_meke": "tab:blue",
    "low_network": "tab:orange",
}
"""Of the profiles, by case."""


class DrawInputs(Inputs):
    """What :func:`draw` needs.

    Attributes:
        base_daily: daily output of Phillips-High that the base data were made of.
        high_daily: daily output of the last Phillips-High run; the base data's if there was none.
        low_meke_daily: daily output of Phillips-Low with prognostic MEKE.
        low_network_daily: daily output of Phillips-Low with the deployed network.
        script: the deployed network as TorchScript.
        clusters_file: clusters of the base data, for the time mean and the filter scale.
        journal: the run's journal, for the losses.
        folder: where the figures go.
    """

    base_daily: Path
    high_daily: Path
    low_meke_daily: Path
    low_network_daily: Path
    script: Path
    clusters_file: Path
    journal: Path
    folder: Path


def draw(inputs: DrawInputs, report: Report) -> Record:
    """Draw ``vorticity.png``, ``zonal_mean_eke.png`` and ``losses.png``.

    What the profiles of EKE say in numbers is in the metrics. High's is over the base data and the
    last run of High together.

    Raises:
        UsageError: an input file lacks what a figure shows; the message names it.
        ParslflowError: the journal holds no completed training.
    """
    clusters = Clusters.load(inputs.clusters_file)
    # The more days, the closer to what High has in the long run.
    runs = list(dict.fromkeys((inputs.base_daily, inputs.high_daily)))
    high = high_profile(runs, clusters, inputs.clusters_file)
    others = {
        "high_network": offline_profile(runs, inputs.script, clusters),
        "low_meke": low_profile(inputs.low_meke_daily),
        "low_network": low_profile(inputs.low_network_daily),
    }
    wall = clusters.wall_rows * clusters.dx
    last_day = slice(-1, None)
    figures = {
        "vorticity.png": vorticity_figure(
            read_daily(inputs.high_daily, "RV_vert_avg", last_day),
            read_daily(inputs.low_network_daily, "RV_vert_avg", last_day),
            clusters.filter_scale,
        ),
        "zonal_mean_eke.png": zonal_mean_figure({"high": high, **others}, wall),
        "losses.png": losses_figure(read_losses(inputs.journal)),
    }
    wrote = []
    for number, (name, figure) in enumerate(figures.items(), start=1):
        path = inputs.folder / name
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=DPI)
        wrote.append(Artifact(path, "dataset", {"dpi": DPI}))
        report("figure", figure=number, figures=len(figures))
    daily = (
        inputs.base_daily,
        inputs.high_daily,
        inputs.low_meke_daily,
        inputs.low_network_daily,
        inputs.clusters_file,
    )
    read = (
        *(Artifact(path, "dataset") for path in dict.fromkeys(daily)),
        Artifact(inputs.script, "model"),
    )
    metrics = ZonalRow.to_metrics(compare(high, others, wall))
    return Record(read=read, wrote=tuple(wrote), metrics={"figures": len(wrote), **metrics})


def vorticity_figure(high: Daily, low: Daily, filter_scale: float) -> Figure:
    """Maps of the last day's vorticity on one colour scale, as Figure 3 of the paper.

    Args:
        high: RV_vert_avg (m/s) of Phillips-High, drawn as it is and smoothed.
        low: RV_vert_avg (m/s) of Phillips-Low.
        filter_scale: of the smoothing, m.
    """
    raw = high.values[-1]
    smoothed = smooth(raw, high.spacing, filter_scale)
    panels = (
        (f"a) High, day {high.time[-1]:g}", raw, high),
        (f"b) High, {filter_scale / 1e3:g} km filter", smoothed, high),
        (f"c) Low, day {low.time[-1]:g}", low.values[-1], low),
    )
    limit = colour_limit([field for _, field, _ in panels])
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    row = figure.subplots(1, len(panels), sharex=True, sharey=True)
    for axes, (title, field, grid) in zip(row, panels, strict=True):
        half = grid.spacing / 2
        edges = (grid.x[0] - half, grid.x[-1] + half, grid.y[0] - half, grid.y[-1] + half)
        image = axes.imshow(
            field,
            origin="lower",
            extent=tuple(edge / 1e3 for edge in edges),
            cmap="RdBu_r",
            vmin=-limit,
            vmax=limit,
            interpolation="nearest",
        )
        axes.set_title(title)
        axes.set_xlabel("x (km)")
    row[0].set_ylabel("y (km)")
    figure.colorbar(
        image,
        ax=row,
        extend="both",
        shrink=0.9,
        label="vorticity, sum over layers times thickness (m/s)",
    )
    return figure


def colour_limit(fields: list[Array]) -> float:
    """The largest of the fields' 98th percentiles of absolute values, without NaN; never 0."""
    limit = max(float(np.nanpercentile(np.abs(field), 98)) for field in fields)
    return limit or 1.0


def zonal_mean_figure(profiles: dict[str, Profile], wall: float) -> Figure:
    """Zonal means of EKE (m3/s2) against y with their range over windows, as the paper's Figure 5.

    Args:
        profiles: by case.
        wall: how far from the walls the networks saw no samples, m; grey.
    """
    figure = Figure(figsize=(7.0, 4.4), layout="constrained")
    axes = figure.subplots()
    for case, profile in profiles.items():
        y = profile.y / 1e3
        total = int(profile.days.sum())
        days = f"{total} days" if total > 1 else "1 day"
        lowest, highest = profile.windows.min(axis=0), profile.windows.max(axis=0)
        axes.plot(y, profile.mean, color=COLOURS[case], label=f"{CASES[case]} ({days})")
        axes.fill_between(y, lowest, highest, color=COLOURS[case], alpha=0.15, linewidth=0)
    width = y[0] + y[-1]
    axes.set_xlim(0, width)
    for start, end in ((0, wall / 1e3), (width - wall / 1e3, width)):
        axes.axvspan(start, end, color="grey", alpha=0.15, linewidth=0)
    axes.set_xlabel("y (km); the networks learned nothing of the grey rows")
    axes.set_ylabel("zonal mean EKE (m³/s²)")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(title=f"mean, and range of windows of {WINDOW_DAYS} days")
    return figure


def losses_figure(histories: dict[str, LossHistory]) -> Figure:
    """Losses by epoch over all iterations, one panel for each network."""
    figure = Figure(figsize=(4.5 * len(histories), 4.0), layout="constrained")
    panels = figure.subplots(1, len(histories), sharey=True, squeeze=False)[0]
    for axes, (network, history) in zip(panels, histories.items(), strict=True):
        # A gap between iterations, because other data begin there.
        borders = history.ends[:-1]
        epochs = np.insert(np.arange(1.0, len(history.train) + 1), borders, np.nan)
        training = np.insert(history.train, borders, np.nan)
        validation = np.insert(history.validation, borders, np.nan)
        axes.plot(epochs, training, ".-", markersize=3, color="tab:blue", label="training")
        axes.plot(epochs, validation, ".-", markersize=3, color="tab:orange", label="validation")
        axes.plot(history.ends, history.test, "ko:", label="test (withheld cluster)")
        for border in borders:
            axes.axvline(border + 0.5, color="grey", linewidth=0.8, linestyle="--")
        axes.set_title(network)
        axes.set_xlabel("epoch (dashed: new samples)")
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
    axis = panels[0].yaxis
    axis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())
    panels[0].set_ylabel("mean squared error of ln(1 + EKE)")
    panels[0].legend()
    return figure
