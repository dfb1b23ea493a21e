from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from parslflow.errors import ParslflowError
from parslflow.records import Record
from parslflow.store import listening
from parslflow.store import server as server_module
from parslflow.store.client import StoreClient
from parslflow.store.listening import Listen
from parslflow.store.serve import ServeInputs
from parslflow.store.serve import serve
from parslflow.store.server import StoreServer
from tests.conftest import wait_until
from tests.store.conftest import DEBIAN_REDIS


def ignore(series: str, /, **values: str | float) -> None:
    """Take a report and do nothing."""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("listen", ["unix", "loopback"])
@pytest.mark.parametrize("binary", [None, DEBIAN_REDIS], ids=["valkey", "redis"])
def test_server_is_reachable_by_its_user_alone(
    tmp_path: Path, listen: Listen, binary: Path | None
) -> None:
    # A quote, a space and a letter of two bytes, as a user's folder may have.
    folder = tmp_path / 'run "ü" 1'
    with StoreServer(folder, listen, 64, binary) as server:
        published = json.loads(server.address_file.read_text())
        assert published["address"] == server.address
        assert mode(server.address_file) == 0o600
        command_line = Path(f"/proc/{server.pid}/cmdline").read_bytes()
        if listen == "unix":
            assert published["password_file"] is None
            path = Path(server.address.removeprefix("unix://"))
            assert mode(path.parent) == 0o700
            assert mode(path) == 0o700
        else:
            password_file = Path(published["password_file"])
            assert mode(password_file) == 0o600
            assert server.address.startswith("127.0.0.1:")
            assert len(password_file.read_text()) > 20
            assert password_file.read_bytes() not in command_line
        with StoreClient.from_address_file(server.address_file) as store:
            store.put_tensor("x", np.arange(3.0))
            np.testing.assert_array_equal(store.get_tensor("x"), np.arange(3.0))
            config = store.connection.config_get("*")
        assert config["maxmemory"] == str(64 * 2**20)
        assert config["maxmemory-policy"] == "noeviction"
        assert config["save"] == ""
        assert config["port"] == ("0" if listen == "unix" else server.address.rpartition(":")[2])
        pid = server.pid
    assert not alive(pid)
    assert not server.address_file.exists()
    if listen == "unix":
        assert not path.parent.exists()
    assert not list(folder.glob("*.rdb"))


RANKS = 10_500
"""More than the 10,000 clients that a server takes by default."""


def test_more_than_ten_thousand_ranks_are_connected_at_once(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < RANKS + 500:
        pytest.skip(f"a process may have {hard} open files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with (
            StoreServer(tmp_path) as server,
            server.client() as store,
            contextlib.ExitStack() as stack,
        ):
            before = store.memory().used
            for _ in range(RANKS):
                rank = stack.enter_context(socket.socket(socket.AF_UNIX))
                rank.connect(server.address.removeprefix("unix://"))
            rank.sendall(b"PING\r\n")
            assert rank.recv(64) == b"+PONG\r\n"
            # What docs/scaling.md counts for each.
            assert (store.memory().used - before) / RANKS < 20e3
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def run_serve(inputs: ServeInputs) -> tuple[threading.Thread, list[Record | Exception]]:
    results: list[Record | Exception] = []

    def run() -> None:
        try:
            results.append(serve(inputs, ignore))
        except ParslflowError as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def test_serve_ends_with_the_stop_file(tmp_path: Path) -> None:
    inputs = ServeInputs(
        folder=tmp_path / "store",
        memory_mb=64,
        stop_file=tmp_path / "stop",
        owner_pid=os.getpid(),
        owner_host=platform.node(),
    )
    thread, results = run_serve(ServeInputs.model_validate_json(inputs.model_dump_json()))
    address_file = tmp_path / "store" / "address.json"
    with StoreClient.from_address_file(address_file, 20) as store:
        store.put_tensor("x", np.ones(1000))
    inputs.stop_file.touch()
    thread.join(20)
    [record] = results
    assert isinstance(record, Record)
    assert record.metrics.keys() == {"seconds", "peak_memory_mb", "commands", "connections"}
    assert not address_file.exists()


def test_serve_ends_with_its_owner(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as owner:
        thread, results = run_serve(
            ServeInputs(
                folder=tmp_path,
                memory_mb=64,
                stop_file=tmp_path / "stop",
                owner_pid=owner.pid,
                owner_host=platform.node(),
            )
        )
        wait_until((tmp_path / "address.json").exists)
        assert thread.is_alive()
        owner.kill()
    thread.join(20)
    assert isinstance(results[0], Record)


def test_serve_without_a_living_owner_ends_at_once(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as owner:
        pass
    thread, results = run_serve(
        ServeInputs(
            folder=tmp_path,
            memory_mb=64,
            stop_file=tmp_path / "no",
            owner_pid=owner.pid,
            owner_host=platform.node(),
        )
    )
    thread.join(20)
    assert isinstance(results[0], Record)


def test_serve_fails_when_the_server_dies(tmp_path: Path) -> None:
    thread, results = run_serve(
        ServeInputs(folder=tmp_path, memory_mb=64, stop_file=tmp_path / "stop")
    )
    with StoreClient.from_address_file(tmp_path / "address.json", 20) as store:
        pid = store.connection.info()["process_id"]
    os.kill(pid, signal.SIGKILL)
    thread.join(20)
    assert isinstance(results[0], ParslflowError)
    assert f"ended by itself (exit code -9), see {tmp_path}/server.log" in str(results[0])


def test_server_dies_with_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from parslflow.store.server import StoreServer\n"
        "with StoreServer(Path(sys.argv[1]), memory_mb=64) as server:\n"
        "    print(server.pid, flush=True)\n"
        "    time.sleep(100)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    wait_until(lambda: not alive(pid))


@pytest.mark.parametrize("attempt", range(3))  # what the script touches meanwhile is chance
def test_server_stops_while_a_script_runs(tmp_path: Path, attempt: int) -> None:
    source = "def forever(x):\n    while True:\n        x = x + 1\n    return x\n"
    with StoreServer(tmp_path) as server:
        with server.client() as store:
            store.put_tensor("x", np.ones(1))
            store.connection.execute_command("AI.SCRIPTSET", "s", "CPU", "SOURCE", source)
            words = ("AI.SCRIPTRUN", "s", "forever", "INPUTS", "x", "OUTPUTS", "y")
            connection = store.connection.connection_pool.get_connection()
            connection.send_command(*words)
            wait_until(lambda: store.connection.execute_command("AI.INFO", "s")[15] == 1)
            connection.disconnect()
        started = time.monotonic()
    assert time.monotonic() - started < 5
    assert "crashed" not in server.log.read_text()


def test_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    no_server = Path("/bin/false")
    with pytest.raises(ParslflowError, match=r"ended by itself \(exit code 1\).*server\.log"):
        StoreServer(tmp_path, binary=no_server).__enter__()
    assert not (tmp_path / "address.json").exists()


def test_module_that_is_not_built_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module.sysconfig, "get_config_var", lambda name: ".other.so")
    with pytest.raises(ParslflowError, match=r"tensorstore\.other\.so is not built: run"):
        StoreServer(tmp_path).__enter__()


def test_socket_path_that_is_too_long_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr(listening.tempfile, "tempdir", str(deep))
    with pytest.raises(ParslflowError, match="set TMPDIR to a shorter folder"):
        StoreServer(tmp_path).__enter__()
    assert list(deep.iterdir()) == []
