"""The store's commands, as a user at a shell gives them."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.store import background
from parslflow.store.client import StoreClient
from parslflow.store.wire import Dataset
from tests.store.test_server import alive

Store = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Store]:
    """Run ``parslflow store`` in a folder; what was started is stopped at the end."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "parslflow", "store", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    yield run
    run("stop")


def exported(answer: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The variables of the line for simulations."""
    [line] = re.findall(r"export (.*)", answer.stdout)
    return dict(word.split("=", 1) for word in line.split())


def pids(folder: Path) -> list[int]:
    state = json.loads((folder / "parslflow-store" / "store.json").read_text())
    return [pid for pid, _ in state["processes"]]


def test_a_store_outlives_the_shell_and_is_stopped(command: Store, tmp_path: Path) -> None:
    started = command("start", "--memory-mb", "64")
    assert started.returncode == 0, started.stderr
    folder = tmp_path / "parslflow-store"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with StoreClient.of_environment(exported(started)) as store:
        store.put_tensor("x", np.ones(3))
    status = command("status")
    assert re.search(r"memory +[\d.]+ MiB of 64 MiB", status.stdout)
    assert re.search(r"keys +1\n", status.stdout)
    found = json.loads(command("status", "--json").stdout)
    assert found["answers"] is True
    assert found["keys"] == 1
    again = command("start")
    assert again.returncode == 2
    assert "runs in" in again.stderr
    assert "already" in again.stderr
    [pid] = pids(tmp_path)
    stopped = command("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert not alive(pid)
    assert not Path(found["address"].removeprefix("unix://")).parent.exists()
    assert not (folder / "address.json").exists()
    for verb in ("stop", "status"):
        none = command(verb)
        assert none.returncode == 2
        assert "No store runs in" in none.stderr


def test_a_port_asks_for_its_password(command: Store) -> None:
    variables = exported(command("start", "--listen", "loopback"))
    with StoreClient.of_environment(variables) as store:
        store.ping()
    assert stat.S_IMODE(os.stat(variables["PARSLFLOW_STORE_PASSWORD_FILE"]).st_mode) == 0o600
    with (
        StoreClient(variables["SSDB"]) as stranger,
        pytest.raises(ParslflowError, match="password"),
    ):
        stranger.ping()


def test_the_network_reaches_a_store_that_asks_for_a_password(command: Store) -> None:
    variables = exported(command("start", "--listen", "network"))
    host, _, port = variables["SSDB"].rpartition(":")
    assert host == os.uname().nodename
    with StoreClient.of_environment(variables) as store:
        store.ping()
        assert store.connection.config_get("bind")["bind"] == "* -::*"
    with StoreClient(f"127.0.0.1:{port}") as stranger, pytest.raises(ParslflowError, match="pass"):
        stranger.ping()


def test_a_cluster_without_a_password(command: Store, tmp_path: Path) -> None:
    variables = exported(command("start", "--shards", "3", "--no-password"))
    assert variables["SR_DB_TYPE"] == "Clustered"
    assert "PARSLFLOW_STORE_PASSWORD_FILE" not in variables
    with StoreClient.of_environment(variables) as store:
        store.put_tensor("x", np.ones(3))
    assert json.loads(command("status", "--json").stdout)["shards"] == 3
    assert len(pids(tmp_path)) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--shards", "2"], "neither 1 nor 3 or more"),
        (["--listen", "network", "--no-password"], "must have a password"),
        (["--memory-mb", "0"], "no whole number"),
    ],
)
def test_wrong_settings_start_nothing(
    command: Store, tmp_path: Path, arguments: list[str], words: str
) -> None:
    answer = command("start", *arguments)
    assert answer.returncode == 2
    assert words in answer.stderr
    assert not (tmp_path / "parslflow-store" / "store.json").exists()


def test_what_was_acknowledged_is_there_once_after_a_kill(tmp_path: Path) -> None:
    """The server is killed while a client streams, and started again under the same address."""
    folder = tmp_path / "store"
    published = background.start(folder, memory_mb=64, persist=True)
    total = 300
    acknowledged: list[str] = []

    def stream() -> None:
        with StoreClient.at(published) as store:
            for number in range(total):
                store.put_dataset(Dataset(f"d{number}", {"h": np.ones(50)}), "tiles")
                acknowledged.append(f"d{number}")

    try:
        thread = threading.Thread(target=stream)
        thread.start()
        for least in (50, 150):
            while len(acknowledged) < least:
                assert thread.is_alive()
                time.sleep(0.005)
            [pid] = pids_of(folder)
            os.kill(pid, signal.SIGKILL)
            while background.runs(folder):
                time.sleep(0.01)
            assert background.start(folder, memory_mb=64, persist=True) == published
        thread.join(30)
        assert len(acknowledged) == total
        with StoreClient.at(published) as store:
            names = store.get_list("tiles")
            assert names == [f"d{number}" for number in range(total)]
            assert len(store.get_metadata(names)) == total
        background.stop(folder)
        with StoreClient.at(background.start(folder, persist=True)) as store:
            assert store.list_length("tiles") == total
    finally:
        background.stop(folder)


def pids_of(folder: Path) -> list[int]:
    return [pid for pid, _ in json.loads((folder / "store.json").read_text())["processes"]]


def test_files_of_a_dead_store_are_no_store(tmp_path: Path) -> None:
    published = background.start(tmp_path, "loopback")
    [pid] = pids_of(tmp_path)
    os.kill(pid, signal.SIGKILL)
    while background.runs(tmp_path):
        time.sleep(0.01)
    with pytest.raises(UsageError, match="No store runs in"):
        background.status(tmp_path)
    assert not (tmp_path / "address.json").exists()
    try:
        assert background.start(tmp_path).address != published.address
    finally:
        background.stop(tmp_path)


def test_a_process_with_the_number_of_a_dead_server_is_left_alone(tmp_path: Path) -> None:
    background.start(tmp_path)
    state_file = tmp_path / "store.json"
    whole = state_file.read_text()
    state = json.loads(whole)
    with subprocess.Popen(["sleep", "100"]) as other:
        try:
            state_file.write_text(json.dumps(state | {"processes": [[other.pid, 1]]}))
            with pytest.raises(UsageError, match="No store runs in"):
                background.stop(tmp_path)
            assert other.poll() is None
        finally:
            other.kill()
            state_file.write_text(whole)
            background.stop(tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_folders_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not there"):
        background.status(tmp_path / "none")
    other = tmp_path / "other"
    other.mkdir()
    os.chown(other, 12345, -1)
    for call in (background.start, background.status, background.stop):
        with pytest.raises(UsageError, match="is another user's"):
            call(other)


def test_a_store_of_another_machine_is_named(tmp_path: Path) -> None:
    background.start(tmp_path)
    state_file = tmp_path / "store.json"
    whole = state_file.read_text()
    try:
        state_file.write_text(json.dumps(json.loads(whole) | {"host": "elsewhere"}))
        for call in (background.start, background.status, background.stop):
            with pytest.raises(UsageError, match="was started on elsewhere"):
                call(tmp_path)
    finally:
        state_file.write_text(whole)
        background.stop(tmp_path)


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text("{}")
    with pytest.raises(ParslflowError, match=r"store\.json is damaged"):
        background.status(tmp_path)
