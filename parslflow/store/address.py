"""Where a store can be reached: a small file that the server publishes and everyone reads."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.rundir import atomic_path


@dataclass(frozen=True)
class Address:
    """The address of a store."""

    address: str
    """``unix:///path`` or ``host:port``."""
    password_file: str | None = None
    """The file that holds the store's password, if it has one."""

    @classmethod
    def load(cls, path: Path, wait_s: float = 0.0) -> Address:
        """Read what a server published at ``path``, which may take it up to ``wait_s`` seconds.

        Raises:
            ParslflowError: the file did not appear, or is not one of a store.
        """
        deadline = time.monotonic() + wait_s
        while not path.exists():
            if time.monotonic() >= deadline:
                raise ParslflowError(
                    f"{path} is not there after {wait_s:g} s: the store has not started, see the "
                    "log beside it."
                )
            time.sleep(0.05)
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ParslflowError(f"{path} is not the address file of a store.") from error

    def place(self) -> str | tuple[str, int]:
        """The path of the socket, or host and port.

        Raises:
            UsageError: the address is neither.
        """
        if self.address.startswith("unix://"):
            return self.address.removeprefix("unix://")
        host, _, port = self.address.rpartition(":")
        if not host or not port.isdecimal():
            raise UsageError(
                f"The store's address '{self.address}' is neither unix://PATH nor HOST:PORT."
            )
        return host, int(port)

    def password(self) -> str | None:
        """The store's password, if it has one.

        Raises:
            UsageError: the password file cannot be read.
        """
        if self.password_file is None:
            return None
        try:
            return Path(self.password_file).read_text().strip()
        except OSError as error:
            raise UsageError(
                f"Password file {self.password_file} cannot be read: {error.strerror}."
            ) from error

    def publish(self, path: Path) -> None:
        """Write the file, whole and for the owner's eyes only."""
        with atomic_path(path) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

    def environment(self) -> dict[str, str]:
        """The environment variables by which simulations find the store, as in SmartRedis."""
        variables = {"SSDB": self.address, "SR_DB_TYPE": "Standalone"}
        if self.password_file is not None:
            variables["PARSLFLOW_STORE_PASSWORD_FILE"] = os.fspath(self.password_file)
        return variables
