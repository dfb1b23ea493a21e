"""``python -m benchmarks.against_mom6 --data FOLDER --work FOLDER --out FOLDER``: how close we are.

Prints the tables of docs/phillips-against-mom6.md and draws its figures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from benchmarks.against_mom6 import climate
from benchmarks.against_mom6 import drawing
from benchmarks.against_mom6 import forecast
from benchmarks.against_mom6 import runs
from benchmarks.against_mom6.reference import Field
from benchmarks.against_mom6.reference import Flow
from benchmarks.against_mom6.reference import read_daily
from benchmarks.against_mom6.reference import read_days
from benchmarks.against_mom6.reference import read_profiles
from benchmarks.against_mom6.reference import write_start

MEMBERS = 4
COARSE = "&meke khth=1000.0 /\n"
"""MOM6's setting at 20 km."""
AVERAGED = slice(40, 100)
"""Days 41 to 100, which MOM6's profiles are taken to be the means of."""
WINDOW = 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print and draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against_mom6", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="MOM6's output")
    parser.add_argument("--work", type=Path, required=True, help="runs; kept, and used again")
    parser.add_argument("--out", type=Path, required=True, help="where the figures go")
    options = parser.parse_args(arguments)
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    theirs = read_days(options.data)

    halves = {dt: one_day(theirs, work, dt) for dt in (900.0, 450.0, 150.0)}
    for dt, ours in halves.items():
        print_forecasts(ours, theirs, dt)
    growth = read_daily(
        runs.run(work / "nine", 120, 9, write_start(work / "0.nc", theirs, 0)).daily
    )
    print_growth(growth, theirs)
    drawing.forecasts(halves[900.0], theirs, growth, options.out / "mom6_forecasts.png")

    reference = read_profiles(options.data)
    members = ensemble(work)
    print_energy(members)
    means = [climate.profiles(member[AVERAGED]) for member in members]
    year = read_daily(runs.run(work / "year", 120, 365, work / "0.nc").daily)
    windows = [climate.profiles(year[n : n + WINDOW]) for n in range(0, 360, WINDOW)]
    energy = climate.domain_energy(year)
    print("year from day 91, 30-day means of the kinetic energy:")
    print(" ".join(f"{energy[n : n + 30].mean():.4f}" for n in range(0, 360, 30)))
    print_profiles("MOM6's protocol", means, reference)
    print_profiles("the year's windows of 60 days", windows, reference)
    drawing.profiles(means, windows, reference, options.out / "mom6_profiles.png")

    print_ranges("10 km, MOM6's protocol", work / "member-0", 40, 1e4)
    fine = runs.run(work / "fine", 240, 110, runs.on_grid(work / "member-0" / "restart.nc", 240))
    print_fine(fine.daily)
    print_ranges("5 km, days 61 to 110", fine.folder, 60, 5e3)
    return 0


def one_day(theirs: Flow, work: Path, dt: float) -> Flow:
    """Our forecast from each of MOM6's days to the next."""
    ends = []
    for day in range(len(theirs) - 1):
        start = write_start(work / f"{day}.nc", theirs, day)
        ends.append(read_daily(runs.run(work / f"{dt:.0f}-{day}", 120, 1, start, dt=dt).daily))
    return Flow(*(np.concatenate([getattr(end, name) for end in ends]) for name in "huv"))


def ensemble(work: Path) -> list[Flow]:
    """MOM6's protocol: 20 km for a year, then 10 km for 100 days; members start 60 days apart."""
    members = []
    coarse = runs.run(work / "spin-0", 60, 365, groups=COARSE)
    for number in range(MEMBERS):
        if number:
            folder = work / f"spin-{number}"
            coarse = runs.run(folder, 60, WINDOW, coarse.restart, groups=COARSE)
        start = runs.on_grid(coarse.restart, 120)
        members.append(read_daily(runs.run(work / f"member-{number}", 120, 100, start).daily))
    return members


def print_forecasts(ours: Flow, theirs: Flow, dt: float) -> None:
    """The difference after a day, and what the energies gained on MOM6's."""
    print(f"one day from each of nine, time step {dt:.0f} s: error, change, ratio, largest error")
    for name, skill in forecast.skills(ours, theirs[1:], theirs[:-1]).items():
        numbers = f"{skill.error:10.3g}{skill.change:10.3g}{skill.ratio:8.3f}{skill.largest:10.2g}"
        print(f"  {name:<12}{numbers}")
    start, end, found = (forecast.budgets(flow) for flow in (theirs[:-1], theirs[1:], ours))
    for name, values in found.items():
        change, excess = (end[name] - start[name]) / end[name], (values - end[name]) / end[name]
        print(f"  {name:<12}change {change.mean():9.1e}  ours more by {excess.mean():9.1e}", end="")
        print(f" (from {excess.min():.1e} to {excess.max():.1e})")


def print_growth(ours: Flow, theirs: Flow) -> None:
    """The difference over nine days, over MOM6's departure from its zonal mean."""
    a, b = forecast.fields(ours), forecast.fields(theirs[1:])
    print("days from day 91, difference over standard deviation about the zonal mean:")
    for name in forecast.NAMES:
        print(f"  {name:<12}" + " ".join(f"{x:.3f}" for x in forecast.growth(a[name], b[name])))


def print_energy(members: list[Flow]) -> None:
    """The domain's kinetic energy by day."""
    print("kinetic energy on days 1, 60, 80, 100, and over days 41 to 100:")
    for member in members:
        energy = climate.domain_energy(member)
        by_day = " ".join(f"{energy[day - 1]:.4f}" for day in (1, 60, 80, 100))
        print(f"  {by_day}  {energy[AVERAGED].mean():.4f}")


def print_profiles(title: str, ours: list[dict[str, Field]], reference: dict[str, Field]) -> None:
    """MOM6's distance from our mean, in root mean square over y, beside that of ours."""
    print(f"{title}: mean of ours, of MOM6's; distance of MOM6's, of each of ours from the others")
    for name in climate.COLUMNS:
        found = np.array([profile[name] for profile in ours])
        theirs, own = climate.distances(found, reference[name])
        numbers = f"{found.mean():10.4g}{reference[name].mean():10.4g}{theirs:10.3g}"
        print(f"  {name:<20}{numbers}   " + " ".join(f"{one:.3g}" for one in own))


def print_ranges(title: str, folder: Path, first: int, dx: float) -> None:
    """Least, mean and largest of the features."""
    print(f"{title}: least, mean, largest")
    for name, values in climate.feature_ranges(folder / "daily.nc", first, dx).items():
        print(f"  {name:<20}" + " ".join(f"{value:10.3g}" for value in values))


def print_fine(daily: Path) -> None:
    """At 5 km: energy, and what else MOM6's figures are known of."""
    with h5py.File(daily) as file:
        mean = file["KE_vert_sum"][...].mean(axis=(1, 2)) / 2000
        by_day = " ".join(f"{mean[n]:.4f}" for n in (0, 9, 19, 29, 39, 49, 65))
        print(f"5 km, kinetic energy on days 1, 10, 20, 30, 40, 50, 66: {by_day};")
        print(f"  over days 61 to 110 from {mean[60:].min():.4f} to {mean[60:].max():.4f}")
        u, v, e = (file[name][60:].astype(np.float64) for name in "uve")
    curl = ((np.roll(v, -1, axis=-1) - v)[..., :-1, :] - np.diff(u, axis=-2)) / 5e3
    f = climate.CORIOLIS + climate.BETA * 5e3 * np.arange(1, u.shape[-2])[:, None]
    vorticity = np.sqrt(((curl / f) ** 2).mean(axis=(0, 2, 3)))
    fastest = max(np.abs(u).max(), np.abs(v).max())
    print(f"  max |u| {fastest:.2f}, surface std {e[:, 0].std():.3f}, RV/f rms {vorticity}")
    print(f"  interface from {e[:, 1].min():.0f} to {e[:, 1].max():.0f}")


if __name__ == "__main__":
    sys.exit(main())
