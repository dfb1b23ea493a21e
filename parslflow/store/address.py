"""Where a store can be reached: a small file that the server publishes and everyone reads."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.rundir import write_private

Place = str | tuple[str, int]
"""The path of a socket, or host and port."""


@dataclass(frozen=True)
class Address:
    """The address of a store."""

    address: str
    """``unix:///path``, ``host:port``, or for a cluster ``host:port,host:port,…``."""
    password_file: str | None = None
    """The file that holds the store's password, if it has one."""
    user: str | None = None
    """The ACL user that the password is of, if it is not the default one."""
    ca_file: str | None = None
    """The certificate authority (PEM) that the store's certificate is of; TLS is used if set."""
    clustered: bool = False
    """Whether the store is a Redis Cluster."""

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

    @classmethod
    def of_environment(cls, variables: Mapping[str, str] = os.environ) -> Address:
        """The address that ``environment`` of another process gave to this one.

        Raises:
            UsageError: The environment names no store.
        """
        if not variables.get("SSDB"):
            raise UsageError("The environment names no store: set SSDB to its address.")
        return cls(
            variables["SSDB"],
            variables.get("PARSLFLOW_STORE_PASSWORD_FILE"),
            variables.get("PARSLFLOW_STORE_USER"),
            variables.get("PARSLFLOW_STORE_CA_FILE"),
            clustered=variables.get("SR_DB_TYPE", "").lower() == "clustered",
        )

    def places(self) -> list[Place]:
        """Each server that the address names; of a cluster any of them knows the others.

        Raises:
            UsageError: One is neither a socket nor host and port, or there are several of a store
                that is no cluster.
        """
        parts = self.address.split(",")
        if len(parts) > 1 and not self.clustered:
            raise UsageError(
                f"The store's address '{self.address}' names several servers: only a cluster has "
                "them (SR_DB_TYPE=Clustered)."
            )
        return [self._place(part) for part in parts]

    def _place(self, part: str) -> Place:
        if part.startswith("unix://") and not self.clustered:
            return part.removeprefix("unix://")
        host, _, port = part.rpartition(":")
        if not host or not port.isdecimal():
            wanted = "not HOST:PORT" if self.clustered else "neither unix://PATH nor HOST:PORT"
            raise UsageError(f"The store's address '{part}' is {wanted}.")
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
        write_private(path, json.dumps(asdict(self)) + "\n")

    def environment(self) -> dict[str, str]:
        """The environment variables by which simulations find the store.

        The first two are SmartRedis's own.
        """
        variables = {
            "SSDB": self.address,
            "SR_DB_TYPE": "Clustered" if self.clustered else "Standalone",
            "PARSLFLOW_STORE_PASSWORD_FILE": self.password_file,
            "PARSLFLOW_STORE_USER": self.user,
            "PARSLFLOW_STORE_CA_FILE": self.ca_file,
        }
        return {name: value for name, value in variables.items() if value is not None}
