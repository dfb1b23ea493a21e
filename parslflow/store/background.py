"""A store that outlives the shell: started, looked at and stopped by its folder."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import asdict
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.rundir import write_private
from parslflow.store.address import Address
from parslflow.store.client import StoreClient
from parslflow.store.listening import Listen
from parslflow.store.server import StoreServer

STOP_S = 60.0
"""How long the servers may take to end: one that keeps its data writes it first."""

ANSWER_S = 5.0

Process = tuple[int, int]
"""A process's number and when it started, in ticks since the machine did: no other has both."""


@dataclass(frozen=True)
class _State:
    """What `start` writes for the other two."""

    host: str
    processes: list[Process]
    listen: Listen
    memory_mb: int
    shards: int
    password: bool
    persist: bool
    published: Address


@dataclass(frozen=True)
class Status:
    """How a store is.

    Attributes:
        address: Where it is.
        answers: Whether it answers; the rest is 0 if not.
        used_bytes: What it holds, of all shards.
        limit_bytes: What it may hold.
        keys: How many keys it has.
        clients: How many connections there are.
        shards: How many servers it is.
        uptime_s: How long it has run.
        persist: Whether it keeps its data in the folder.
    """

    address: str
    answers: bool
    used_bytes: int
    limit_bytes: int
    keys: int
    clients: int
    shards: int
    uptime_s: int
    persist: bool


def start(
    folder: Path,
    listen: Listen = "unix",
    memory_mb: int = 1024,
    shards: int = 1,
    *,
    password: bool = True,
    persist: bool = False,
) -> Address:
    """Start a store that runs until `stop`, and wait until it answers.

    One that was killed in the same folder gets its address again; with ``persist``, its data too.

    Args:
        folder: Gets the store's files; it is made for this user alone if it is not there.
        listen: As for `StoreServer`.
        memory_mb: As for `StoreServer`.
        shards: As for `StoreServer`.
        password: As for `StoreServer`.
        persist: As for `StoreServer`.

    Raises:
        UsageError: There is one already, the folder is another user's, or the settings exclude
            each other.
        ParslflowError: It does not start.
    """
    folder = _own(folder, make=True)
    with _alone(folder):
        before = _load(folder)
        if before is not None:
            _check_host(before, folder)
            if any(_runs(process) for process in before.processes):
                raise UsageError(
                    f"A store runs in {folder} already, at {before.published.address}: use it, "
                    f"stop it by 'parslflow store stop --folder {folder}', or give another folder."
                )
            _check_same(before, shards, persist, folder)
        server = StoreServer(
            folder,
            listen,
            memory_mb,
            shards=shards,
            password=password,
            persist=persist,
            address=before.published.address if before is not None else None,
        )
        server.start(alone=True)
        state = _State(
            host=socket.gethostname(),
            processes=[(pid, _start_of(pid)) for pid in server.pids],
            listen=listen,
            memory_mb=memory_mb,
            shards=shards,
            password=password,
            persist=persist,
            published=server.published,
        )
        write_private(_state_file(folder), json.dumps(asdict(state), indent=2) + "\n")
    return server.published


def runs(folder: Path) -> bool:
    """Whether a store's servers, or some of them, run in ``folder``."""
    state = _load(folder)
    return state is not None and any(_runs(process) for process in state.processes)


def status(folder: Path) -> Status:
    """How the store in ``folder`` is.

    Raises:
        UsageError: There is none, or not on this machine.
    """
    state = _running(_own(folder))
    found = []
    with StoreClient.at(state.published, time_limit_s=ANSWER_S) as client, suppress(ParslflowError):
        found = client.info()
    return Status(
        address=state.published.address,
        answers=bool(found),
        used_bytes=sum(info["used_memory"] for info in found),
        limit_bytes=sum(info["maxmemory"] for info in found),
        keys=sum(info.get("db0", {"keys": 0})["keys"] for info in found),
        clients=sum(info["connected_clients"] for info in found),
        shards=state.shards,
        uptime_s=max((info["uptime_in_seconds"] for info in found), default=0),
        persist=state.persist,
    )


def to_text(status: Status) -> str:
    """The status for people."""
    lines = [f"address  {status.address}", f"answers  {'yes' if status.answers else 'NO'}"]
    if status.answers:
        limit = f"{status.limit_bytes / 2**20:.0f} MiB" if status.limit_bytes else "no limit"
        lines += [
            f"memory   {status.used_bytes / 2**20:.1f} MiB of {limit}",
            f"keys     {status.keys}",
            f"clients  {status.clients}",
            f"shards   {status.shards}",
            f"uptime   {timedelta(seconds=status.uptime_s)}",
            f"data     {'kept in the folder' if status.persist else 'in memory only'}",
        ]
    return "\n".join(lines)


def stop(folder: Path) -> Address:
    """End the store in ``folder`` and wait until it is gone; what it keeps is written first.

    Raises:
        UsageError: There is none, or not on this machine.
        ParslflowError: It does not end.
    """
    folder = _own(folder)
    with _alone(folder):
        state = _running(folder)
        for pid, _ in state.processes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if not _gone(state.processes, STOP_S):
            if state.persist:
                raise ParslflowError(
                    f"The store in {folder} has not ended after {STOP_S:g} s: it may still write "
                    "its data, so it was not killed; see server.log there and try again."
                )
            for pid, _ in state.processes:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            _gone(state.processes, STOP_S)
        _forget(folder, state)
    return state.published


def _forget(folder: Path, state: _State) -> None:
    """Remove what tells of a store that has ended, but for what it keeps."""
    (folder / "address.json").unlink(missing_ok=True)
    if not state.persist:
        _state_file(folder).unlink(missing_ok=True)
    if state.listen == "unix" and state.shards == 1:
        sockets = Path(state.published.address.removeprefix("unix://")).parent
        shutil.rmtree(sockets, ignore_errors=True)


def _running(folder: Path) -> _State:
    """The state of the store that runs in ``folder``."""
    state = _load(folder)
    if state is not None:
        _check_host(state, folder)
        if any(_runs(process) for process in state.processes):
            return state
        _forget(folder, state)
    raise UsageError(
        f"No store runs in {folder}: start one by 'parslflow store start --folder {folder}', or "
        "give the folder of yours."
    )


def _own(folder: Path, make: bool = False) -> Path:
    """The folder, if it is this user's."""
    folder = folder.resolve()
    try:
        if make:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = folder.stat().st_uid
    except FileNotFoundError:
        raise UsageError(
            f"No store runs in {folder}, which is not there: give the folder of yours."
        ) from None
    except OSError as error:
        raise UsageError(f"Folder {folder} cannot be used: {error.strerror}.") from error
    if owner != os.getuid():
        raise UsageError(f"Folder {folder} is another user's: give one of your own.")
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other commands for the same folder away meanwhile."""
    descriptor = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _state_file(folder: Path) -> Path:
    return folder / "store.json"


def _load(folder: Path) -> _State | None:
    try:
        found = json.loads(_state_file(folder).read_text(encoding="utf-8"))
        published = Address(**found.pop("published"))
        processes = [(int(pid), int(started)) for pid, started in found.pop("processes")]
        return _State(**found, processes=processes, published=published)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise ParslflowError(
            f"{_state_file(folder)} is damaged: see whether a store still runs, and delete it."
        ) from error


def _check_host(state: _State, folder: Path) -> None:
    here = socket.gethostname()
    if state.host != here:
        raise UsageError(
            f"The store in {folder} was started on {state.host}, and this is {here}: go there, or "
            "give another folder."
        )


def _check_same(before: _State, shards: int, persist: bool, folder: Path) -> None:
    """What is kept in a folder can be read by as many servers as wrote it."""
    if before.persist and persist and before.shards != shards:
        raise UsageError(
            f"Folder {folder} keeps the data of a store of {before.shards} shards: start it with "
            f"--shards {before.shards}, or give another folder."
        )


def _gone(processes: list[Process], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while any(_runs(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _runs(process: Process) -> bool:
    pid, started = process
    with suppress(FileNotFoundError, ProcessLookupError):
        return _start_of(pid) == started
    return False


def _start_of(pid: int) -> int:
    """When a process started, in ticks; of one that has ended and waits for its parent, -1."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return -1 if fields[0] == "Z" else int(fields[19])
