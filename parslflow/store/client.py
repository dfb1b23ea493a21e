"""The Python client of the store, for stages and for users."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from parslflow.errors import UsageError
from parslflow.store.address import Address
from parslflow.store.connection import TIME_LIMIT_S
from parslflow.store.models import ModelCalls
from parslflow.store.sharing import SharingCalls
from parslflow.store.wire import Keyspace


class StoreClient(SharingCalls, ModelCalls):
    """A client of one store: tensors, data sets and lists, models and scripts.

    Every call ends within the time limit, done or with a `StoreError` that says why, with a
    ``code`` and a class for what a program may want to act on: `ConnectionLost`, `StoreTimeout`,
    `StoreFull`, `MissingKey`, `WrongType`.

    While the store is full, a call waits for room: it logs when it begins to wait and when it goes
    on. When a connection is lost, a call that can be done twice without a difference (all that
    read, put, delete keys or run models) is sent again for up to 30 s; an append to a list only if
    it has certainly not been done; other calls fail. A store that never answered is not waited for.

    Threads may share a client.

    Args:
        address: ``unix:///path``, ``host:port``, or of a cluster ``host:port,host:port,…``.
        password_file: File whose text is the store's password.
        user: The ACL user whose password it is.
        ca_file: The certificate authority (PEM) of the store's certificate; it makes the client use
            TLS.
        clustered: Whether the store is a Redis Cluster.
        time_limit_s: How long a call may take.
        keyspace: The name of a keyspace, such as a member of an ensemble has: all tensors, data
            sets and lists are read from there and put there. By default they are in none. Models
            and scripts are in none in any case.

    Raises:
        UsageError: The address is none, the password file cannot be read, or the keyspace's name
            has other characters than letters, digits, ``.``, ``_`` and ``-``.
    """

    def __init__(
        self,
        address: str,
        password_file: Path | None = None,
        *,
        user: str | None = None,
        ca_file: Path | None = None,
        clustered: bool = False,
        time_limit_s: float = TIME_LIMIT_S,
        keyspace: str = "",
    ) -> None:
        published = Address(
            address,
            str(password_file) if password_file else None,
            user,
            str(ca_file) if ca_file else None,
            clustered,
        )
        super().__init__(published, time_limit_s, keyspace)
        self._sources: dict[str, Keyspace] = {}

    @classmethod
    def at(
        cls, published: Address, time_limit_s: float = TIME_LIMIT_S, keyspace: str = ""
    ) -> StoreClient:
        """A client of the store at ``published``.

        Raises:
            UsageError: As for the class.
        """
        return cls(
            published.address,
            Path(published.password_file) if published.password_file else None,
            user=published.user,
            ca_file=Path(published.ca_file) if published.ca_file else None,
            clustered=published.clustered,
            time_limit_s=time_limit_s,
            keyspace=keyspace,
        )

    @classmethod
    def from_address_file(
        cls,
        path: Path,
        wait_s: float = 0.0,
        time_limit_s: float = TIME_LIMIT_S,
        keyspace: str = "",
    ) -> StoreClient:
        """A client of the store that published ``path``, which may take it up to ``wait_s`` s.

        Raises:
            ParslflowError: The file did not appear, or is not one of a store.
            UsageError: As for the class.
        """
        return cls.at(Address.load(path, wait_s), time_limit_s, keyspace)

    @classmethod
    def of_environment(
        cls, variables: Mapping[str, str] = os.environ, time_limit_s: float = TIME_LIMIT_S
    ) -> StoreClient:
        """A client of the store that the environment names, as SmartRedis clients find it.

        It puts into the keyspace ``SSKEYOUT``, and reads from the first of ``SSKEYIN``, which are
        divided by commas, until `set_data_source`.

        Raises:
            UsageError: As for the class, or the environment names no store.
        """
        address = Address.of_environment(variables)
        client = cls.at(address, time_limit_s, variables.get("SSKEYOUT", ""))
        names = filter(None, variables.get("SSKEYIN", "").split(","))
        client._sources = {name: Keyspace(name) for name in names}
        client.source = next(iter(client._sources.values()), Keyspace())
        return client

    def set_data_source(self, name: str) -> None:
        """Read from another keyspace of those in ``SSKEYIN``.

        Raises:
            UsageError: It is none of them.
        """
        if name not in self._sources:
            raise UsageError(
                f"The data source '{name}' is not in SSKEYIN ('{','.join(self._sources)}'): add it "
                "there before the client is made."
            )
        self.source = self._sources[name]

    def __enter__(self) -> StoreClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
