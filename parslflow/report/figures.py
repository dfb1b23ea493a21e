"""The figures of a run: vorticity, zonal mean EKE, and losses by epoch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from matplotlib.ticker import NullLocator
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import NDArray

from parslflow.errors import UsageError
from parslflow.learning.clusters import Clusters
from parslflow.records import Artifact
from parslflow.records import Inputs
from parslflow.records import Record
from parslflow.records import Report
from parslflow.report.daily import Daily
from parslflow.report.daily import eddy_kinetic_energy
from parslflow.report.daily import read_daily
from parslflow.report.daily import zonal_profile
from parslflow.report.losses import LossHistory
from parslflow.report.losses import read_losses
from parslflow.rundir import atomic_path
from parslflow.sampling.features import smooth

Array = NDArray[np.float64]

DPI = 130
PROFILE_DAYS = 10
"""How many last days a profile is the mean of."""


class DrawInputs(Inputs):
    """What :func:`draw` needs.

    Attributes:
        base_daily: daily output of Phillips-High that the base data were made of.
        high_daily: daily output of the last Phillips-High run; the base data's if there was none.
        low_meke_daily: daily output of Phillips-Low with prognostic MEKE.
        low_network_daily: daily output of Phillips-Low with the deployed network.
        clusters_file: clusters of the base data, for the time mean and the filter scale.
        journal: the run's journal, for the losses.
        folder: where the figures go.
    """

    base_daily: Path
    high_daily: Path
    low_meke_daily: Path
    low_network_daily: Path
    clusters_file: Path
    journal: Path
    folder: Path


def draw(inputs: DrawInputs, report: Report) -> Record:
    """Draw ``vorticity.png``, ``zonal_mean_eke.png`` and ``losses.png``.

    Raises:
        UsageError: an input file lacks what a figure shows; the message names it.
        ParslflowError: the journal holds no completed training.
    """
    clusters = Clusters.load(inputs.clusters_file)
    figures = {
        "vorticity.png": vorticity_figure(
            read_daily(inputs.high_daily, "RV_vert_avg", days=1),
            read_daily(inputs.low_network_daily, "RV_vert_avg", days=1),
            clusters.filter_scale,
        ),
        "zonal_mean_eke.png": _zonal_mean_figure(inputs, clusters.mke),
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
    read = tuple(Artifact(path, "dataset") for path in dict.fromkeys(daily))
    return Record(read=read, wrote=tuple(wrote), metrics={"figures": len(wrote)})


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


def _zonal_mean_figure(inputs: DrawInputs, mke: Array) -> Figure:
    high = _high_eke(inputs.high_daily, mke, inputs.clusters_file)
    cases = [("Phillips-High", "black", "-", high)]
    if inputs.base_daily != inputs.high_daily:
        base = _high_eke(inputs.base_daily, mke, inputs.clusters_file)
        cases.append(("Phillips-High, base data", "grey", "--", base))
    meke = read_daily(inputs.low_meke_daily, "EKE", PROFILE_DAYS)
    network = read_daily(inputs.low_network_daily, "EKE", PROFILE_DAYS)
    cases.append(("Phillips-Low-MEKE", "tab:blue", "-", meke))
    cases.append(("Phillips-Low-ML-EKE", "tab:orange", "-", network))
    return zonal_mean_figure(cases)


def _high_eke(daily: Path, mke: Array, clusters_file: Path) -> Daily:
    """EKE (m3/s2) of Phillips-High over the last days."""
    energy = read_daily(daily, "KE_vert_sum", PROFILE_DAYS)
    if energy.values.shape[1:] != mke.shape:
        raise UsageError(
            f"{daily} has {energy.values.shape[1:]} cells, but the time mean in {clusters_file} "
            f"has {mke.shape}: give the clusters of this grid's base data."
        )
    return Daily(eddy_kinetic_energy(energy.values, mke), energy.time, energy.x, energy.y)


def zonal_mean_figure(cases: list[tuple[str, str, str, Daily]]) -> Figure:
    """Zonal means of EKE (m3/s2) against y with their range over the days, as the paper's Figure 5.

    Args:
        cases: label, colour, line style and EKE of each.
    """
    figure = Figure(figsize=(7.0, 4.4), layout="constrained")
    axes = figure.subplots()
    for label, colour, style, eke in cases:
        profile = zonal_profile(eke.values)
        y = eke.y / 1e3
        days = f"{len(eke.time)} days" if len(eke.time) > 1 else "1 day"
        axes.plot(y, profile.mean, style, color=colour, label=f"{label} ({days})")
        axes.fill_between(y, profile.lowest, profile.highest, color=colour, alpha=0.15, linewidth=0)
    axes.set_xlabel("y (km)")
    axes.set_ylabel("zonal mean EKE (m³/s²)")
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    axes.grid(alpha=0.3)
    axes.legend(title="mean and range of days")
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
