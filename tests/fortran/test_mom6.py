"""The two-layer model against MOM6's own output of the same case at 10 km.

Only where that output lies beside the repository: see docs/phillips-against-mom6.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.against_mom6.climate import domain_energy
from benchmarks.against_mom6.climate import feature_ranges
from benchmarks.against_mom6.climate import profiles
from benchmarks.against_mom6.forecast import budgets
from benchmarks.against_mom6.forecast import skills
from benchmarks.against_mom6.reference import DAYS_FILE
from benchmarks.against_mom6.reference import DX
from benchmarks.against_mom6.reference import PROFILES_FILE
from benchmarks.against_mom6.reference import Flow
from benchmarks.against_mom6.reference import read_daily
from benchmarks.against_mom6.reference import read_days
from benchmarks.against_mom6.reference import read_profiles
from benchmarks.against_mom6.reference import write_start

from .model import Simulate
from .model import Simulation

DATA = Path(__file__).parents[3] / "shared" / "data"
GRID = {"nx": 120, "ny": 160, "dx": DX}

pytestmark = pytest.mark.skipif(
    not ((DATA / DAYS_FILE).is_file() and (DATA / PROFILES_FILE).is_file()),
    reason=f"MOM6's output is not in {DATA}",
)


@pytest.fixture(scope="module")
def theirs() -> Flow:
    return read_days(DATA)


@pytest.fixture(scope="module")
def one_day(
    simulate: Simulate, theirs: Flow, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Flow, Flow]:
    """Our day from each of MOM6's, with its time step and with a sixth of it."""
    starts = tmp_path_factory.mktemp("starts")
    found = []
    for dt, days in ((900.0, range(len(theirs) - 1)), (150.0, range(1))):
        ends = [
            simulate(
                domain=GRID,
                time={
                    "dt": dt,
                    "days": 1.0,
                    "restart_in": str(write_start(starts / f"{day}.nc", theirs, day)),
                },
            )
            for day in days
        ]
        read = [read_daily(end.daily) for end in ends]
        found.append(
            Flow(*(np.concatenate([getattr(end, name) for end in read]) for name in "huv"))
        )
    return found[0], found[1]


@pytest.fixture(scope="module")
def month(simulate: Simulate, theirs: Flow, tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    """Ours from MOM6's day 91 on."""
    start = write_start(tmp_path_factory.mktemp("start") / "day-91.nc", theirs, 0)
    time = {"dt": 900.0, "days": 30.0, "restart_in": str(start)}
    return simulate(domain=GRID, time=time)


def test_a_day_from_each_of_mom6_days_ends_where_mom6_does(
    one_day: tuple[Flow, Flow], theirs: Flow
) -> None:
    """The difference is a small share of the change that MOM6 makes in the day."""
    bounds = {
        **{"surface": 0.04, "interface": 0.022, "u1": 0.025, "v1": 0.03},
        **{"u2": 0.05, "v2": 0.035},
    }
    for day in range(len(one_day[0])):
        after = slice(day + 1, day + 2)
        start = theirs[day : day + 1]
        for name, skill in skills(one_day[0][day : day + 1], theirs[after], start).items():
            assert skill.ratio < bounds[name], (name, day)


def test_a_shorter_time_step_hardly_changes_the_forecast(
    one_day: tuple[Flow, Flow], theirs: Flow
) -> None:
    """By much less than the schemes differ: thickness moves along x and y at once."""
    bounds = {
        **{"surface": 0.03, "interface": 0.006, "u1": 0.006, "v1": 0.006},
        **{"u2": 0.015, "v2": 0.015},
    }
    long, short = one_day
    for name, skill in skills(long[:1], short, theirs[:1]).items():
        assert skill.ratio < bounds[name], name


def test_energies_change_in_a_day_as_those_of_mom6(
    one_day: tuple[Flow, Flow], theirs: Flow
) -> None:
    """No more is made or lost; MOM6's kinetic energy falls by 2.2 % a day meanwhile."""
    ours, mom6 = budgets(one_day[0]), budgets(theirs[1:])
    for name, mean, largest in (
        ("KE1", 5e-4, 2.5e-3),
        ("KE2", 2e-3, 3e-3),
        ("PE", 5e-5, 7e-5),
        ("enstrophy1", 3e-3, 9e-3),
        ("enstrophy2", 3e-3, 7e-3),
    ):
        excess = (ours[name] - mom6[name]) / mom6[name]
        assert abs(excess.mean()) < mean, name
        assert np.abs(excess).max() < largest, name


def test_the_output_has_mom6_own_diagnostics(theirs: Flow) -> None:
    """What is computed from MOM6's fields as we define it is what its profiles hold.

    The profiles are means over 60 days of which the fields are the last 10. The interface and the
    deformation radius change least in between; the former's mean is kept by the sponge.
    """
    reference, found = read_profiles(DATA), profiles(theirs)
    assert np.abs(found["Rd_dx"] - reference["Rd_dx"]).max() < 0.1
    assert np.abs(found["eta_int"] - reference["eta_int"]).max() < 60
    assert found["eta_int"].mean() == pytest.approx(reference["eta_int"].mean(), abs=0.3)
    for name in ("KE1", "KE2", "KE_vert_sum_raw", "EKE_ref", "EKE_zonaltime_eddy"):
        assert np.corrcoef(found[name], reference[name])[0, 1] > 0.88, name


def test_a_month_keeps_the_zonal_means_of_mom6(month: Simulation, theirs: Flow) -> None:
    """The interface, which the sponge holds and the eddies flatten, and the flow it balances."""
    flow = read_daily(month.daily)
    reference, found = read_profiles(DATA), profiles(flow)
    ten_days = profiles(theirs)
    for name, bound in (("eta_int", 25.0), ("Rd_dx", 0.05), ("u1", 0.09), ("u2", 0.045)):
        apart = np.sqrt(((found[name] - reference[name]) ** 2).mean())
        assert apart < bound, name
        # Closer than the ten days that MOM6 went through are, or not much farther.
        own = np.sqrt(((ten_days[name] - reference[name]) ** 2).mean())
        assert apart < 2 * own, name
    energy = domain_energy(flow)
    mom6 = domain_energy(theirs)
    assert np.abs(energy[:9] / mom6[1:] - 1).max() < 0.02


def test_features_have_the_ranges_of_mom6(month: Simulation) -> None:
    """Least, mean and largest over 60 days of MOM6; of KE and EKE the least is about 0."""
    found = feature_ranges(month.daily, 0, DX)
    for name, mean, largest in (
        ("KE_vert_sum", 44.5, 736.0),
        ("EKE", 14.7, 1023.0),
        ("slope_vert_avg", 8.4e-4, 5.7e-3),
        ("Rd_dx_scaled", 0.284, 0.411),
    ):
        assert found[name][1] == pytest.approx(mean, rel=0.35), name
        assert found[name][2] == pytest.approx(largest, rel=0.35), name
    least, _, most = found["RV_vert_avg"]
    assert least == pytest.approx(-0.028, rel=0.35)
    assert most == pytest.approx(0.030, rel=0.35)
    assert found["Rd_dx_scaled"][0] == pytest.approx(0.148, rel=0.35)
