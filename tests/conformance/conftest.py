"""The stock clients' stores: one server, of two makes, and a cluster of three."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import redis
import smartredis

from parslflow.store.server import StoreServer
from tests.conformance.fortran import Library
from tests.conformance.fortran import build_ours
from tests.conformance.fortran import build_stock
from tests.store.conftest import DEBIAN_REDIS
from tests.store.conftest import Scripted
from tests.store.conftest import scripted

__all__ = ["Scripted", "scripted"]


@dataclass(frozen=True)
class Place:
    """A store that knows no password."""

    addresses: list[str]
    """What SSDB may be; for a cluster one a shard."""
    clustered: bool
    nodes: list[redis.Redis]
    """A plain connection to each server."""

    def environment(self) -> dict[str, str]:
        """What a stock client reads its settings from."""
        return {
            "SSDB": ",".join(self.addresses),
            "SR_DB_TYPE": "Clustered" if self.clustered else "Standalone",
            "SR_LOG_LEVEL": "QUIET",
            # Its default of 250 ms sends what takes longer again.
            "SR_SOCKET_TIMEOUT": "60000",
        }

    def keys(self) -> set[bytes]:
        """The keys of all servers."""
        return {key for node in self.nodes for key in node.keys("*")}

    def clear(self) -> None:
        """Drop all keys."""
        for node in self.nodes:
            node.flushdb()


@pytest.fixture(scope="session")
def standalone(store_server: StoreServer) -> Iterator[Place]:
    """The module in Valkey."""
    with _place_of(store_server) as place:
        yield place


@pytest.fixture(scope="session")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The module in Debian's Redis."""
    folder = tmp_path_factory.mktemp("debian")
    with StoreServer(folder, binary=DEBIAN_REDIS) as server, _place_of(server) as place:
        yield place


@contextmanager
def _place_of(server: StoreServer) -> Iterator[Place]:
    path = server.address.removeprefix("unix://")
    with redis.Redis(unix_socket_path=path) as node:
        yield Place([server.address], False, [node])


@pytest.fixture(scope="session")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Three shards of Valkey."""
    folder = tmp_path_factory.mktemp("cluster")
    with StoreServer(folder, shards=3, password=False) as server, server.client() as client:
        yield Place(server.address.split(","), True, client.shards.all())


@pytest.fixture(params=["standalone", "debian", "clustered"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Each store in turn, empty, and the environment in which stock clients find it."""
    found: Place = request.getfixturevalue(request.param)
    found.clear()
    for name, value in found.environment().items():
        monkeypatch.setenv(name, value)
    for name in ("SSKEYIN", "SSKEYOUT"):
        monkeypatch.delenv(name, raising=False)
    return found


@pytest.fixture
def client(place: Place) -> smartredis.Client:
    """A stock client of `place`."""
    return smartredis.Client(logger_name="tests")


@pytest.fixture(scope="session")
def stock_fortran(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The stock Fortran client."""
    return build_stock(tmp_path_factory.mktemp("stock"))


@pytest.fixture(scope="session")
def our_fortran(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Our Fortran client."""
    return build_ours(tmp_path_factory.mktemp("ours"))
