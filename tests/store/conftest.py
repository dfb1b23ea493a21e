"""Both servers that the module must load in, and TorchScript to run in them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from parslflow.store.client import StoreClient
from parslflow.store.server import StoreServer

DEBIAN_REDIS = Path("/usr/bin/redis-server")

Scripted = Callable[[torch.nn.Module], bytes]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    """The module in Debian's Redis 7.0."""
    assert DEBIAN_REDIS.exists(), "install Debian's redis-server: the module must load in it"
    with StoreServer(tmp_path_factory.mktemp("redis"), binary=DEBIAN_REDIS) as server:
        yield server


@pytest.fixture(params=["valkey", "redis"])
def any_store(
    request: pytest.FixtureRequest, store_server: StoreServer, redis_server: StoreServer
) -> Iterator[StoreClient]:
    """A client of an empty store, of each server in turn."""
    server = store_server if request.param == "valkey" else redis_server
    with server.client() as client:
        client.connection.flushdb()
        yield client


@pytest.fixture(scope="session")
def scripted() -> Scripted:
    """Compile a module to the bytes of TorchScript."""

    def compile_module(module: torch.nn.Module) -> bytes:
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            # torch.export has no successor that libtorch alone can load from one file.
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.save(torch.jit.script(module.eval()), buffer)
        return buffer.getvalue()

    return compile_module
