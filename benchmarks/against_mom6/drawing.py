"""The figures of docs/phillips-against-mom6.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.against_mom6 import climate
from benchmarks.against_mom6 import forecast
from benchmarks.against_mom6.reference import DX
from benchmarks.against_mom6.reference import Field
from benchmarks.against_mom6.reference import Flow
from parslflow.rundir import atomic_path

DPI = 110
LABELS = {
    "u1": "u, upper layer (m/s)",
    "u2": "u, lower layer (m/s)",
    "eta_int": "interface (m)",
    "KE1": "KE, upper layer (m²/s²)",
    "KE2": "KE, lower layer (m²/s²)",
    "KE_vert_sum_raw": "sum of KE·h (m³/s²)",
    "EKE_ref": "EKE that networks learn (m³/s²)",
    "EKE_zonaltime_eddy": "EKE about zonal and time mean (m³/s²)",
    "Rd_dx": "deformation radius over √2 dx",
}


def forecasts(ours: Flow, theirs: Flow, nine: Flow, path: Path) -> None:
    """Where a day's forecasts miss MOM6, by row, and how the difference grows over nine days."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    where, rows, days = figure.subplots(1, 3)
    a, b, c = (forecast.fields(flow) for flow in (ours, theirs[1:], theirs[:-1]))
    missed = (a["u1"] - b["u1"])[-1]
    largest = float(np.abs(missed).max())
    image = where.imshow(
        missed,
        origin="lower",
        extent=(0, 1200, 0, 1600),
        cmap="RdBu_r",
        vmin=-largest,
        vmax=largest,
    )
    x, y = (DX / 1e3 * (np.arange(n) + 0.5) for n in (120, 160))
    where.contour(x, y, b["interface"][-1], levels=8, colors="black", linewidths=0.5)
    where.set(title="u1 after a day, ours minus MOM6's (m/s)", xlabel="x (km)", ylabel="y (km)")
    figure.colorbar(image, ax=where)
    for name in forecast.NAMES:
        error, change = (
            np.sqrt((values**2).mean(axis=(0, 2)))
            for values in (a[name] - b[name], b[name] - c[name])
        )
        rows.plot(error / np.sqrt((change**2).mean()), y, label=name)
        days.plot(
            range(1, 10), forecast.growth(*(forecast.fields(f)[name] for f in (nine, theirs[1:])))
        )
    rows.set(title="rms error after a day / rms change", xlabel="ratio", ylabel="y (km)")
    rows.legend()
    days.set(title="difference / std about the zonal mean", xlabel="days from day 91", yscale="log")
    _save(figure, path)


def profiles(
    members: list[dict[str, Field]],
    windows: list[dict[str, Field]],
    reference: dict[str, Field],
    path: Path,
) -> None:
    """Zonal means: MOM6's, and the range of ours by its protocol and over a year."""
    figure = Figure(figsize=(12, 11), layout="constrained")
    panels = figure.subplots(3, 3, sharey=True).ravel()
    for axes, name in zip(panels, climate.COLUMNS, strict=True):
        y = reference["y_km"]
        for ours, colour, label in (
            (windows, "tab:orange", "ours, a year from day 91"),
            (members, "tab:blue", "ours, MOM6's protocol"),
        ):
            found = np.array([profile[name] for profile in ours])
            axes.fill_betweenx(y, found.min(axis=0), found.max(axis=0), color=colour, alpha=0.25)
            axes.plot(found.mean(axis=0), y, color=colour, label=label)
        axes.plot(reference[name], y, color="black", label="MOM6, 60 days")
        axes.set_xlabel(LABELS[name])
    panels[0].legend(fontsize="small")
    for axes in panels[::3]:
        axes.set_ylabel("y (km)")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
