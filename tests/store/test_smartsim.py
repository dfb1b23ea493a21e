"""SmartSim starts the store, in its users' drivers and for us, once our parts are in its places."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.store import smartsim
from parslflow.store.client import StoreClient
from parslflow.store.server import module_path
from parslflow.store.smartsim import SmartSimServer

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture(scope="module")
def installed() -> None:
    """SmartSim with our parts, as its users get it."""
    done = subprocess.run(
        [sys.executable, "-m", "parslflow", "store", "install-smartsim"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3


@pytest.fixture
def dependencies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of SmartSim's dependencies of our own."""
    for name in ("REDIS_PATH", "REDIS_CLI_PATH", "RAI_PATH"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "dependencies"
    monkeypatch.setenv("SMARTSIM_DEP_INSTALL_PATH", str(folder))
    return folder


def processes_of(session: int) -> list[str]:
    """What runs in a session, command line by command line; no zombies."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(") ")[2].split()
                line = (entry / "cmdline").read_text().replace("\0", " ")
                if int(fields[3]) == session and fields[0] != "Z":
                    found.append(line)
    return found


def session_of(server: SmartSimServer) -> int:
    return os.getsid(server.pid)


def check_until_it_fails(server: SmartSimServer) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        server.check()
        time.sleep(0.05)


def expect_none_in(session: int, within_s: float = 2) -> None:
    deadline = time.monotonic() + within_s
    while left := processes_of(session):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_parts_are_put_once_and_again_when_they_change(dependencies: Path) -> None:
    first = smartsim.install()
    names = ["bin/redis-server", "bin/redis-cli", "lib/redisai.so"]
    for name, line in zip(names, first, strict=True):
        assert line.startswith(f"{dependencies / name} is a copy of /")
        assert not (dependencies / name).is_symlink()
        assert os.access(dependencies / name, os.X_OK)
    for line in smartsim.install():
        assert line.endswith("is up to date")
    module = dependencies / "lib" / "redisai.so"
    module.write_bytes(b"another")
    assert [line.split()[2] for line in smartsim.install()] == ["up", "up", "a"]
    assert module.read_bytes() == module_path().read_bytes()
    assert len(list(dependencies.rglob("*"))) == 5


def test_other_parts_that_smartsim_would_take_are_named(
    dependencies: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other.so"
    other.touch()
    monkeypatch.setenv("RAI_PATH", str(other))
    with pytest.raises(UsageError, match=rf"takes '{other}', not .*redisai.so: unset RAI_PATH"):
        smartsim.install()
    monkeypatch.setenv("RAI_PATH", "/nowhere")
    with pytest.raises(UsageError, match=r"RedisAI dependency not found.*unset RAI_PATH"):
        smartsim.install()


def test_no_command_line_client_is_an_error(
    dependencies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match=r"redis-cli or valkey-cli.*install .* redis-tools"):
        smartsim.install()
    assert not dependencies.exists()


def test_folder_that_cannot_be_written_is_named(dependencies: Path) -> None:
    dependencies.mkdir()
    (dependencies / "bin").touch()
    with pytest.raises(UsageError, match=r"cannot be written \(.*bin.*of your own"):
        smartsim.install()


def test_smartsim_without_parts_is_told_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "smartsim" / "__init__.py"
    empty.parent.mkdir()
    empty.touch()
    monkeypatch.delitem(sys.modules, "smartsim", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="run 'parslflow store install-smartsim'"):
        SmartSimServer(tmp_path / "store").__enter__()
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(UsageError, match=r"pip install --no-deps smartsim==0\.8\.0"):
        SmartSimServer(tmp_path / "store").__enter__()
    assert not (tmp_path / "store").exists()


@pytest.mark.usefixtures("installed")
def test_server_that_does_not_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smartsim, "get_binary_path", lambda: Path("/bin/false"))
    with pytest.raises(ParslflowError, match=r"see .*smartsim\.log and .*Orchestrator"):
        SmartSimServer(tmp_path).__enter__()
    assert not (tmp_path / "address.json").exists()


@pytest.mark.usefixtures("installed")
def test_store_is_reached_with_its_password_only(tmp_path: Path) -> None:
    folder = tmp_path / "a store"
    with SmartSimServer(folder, memory_mb=77) as server:
        password = server.password_file.read_text()
        with StoreClient.from_address_file(server.address_file) as client:
            client.put_tensor("x", np.arange(3.0))
            np.testing.assert_array_equal(client.get_tensor("x"), np.arange(3.0))
            assert client.memory().limit == 77 * 2**20
            port = int(client.connection.config_get("port")["port"])
            assert client.connection.config_get("bind")["bind"] == "127.0.0.1"
        for place in (
            {"unix_socket_path": server.address.removeprefix("unix://")},
            {"port": port},
        ):
            stranger = redis.Redis(**place, retry=Retry(NoBackoff(), 0))
            with stranger, pytest.raises(redis.AuthenticationError):
                stranger.ping()
        for path in (server.password_file, server.address_file, folder / "smartsim/redis.conf"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        sockets = Path(server.address.removeprefix("unix://")).parent
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        session = session_of(server)
        lines = processes_of(session)
        assert len(lines) == 3  # SmartSim, its starter, and the server
        assert not [line for line in lines if password in line]
        server.check()
        assert server.usage()["commands"] > 0
    expect_none_in(session)
    assert not sockets.exists()
    assert not server.address_file.exists()
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in ("password", "redis.conf"):
            assert password not in path.read_text(errors="replace")
    # It was stopped by SmartSim's own means.
    assert "User requested shutdown" in server.log.read_text()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("victim", ["server", "smartsim"])
def test_what_dies_is_noticed_and_nothing_is_left(tmp_path: Path, victim: str) -> None:
    with SmartSimServer(tmp_path / "store", "loopback") as server:
        session = session_of(server)
        assert server.address.startswith("127.0.0.1:")
        os.kill(server.pid if victim == "server" else session, signal.SIGKILL)
        with pytest.raises(ParslflowError, match=r"ended by itself.*smartsim\.log"):
            check_until_it_fails(server)
    expect_none_in(session)


HOST = """
import sys, time
from pathlib import Path
from parslflow.store.smartsim import SmartSimServer
with SmartSimServer(Path(sys.argv[1])) as server:
    print(server.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.usefixtures("installed")
def test_server_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOST, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        session = os.getsid(int(host.stdout.readline()))
        assert processes_of(session)
        host.kill()
        expect_none_in(session, within_s=20)


@pytest.mark.usefixtures("installed")
def test_driver_of_a_user_runs_unchanged(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {
        "SMARTSIM_JM_INTERVAL": "1",  # s; it looks after its processes every 10 by default
        "SMARTSIM_FLAG_TELEMETRY": "0",
        "SR_SOCKET_TIMEOUT": "60000",
        "PYTHONWARNINGS": "ignore",
    }
    for name in ("REDIS_PATH", "REDIS_CLI_PATH", "RAI_PATH", "SSDB", "SR_DB_TYPE"):
        environment.pop(name, None)
    with subprocess.Popen(
        [sys.executable, str(PROGRAMS / "smartsim_driver.py"), str(port)],
        cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as driver:  # fmt: skip
        try:
            output, _ = driver.communicate(timeout=90)
            assert driver.returncode == 0, output
            lines = output.splitlines()
            assert f"database at ['127.0.0.1:{port}']" in lines
            assert [line for line in lines if line.startswith("application")] == [
                "application SmartSimStatus.STATUS_COMPLETED"
            ]
            assert [line for line in lines if line.startswith("result")] == [
                "result result-0", "result result-1", "result result-2",
            ]  # fmt: skip
            assert lines[-1] == "stopped"
            expect_none_in(driver.pid)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(driver.pid, signal.SIGKILL)
