"""Where a store's servers listen: sockets and ports that are free, or those of the last time."""

from __future__ import annotations

import os
import secrets
import socket
import stat
import tempfile
from pathlib import Path
from typing import Literal

from parslflow.errors import ParslflowError
from parslflow.rundir import write_private

Listen = Literal["unix", "loopback", "network"]

LEAST_SHARDS = 3
"""A cluster of fewer servers cannot agree on anything."""

LONGEST_SOCKET_PATH = 107

BUS_OFFSET = 10000
"""The servers of a cluster talk to each other at the port of each plus this."""

_ATTEMPTS = 1000


def contradiction(listen: Listen, shards: int, password: bool) -> str | None:
    """What is wrong with these settings together, if anything is."""
    if shards != 1 and shards < LEAST_SHARDS:
        return f"shards = {shards} is neither 1 nor {LEAST_SHARDS} or more"
    if listen == "network" and shards > 1:
        return "shards listen on loopback only, since a cluster's bus knows no password"
    if listen == "network" and not password:
        return "a store on the network must have a password"
    return None


def socket_path(before: str | None) -> Path:
    """The path for a socket, in a folder that only this user may enter.

    Args:
        before: The address of the last time, ``unix://PATH``: taken again if it is this user's.

    Raises:
        ParslflowError: The temporary folder's path is too long.
    """
    if before is not None and before.startswith("unix://"):
        path = Path(before.removeprefix("unix://"))
        if _is_private(path.parent):
            return path
    folder = Path(tempfile.mkdtemp(prefix="parslflow-"))
    path = folder / "store.sock"
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        folder.rmdir()
        raise ParslflowError(
            f"The socket's path {path} is longer than {LONGEST_SOCKET_PATH} bytes: set TMPDIR to a "
            "shorter folder."
        )
    return path


def _is_private(folder: Path) -> bool:
    """Whether the folder is this user's alone; it is made if it is gone."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        return (
            stat.S_ISDIR(found.st_mode)
            and found.st_uid == os.getuid()
            and stat.S_IMODE(found.st_mode) == 0o700
        )
    except OSError:
        return False
    return True


def ports(count: int, before: str | None) -> list[int]:
    """Free ports; those of several servers have a free one at ``BUS_OFFSET`` from each.

    Args:
        count: How many.
        before: The address of the last time, ``host:port,…``: taken again if it is free.

    Raises:
        ParslflowError: There are none.
    """
    last = [part.rpartition(":")[2] for part in (before or "").split(",")]
    if len(last) == count and all(part.isdecimal() for part in last):
        wanted = [int(part) for part in last]
        if all(_is_free(port, count > 1) for port in wanted):
            return wanted
    found: list[int] = []
    for _ in range(_ATTEMPTS):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        if port not in found and _is_free(port, count > 1):
            found.append(port)
        if len(found) == count:
            return found
    raise ParslflowError(f"This machine has no {count} free ports for the store.")


def _is_free(port: int, with_bus: bool) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
        if with_bus:
            socket.create_server(("127.0.0.1", port + BUS_OFFSET)).close()
    except (OSError, OverflowError):
        return False
    return True


def new_password(file: Path) -> str:
    """A password, written to ``file`` for its owner's eyes only."""
    password = secrets.token_urlsafe(32)
    write_private(file, password)
    return password


def host_name() -> str:
    """The name by which other machines reach this one.

    Raises:
        ParslflowError: It has none that can be looked up.
    """
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None)
    except OSError as error:
        raise ParslflowError(
            f"This machine's name '{name}' cannot be looked up ({error}), so no other would find "
            "the store: listen on loopback, or mend the name."
        ) from error
    return name
