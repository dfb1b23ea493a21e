"""What tests of several parts need: a real store."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from collections.abc import Iterator

import pytest
from hypothesis import settings

from parslflow.store.client import StoreClient
from parslflow.store.server import StoreServer

# A shell has what it starts in the background ignore Ctrl-C, and so would the drivers of tests.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example may take is left to pytest-timeout: on a busy machine any takes long at times.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run ask for more."""
    parser.addoption(
        "--long", action="store_true", help="let what wears store and writer out run for long"
    )


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether there is time."""
    return bool(request.config.getoption("--long"))


def wait_until(condition: Callable[[], bool]) -> None:
    """Fail unless it happens within 20 s."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 20 s"
        time.sleep(0.01)


def present(store: StoreClient) -> list[bytes]:
    """What is in the store, but for the marks of clients that appended to a list."""
    return sorted(key for key in store.connection.scan_iter() if b".appended." not in key)


@pytest.fixture(scope="session")
def store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    """One real server with our module for the whole session, on a unix socket."""
    with StoreServer(tmp_path_factory.mktemp("store")) as server:
        yield server


@pytest.fixture(scope="session")
def cluster_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    """One real cluster of three shards for the whole session, without a password."""
    with StoreServer(tmp_path_factory.mktemp("cluster"), shards=3, password=False) as server:
        yield server


@pytest.fixture
def store(store_server: StoreServer) -> Iterator[StoreClient]:
    """A client of the session's store, which is empty."""
    with store_server.client() as client:
        client.connection.flushdb()
        yield client
