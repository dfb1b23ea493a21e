"""The stage that keeps a store for a run: one of its own, or one that is running already."""

from __future__ import annotations

import os
import platform
import select
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from typing import Protocol

from parslflow.records import Inputs
from parslflow.records import Record
from parslflow.records import Report
from parslflow.store.address import Address
from parslflow.store.listening import Listen
from parslflow.store.running import RunningStore
from parslflow.store.server import StoreServer
from parslflow.store.smartsim import SmartSimServer

POLL_S = 0.2


class Server(Protocol):
    """What `serve` asks of a store while it is there."""

    @property
    def address(self) -> str:
        """Where it is."""

    def check(self) -> None:
        """Raise `ParslflowError` if it has ended."""

    def usage(self) -> dict[str, str | int | float]:
        """What it has done."""


class ServeInputs(Inputs):
    """What `serve` needs.

    Attributes:
        folder: Gets address.json, server.log and, for a port, the password file.
        launcher: What starts the server: this package, or SmartSim's Experiment.
        listen: ``unix``, a socket in a folder of its own; ``loopback``, a port with a password;
            ``network``, a port that other nodes reach, with a password.
        memory_mb: What the store may hold, in MiB; beyond it writes are refused, none dropped.
        shards: How many servers; three or more are a cluster.
        password: Whether a port asks for a password.
        running: A store that is running already; nothing is started then.
        stop_file: The server is stopped when this file appears...
        owner_pid: ... or when this process has gone. On another machine the store ends with its
            worker, which ends when it hears no more of the driver.
        owner_host: The machine of that process.
    """

    folder: Path
    launcher: Literal["parslflow", "smartsim"] = "parslflow"
    listen: Listen = "unix"
    memory_mb: int = 1024
    shards: int = 1
    password: bool = True
    running: Address | None = None
    stop_file: Path
    owner_pid: int | None = None
    owner_host: str = ""


def serve(inputs: ServeInputs, report: Report) -> Record:
    """Keep a store until it is told to stop.

    Raises:
        ParslflowError: The server did not start or ended by itself, or the running one is no store.
    """
    started = time.monotonic()
    owner = inputs.owner_pid if inputs.owner_host == platform.node() else None
    with _server(inputs) as server, _watch(owner) as owner_ends_within:
        report("store", address=server.address)
        while not inputs.stop_file.exists() and not owner_ends_within(POLL_S):
            server.check()
        metrics = server.usage()
    return Record(metrics={"seconds": round(time.monotonic() - started, 1), **metrics})


def _server(inputs: ServeInputs) -> AbstractContextManager[Server]:
    """The store that the inputs ask for."""
    if inputs.running is not None:
        return RunningStore(inputs.folder, inputs.running)
    if inputs.launcher == "smartsim":
        return SmartSimServer(inputs.folder, inputs.listen, inputs.memory_mb)
    return StoreServer(
        inputs.folder,
        inputs.listen,
        inputs.memory_mb,
        shards=inputs.shards,
        password=inputs.password,
    )


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
