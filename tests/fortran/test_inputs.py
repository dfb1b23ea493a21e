"""The ready input files of the paper's cases, each for a few steps at its own size."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import pytest

from parslflow.store.client import StoreClient
from parslflow.store.server import StoreServer

from .model import Simulate
from .model import Simulation

INPUTS = Path(__file__).parents[2] / "configs" / "inputs"
STEPS = 2


def shortened(case: str, dt: float) -> str:
    """The file's text for so many steps, the last of which is put out."""
    text = (INPUTS / f"{case}.nml").read_text(encoding="utf-8")
    days = STEPS * dt / 86400
    text, count = re.subn(r"(?m)^(\s*(?:interval_)?days *=) *\S+", rf"\1 {days}", text)
    assert count >= 2
    return text


def assert_as_promised(done: Simulation, case: str, nx: int, ny: int, dt: float) -> None:
    assert (done.code, done.stderr) == (0, "")
    assert sorted(path.name for path in done.folder.glob("*.nc")) == [
        f"{case}-daily.nc",
        f"{case}-restart.nc",
    ]
    with h5py.File(done.folder / f"{case}-restart.nc") as restart:
        assert (restart.attrs["nx"], restart.attrs["ny"]) == (nx, ny)
        assert restart.attrs["dx"] * nx == pytest.approx(1.2e6)
        assert restart.attrs["dx"] * ny == pytest.approx(1.6e6)
        assert restart.attrs["dt"] == dt
        assert restart.attrs["time"] == STEPS * dt
        assert restart["h"][...].sum(axis=0).mean() == pytest.approx(2000, rel=1e-12)


@pytest.mark.parametrize(
    ("case", "nx", "ny", "dt"),
    [
        ("high", 240, 320, 300.0),
        ("middle", 120, 160, 900.0),
        ("low-meke", 60, 80, 1800.0),
        ("finest", 480, 640, 150.0),
    ],
)
def test_the_cases_run_as_they_are(
    launch: Simulate, case: str, nx: int, ny: int, dt: float
) -> None:
    done = launch(shortened(case, dt), 2)
    assert_as_promised(done, case, nx, ny, dt)
    with h5py.File(done.folder / f"{case}-daily.nc") as daily:
        diffuses = daily["Kh"][...].max() > 0
        assert ("EKE" in daily, diffuses) == ((True, True) if case == "low-meke" else (False,) * 2)
        assert daily["time"][...] == pytest.approx([STEPS * dt / 86400])


def test_the_case_with_a_network_asks_for_it_in_the_store(
    launch: Simulate, store: StoreClient, store_server: StoreServer, networks: Path
) -> None:
    store.set_model("eke", (networks / "EKE-ResNet.script.pt").read_bytes())
    done = launch(shortened("low-ml-eke", 1800.0), 2, SSDB=store_server.address)
    assert_as_promised(done, "low-ml-eke", 60, 80, 1800.0)
    with h5py.File(done.folder / "low-ml-eke-daily.nc") as daily:
        assert daily.attrs["eddy_energy_scheme"] == b"network"
        assert daily["model"][0].tobytes() == b"eke"
        assert daily["EKE"][...].max() > 0


def test_every_ready_file_is_tried() -> None:
    tried = {"high", "middle", "low-meke", "low-ml-eke", "finest"}
    assert {path.stem for path in INPUTS.glob("*.nml")} == tried | {"phillips"}
