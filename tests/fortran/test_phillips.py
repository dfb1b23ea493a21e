"""The two-layer model, run by a real mpiexec on a small grid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from parslflow.provenance import events
from parslflow.provenance.journal import files
from parslflow.provenance.journal import read_execution
from parslflow.provenance.schema import Ended
from parslflow.provenance.schema import Metric
from parslflow.store.client import StoreClient
from parslflow.store.server import StoreServer

from .model import Fields
from .model import Simulate
from .model import Simulation
from .model import Value
from .model import read

NX, NY, DX, DT = 24, 32, 5.0e4, 1800.0
DEPTH, REDUCED_GRAVITY, CORIOLIS, BETA = 2000.0, 0.0196, 6.49e-5, 2.0e-11
HALO = 4
FEATURES = ("KE_vert_sum", "RV_vert_avg", "slope_vert_avg", "Rd_dx")
PROGNOSTIC = ("h", "u", "v", "eddy_energy", "du_1", "du_2", "dv_1", "dv_2")


def assert_same_state(one: Path, other: Path) -> None:
    """Equal to the last bit."""
    for name, values in read(one, *PROGNOSTIC).items():
        assert_array_equal(values, read(other, name)[name], err_msg=name)


def expected_features(h: NDArray, u: NDArray, v: NDArray) -> Fields:
    """The features by their definition, from a state [layer, j, i] with velocity on the faces."""
    west = np.roll(u, 1, axis=2)
    south = np.concatenate([np.zeros_like(v[:, :1]), v[:, :-1]], axis=1)
    energy = 0.25 * (u**2 + west**2 + v**2 + south**2)
    vorticity = np.zeros((2, NY + 1, NX))  # at the eastern corners, from the southern wall
    vorticity[:, 1:-1] = (np.roll(v, -1, axis=2) - v)[:, :-1] / DX - np.diff(u, axis=1) / DX
    vorticity = 0.5 * (vorticity[:, 1:] + vorticity[:, :-1])
    vorticity = 0.5 * (vorticity + np.roll(vorticity, 1, axis=2))
    x_slope = (np.roll(h[1], -1, axis=1) - np.roll(h[1], 1, axis=1)) / (2 * DX)
    at_faces = np.pad(np.diff(h[1], axis=0), ((1, 1), (0, 0))) / DX
    y_slope = 0.5 * (at_faces[1:] + at_faces[:-1])
    f = (CORIOLIS + BETA * DX * (np.arange(NY) + 0.5))[:, None]
    c = np.sqrt(REDUCED_GRAVITY * h[0] * h[1] / (h[0] + h[1]))
    return {
        "KE_vert_sum": (h * energy).sum(axis=0),
        "RV_vert_avg": (h * vorticity).sum(axis=0),
        "slope_vert_avg": np.hypot(x_slope, y_slope),
        "Rd_dx": c / np.sqrt(2 * DX**2 * (f**2 + 2 * c * BETA)),
    }


@pytest.fixture(scope="module")
def lively(simulate: Simulate) -> Simulation:
    """Two days of strong noise with all terms on, on one rank."""
    return simulate(
        time={"days": 2.0}, physics={"perturbation": 0.5}, meke={"scheme": "prognostic"}
    )


def test_mass_is_conserved_to_rounding(simulate: Simulate) -> None:
    done = simulate(2, time={"days": 20.0}, physics={"perturbation": 1.0})
    h = read(done.restart, "h")["h"]
    assert abs(h.sum() / (NX * NY * DEPTH) - 1) < 1e-13
    assert h.min() > 50
    assert all(abs(day["mass_error"]) < 1e-13 for day in done.days)
    assert [day["day"] for day in done.days] == list(range(1, 21))


@pytest.mark.parametrize(
    ("ranks", "px", "py"),
    [(2, 0, 0), (2, 2, 1), (4, 2, 2), (5, 5, 1), (6, 1, 6), (6, 3, 2), (24, 6, 4)],
)
def test_ranks_do_not_change_the_result(
    simulate: Simulate, lively: Simulation, ranks: int, px: int, py: int
) -> None:
    """Not even by rounding, not even with blocks of unequal size as 5 by 1 has."""
    done = simulate(
        ranks,
        domain={"px": px, "py": py},
        time={"days": 2.0},
        physics={"perturbation": 0.5},
        meke={"scheme": "prognostic"},
    )
    assert_same_state(done.restart, lively.restart)


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_restart_is_exact(simulate: Simulate, lively: Simulation, ranks: int) -> None:
    settings = {"physics": {"perturbation": 0.5}, "meke": {"scheme": "prognostic"}}
    first = simulate(2, time={"days": 1.0}, **settings)
    second = simulate(ranks, time={"days": 1.0, "restart_in": str(first.restart)}, **settings)
    assert_same_state(second.restart, lively.restart)
    assert read(second.daily, "time")["time"] == [2.0]
    assert [day["day"] for day in second.days] == [1.0]


def test_the_jet_stays_nearly_balanced(simulate: Simulate) -> None:
    """Its depth mean is not balanced at the start and sloshes for some days."""
    done = simulate(time={"days": 5.0}, physics={"perturbation": 0.0})
    y = DX * (np.arange(NY) + 0.5)
    jet = (y - 8.0e5) / 2.0e5
    u1 = 300 / 2.0e5 / np.cosh(jet) ** 2 * REDUCED_GRAVITY / (CORIOLIS + BETA * y)
    state = read(done.restart, "h", "u", "v")
    assert u1.max() > 0.35
    assert_allclose(state["u"][0], np.broadcast_to(u1[:, None], (NY, NX)), atol=0.02)
    assert_allclose(state["u"][1], 0, atol=0.02)
    assert_allclose(state["v"], 0, atol=0.04)
    h1 = 500 - 300 * np.tanh(jet)
    assert_allclose(state["h"][0], np.broadcast_to(h1[:, None], (NY, NX)), atol=1)
    assert np.ptp(state["u"], axis=2).max() < 1e-12, "what starts without waves stays without"


def test_thickness_diffusion_flattens_the_interface(simulate: Simulate) -> None:
    """A zonal jet of 200 km width on a coarse grid loses height as the diffusion equation says."""
    days, khth = 2.0, 2000.0
    still, diffused = (
        read(
            simulate(
                time={"days": days},
                physics={"perturbation": 0.0, "sponge_days": 1e6},
                meke={"khth": value},
            ).restart,
            "h",
        )["h"][1].mean(axis=1)
        for value in (0.0, khth)
    )
    y = DX * (np.arange(NY) + 0.5)
    jet = (y - 8.0e5) / 2.0e5
    curvature = -2 * 300 / 2.0e5**2 * np.tanh(jet) / np.cosh(jet) ** 2
    loss = khth * days * 86400 * curvature
    assert loss.max() > 1
    assert np.corrcoef(diffused - still, loss)[0, 1] > 0.9
    assert 0.3 < np.dot(diffused - still, loss) / np.dot(loss, loss) < 1.3


def test_the_sponge_restores_the_zonal_mean(simulate: Simulate) -> None:
    """Noise moves the zonal mean; a fast sponge brings it back, a slow one does not."""
    y = DX * (np.arange(NY) + 0.5)
    aim = 1500 + 300 * np.tanh((y - 8.0e5) / 2.0e5)
    fast, slow = (
        simulate(time={"days": 4.0}, physics={"perturbation": 1.0, "sponge_days": days})
        for days in (0.02, 1e4)
    )
    distance = [
        np.abs(read(done.restart, "h")["h"][1].mean(axis=1) - aim).max() for done in (fast, slow)
    ]
    assert distance[0] < 0.2 * distance[1]


def test_daily_output_holds_the_features_of_the_state(lively: Simulation) -> None:
    state = read(lively.restart, "h", "u", "v", "eddy_energy")
    with h5py.File(lively.daily) as daily:
        assert daily["time"][...].tolist() == [1.0, 2.0]
        assert daily["h"].shape == daily["u"].shape == daily["v"].shape == (2, 2, NY, NX)
        for name in ("h", "u", "v"):
            assert_allclose(daily[name][-1], state[name], rtol=1e-6)
        for name, values in expected_features(state["h"], state["u"], state["v"]).items():
            scale = np.abs(values).max()
            assert_allclose(daily[name][-1], values, rtol=1e-5, atol=1e-6 * scale, err_msg=name)
            assert daily[name].attrs["units"]
        assert_allclose(daily["EKE"][-1], DEPTH * state["eddy_energy"], rtol=1e-6)
        assert daily["Kh"][...].min() > 0
        assert_allclose(daily["e"][-1, 1], state["h"][1] - DEPTH, rtol=1e-6)
        assert_allclose(daily["xh"][...], DX * (np.arange(NX) + 0.5))
        assert_allclose(daily["yq"][...], DX * (np.arange(NY) + 1))


def test_without_a_scheme_there_is_no_eddy_energy(simulate: Simulate) -> None:
    done = simulate(output={"interval_days": 0.5}, time={"days": 1.0, "restart_out": "end.nc"})
    with h5py.File(done.daily) as daily:
        assert "EKE" not in daily
        assert daily["time"][...].tolist() == [0.5, 1.0]
    assert (done.folder / "end.nc").is_file()
    assert not list(done.folder.glob("*.part"))


GRID = "&domain nx=24 ny=32 dx=5e4 /\n"


@pytest.mark.parametrize(
    ("ranks", "text", "words"),
    [
        (2, "&domain nx=24 nz=3 /", ["input.nml", "&domain", "nz"]),
        (2, "&fysics perturbation=1. /", ["input.nml", "&fysics", "physics"]),
        (1, "&domain nx=24\n&time dt=900. /", ["input.nml", "&domain", "slash"]),
        (1, "&time dt=1000. /", ["dt", "86400"]),
        (1, "&time days=-1. /", ["days"]),
        (1, "&time restart_interval_days=-1. /", ["restart_interval_days", "or 0"]),
        (1, "&time restart_interval_days=1.0001 /", ["restart_interval_days", "whole"]),
        (1, "&physics coriolis=0. beta=0. /", ["coriolis", "infinite"]),
        (1, "&physics viscosity='laplacian' /", ["viscosity", "smagorinsky"]),
        (1, "&meke alpha_eady=-1. /", ["alphas"]),
        (1, "&meke scheme='magic' /", ["scheme", "prognostic"]),
        (1, "&meke scheme='network' /", ["model"]),
        (1, "&stream list='tiles' /", ["run"]),
        (3, "&domain nx=24 ny=32 px=2 py=2 /", ["2 by 2", "3 ranks", "px*py"]),
        (3, "&domain nx=24 ny=8 px=1 /", ["24 by 8", "fewer ranks"]),
        (2, GRID + "&time dt=21600. /", ["day 0.0", "dt shorter"]),
        (2, GRID + "&time restart_in='none.nc' /", ["none.nc", "restart_in"]),
        (2, GRID + "&time restart_in='input.nml' /", ["input.nml", "restart_in"]),
        (2, GRID + "&time days=0.5 restart_out='no/restart.nc' /", ["no/restart.nc", "folder"]),
        (2, GRID + "&stream list='tiles' run='high' /", ["SSDB"]),
    ],
)
def test_bad_input_ends_with_one_sentence(
    launch: Simulate, monkeypatch: pytest.MonkeyPatch, ranks: int, text: str, words: list[str]
) -> None:
    monkeypatch.delenv("SSDB", raising=False)
    assert_one_sentence(launch(text + "\n", ranks), *words)


def assert_one_sentence(done: Simulation, *words: str) -> None:
    assert done.code != 0
    assert done.stderr.startswith("phillips: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.rstrip().endswith(".")
    for word in words:
        assert word in done.stderr


def test_a_restart_of_another_grid_is_refused(launch: Simulate, lively: Simulation) -> None:
    text = f"&domain nx=24 ny=36 dx=5e4 /\n&time restart_in='{lively.restart}' /\n"
    assert_one_sentence(launch(text, 2), str(lively.restart), "24 by 32", "24 by 36")


def test_a_flow_that_blows_up_stops_naming_the_day(
    launch: Simulate, lively: Simulation, tmp_path: Path
) -> None:
    broken = tmp_path / "restart.nc"
    broken.write_bytes(lively.restart.read_bytes())
    with h5py.File(broken, "r+") as file:
        file["u"][1, 20, 10] = np.nan
    text = GRID + f"&time dt=1800. restart_in='{broken}' /\n"
    assert_one_sentence(launch(text, 2), "day 2.0", "dt shorter")


def test_another_time_step_can_go_on_from_a_restart(simulate: Simulate, lively: Simulation) -> None:
    done = simulate(time={"dt": 900.0, "restart_in": str(lively.restart)})
    assert 0 < done.days[-1]["kinetic_energy"] < 0.02


def test_every_rank_streams_its_tile(
    simulate: Simulate, store: StoreClient, store_server: StoreServer
) -> None:
    done = simulate(
        4,
        {"SSDB": store_server.address},
        domain={"px": 2, "py": 2},
        time={"days": 2.0},
        physics={"perturbation": 0.5},
        stream={"list": "tiles", "run": "high-1"},
    )
    names = store.drain_list("tiles")
    assert names[-1] == "high-1_end"
    assert sorted(names[:-1]) == [
        f"high-1_000000{day}.00000_{rank:06d}" for day in (1, 2) for rank in range(4)
    ]
    end = store.get_dataset("high-1_end").metadata
    assert {key: list(value) for key, value in end.items()} == {
        "times": [2],
        "status": [0],
        "run": ["high-1"],
    }

    daily = read(done.daily, *FEATURES)
    for name in names[:-1]:
        tile = store.get_dataset(name)
        about = {key: value[0] for key, value in tile.metadata.items()}
        assert about["run"] == "high-1"
        assert (about["ranks"], about["ieg"], about["jeg"]) == (4, NX, NY)
        assert about["rank"] == int(name[-6:])
        first_i, first_j = about["idg_offset"], about["jdg_offset"]  # of the array, 0-based
        assert about["iec"] - about["isc"] + 1 == NX // 2
        assert about["jec"] - about["jsc"] + 1 == NY // 2
        i = (first_i + np.arange(NX // 2 + 2 * HALO)) % NX
        j = first_j + np.arange(NY // 2 + 2 * HALO)
        inside = (j >= 0) & (j < NY)
        assert inside.sum() == NY // 2 + HALO
        for field in FEATURES:
            values = tile.tensors[field]
            assert values.dtype == np.float64
            assert values.shape == (i.size, j.size)
            assert np.isnan(values[:, ~inside]).all()
            whole = daily[field][int(about["day"]) - 1]
            scale = np.abs(whole).max()
            assert_allclose(
                values[:, inside].T, whole[np.ix_(j[inside], i)], rtol=1e-6, atol=1e-6 * scale
            )


def test_a_store_that_dies_costs_no_day(
    launch: Simulate, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The run waits, says why it stops and leaves a restart, from which each tile is sent once."""
    case = GRID + "&time days={days} {restart} /\n&stream list='tiles' run='high' time_limit=2. /\n"
    sent: list[str] = []
    with (
        StoreServer(tmp_path_factory.mktemp("first")) as server,
        ThreadPoolExecutor(1) as threads,
    ):
        environment = {"SSDB": server.address}
        running = threads.submit(launch, case.format(days=400, restart=""), 2, **environment)
        with server.client() as client:
            while len(sent) < 10:
                sent += client.drain_list("tiles")
        for pid in server.pids:
            os.kill(pid, signal.SIGKILL)
        done = running.result(timeout=60)
    assert_one_sentence(done, "restart.nc", "go on from there")
    stopped = float(done.stderr.rpartition("of day ")[2].split()[0])
    assert {"daily.nc", "restart.nc"} <= {path.name for path in done.folder.iterdir()}

    with StoreServer(tmp_path_factory.mktemp("second")) as server:
        restart = f"restart_in='{done.restart}'"
        again = launch(case.format(days=2, restart=restart), 2, SSDB=server.address)
        assert again.code == 0, again.stderr
        with server.client() as client:
            names = client.drain_list("tiles")
    days = sorted({int(name.split("_")[1].split(".")[0]) for name in names[:-1]})
    assert days == [stopped, stopped + 1, stopped + 2]
    assert max(int(name.split("_")[1].split(".")[0]) for name in sent) <= stopped
    with h5py.File(again.restart) as file:
        assert "unsent" not in file.attrs


NETWORK = """
import sys, torch
class Network(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = torch.tensor([1.0, 3.0, 100.0, 10.0], dtype=torch.float64)
        eke = (x * weights).sum(1)
        return torch.log1p(eke * float(sys.argv[2])).to(torch.float32)
torch.jit.trace(Network(), torch.ones(5, 4, dtype=torch.float64)).save(sys.argv[1])
"""


def network(path: Path, factor: float) -> bytes:
    """A TorchScript model: ln(1 + EKE) with EKE a weighted sum of the features."""
    subprocess.run([sys.executable, "-c", NETWORK, str(path), str(factor)], check=True, timeout=60)
    return path.read_bytes()


def test_the_network_gives_the_eddy_energy(
    simulate: Simulate,
    store: StoreClient,
    store_server: StoreServer,
    lively: Simulation,
    tmp_path: Path,
) -> None:
    store.set_model("eke", network(tmp_path / "model.pt", 1.0))
    one_step = DT / 86400
    done = simulate(
        4,
        {"SSDB": store_server.address},
        domain={"px": 2, "py": 2},
        time={"days": one_step, "restart_in": str(lively.restart)},
        meke={"scheme": "network"},
        network={"model": "eke", "label": "resnet-7", "filter_scale": 8.0e4},
        output={"interval_days": one_step},
    )
    found = expected_features(**read(lively.restart, "h", "u", "v"))
    eke = (
        found["KE_vert_sum"]
        + 3 * found["RV_vert_avg"]
        + 100 * found["slope_vert_avg"]
        + 10 * found["Rd_dx"] * DX / 8.0e4
    )
    with h5py.File(done.daily) as daily:
        assert_allclose(daily["EKE"][0], eke, rtol=2e-5, atol=1e-4)
        assert daily.attrs["model"] == b"resnet-7"
        assert daily["model"][0].tobytes() == b"resnet-7"
    [day] = done.days
    assert day["out_of_range"] == 0
    assert day["inference_ms"] > 0
    assert day["eke_mean"] == pytest.approx(eke.mean(), rel=0.01)


def test_answers_out_of_range_are_bounded_counted_and_logged(
    simulate: Simulate, store: StoreClient, store_server: StoreServer, tmp_path: Path
) -> None:
    store.set_model("eke", network(tmp_path / "model.pt", 1e9))
    done = simulate(
        2,
        {"SSDB": store_server.address, "PARSLFLOW_JOURNAL": str(tmp_path / "journal")},
        time={"days": 0.25},
        meke={"scheme": "network"},
        network={"model": "eke"},
        output={"interval_days": 0.25},
    )
    assert done.days[-1]["out_of_range"] == 1
    assert_allclose(read(done.daily, "EKE")["EKE"], 2 * DEPTH)
    logged = [event for event in read_log(tmp_path / "journal") if event.series == "inference"]
    assert [(event.rank, event.values["day"]) for event in logged] == [(0, 0.25), (1, 0.25)]
    for event in logged:
        assert event.values["out_of_range"] == NX * NY / 2 * 0.25 * 86400 / DT
        assert 0 < event.values["inference_ms"] <= event.values["inference_ms_largest"]


def read_log(journal: Path) -> list[Metric]:
    """The rows of metrics of the only execution of a journal, which has completed."""
    [paths] = files(journal).values()
    found, problems = read_execution(paths)
    assert problems == []
    assert isinstance(found[-1], Ended)
    assert found[-1].status == "completed"
    return [event for event in found if isinstance(event, Metric)]


def test_in_a_run_the_flow_is_logged_and_stays_the_same(
    simulate: Simulate, lively: Simulation, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    journal.mkdir()
    settings = {"physics": {"perturbation": 0.5}, "meke": {"scheme": "prognostic"}}
    with events.execution(journal, pipeline="p", context="high", name="high-0"):
        done = simulate(2, events.environment(), time={"days": 2.0}, **settings)
    assert_same_state(done.restart, lively.restart)
    logged = read_log(journal)
    assert {(event.rank, event.series) for event in logged} == {(0, "diagnostics")}
    values = [event.values for event in logged]
    assert [row["day"] for row in values] == [n / 8 for n in range(1, 17)]
    for day, row in zip(done.days, values[7::8], strict=True):
        for name in ("kinetic_energy", "max_speed", "cfl"):
            assert day[name] == pytest.approx(row[name], rel=0.01)
        assert day["eke_mean"] == pytest.approx(DEPTH * row["eddy_energy"], rel=0.01)
    last = read(lively.restart, "h", "u", "v")
    assert values[-1]["thinnest"] == last["h"].min()
    assert values[-1]["max_speed"] == max(np.abs(last[name]).max() for name in ("u", "v"))
    assert abs(values[-1]["mass_error"]) < 1e-13


def test_by_hand_nothing_is_logged(lively: Simulation) -> None:
    names = {path.name for path in lively.folder.iterdir()}
    assert names == {"input.nml", "daily.nc", "restart.nc"}


def test_a_model_that_is_not_in_the_store_ends_with_one_sentence(
    launch: Simulate, store: StoreClient, store_server: StoreServer
) -> None:
    del store  # empties the store
    text = GRID + "&meke scheme='network' /\n&network model='nobody' /\n"
    assert_one_sentence(launch(text, 2, SSDB=store_server.address), "nobody")


@pytest.mark.parametrize("name", ["EKE-ResNet", "EKE-Bottleneck"])
def test_inference_in_the_process_gives_the_same_fields(
    simulate: Simulate,
    store: StoreClient,
    store_server: StoreServer,
    networks: Path,
    inference_library: Path,
    name: str,
) -> None:
    store.set_model(name, (networks / f"{name}.script.pt").read_bytes())
    case: dict[str, dict[str, Value]] = {
        "time": {"days": 2.0},
        "physics": {"perturbation": 0.5},
        "meke": {"scheme": "network"},
        "network": {"model": name, "label": name},
    }
    by_store = simulate(2, {"SSDB": store_server.address}, **case)
    in_process = {
        "SSDB": "",
        "PARSLFLOW_INFERENCE": "in-process",
        "PARSLFLOW_MODELS": str(networks),
        "PARSLFLOW_LIBTORCH": str(inference_library),
    }
    by_process = simulate(2, in_process, **case)
    assert_same_state(by_process.restart, by_store.restart)
    fields = [read(done.daily, "EKE", "Kh", "h", "u", "v") for done in (by_store, by_process)]
    for field, values in fields[0].items():
        assert_array_equal(fields[1][field], values, err_msg=field)
    assert fields[0]["EKE"].std() > 0


def test_a_model_that_is_not_in_the_folder_ends_with_one_sentence(
    launch: Simulate, networks: Path, inference_library: Path
) -> None:
    text = GRID + "&meke scheme='network' /\n&network model='nobody' /\n"
    done = launch(
        text,
        2,
        SSDB="",
        PARSLFLOW_INFERENCE="in-process",
        PARSLFLOW_MODELS=str(networks),
        PARSLFLOW_LIBTORCH=str(inference_library),
    )
    assert_one_sentence(done, str(networks / "nobody.script.pt"))
