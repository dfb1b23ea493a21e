"""A store that somebody else started: ours, RedisAI's, or that of a SmartSim experiment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import redis

from parslflow.errors import ParslflowError
from parslflow.store.address import Address
from parslflow.store.client import StoreClient
from parslflow.store.server import usage

ANSWER_S = 30.0


class RunningStore:
    """A store that is used inside a ``with`` block, and left as it is.

    Its address is published in the folder as that of a store of one's own would be.

    Args:
        folder: Gets address.json.
        published: Where it is; whether it is a cluster is found out.

    Raises:
        UsageError: The address is none, or the password file cannot be read.
    """

    def __init__(self, folder: Path, published: Address) -> None:
        self.published = published
        self.address = published.address
        self.address_file = folder.resolve() / "address.json"
        self._before: dict[str, str | int | float] = {}

    def __enter__(self) -> RunningStore:
        """Check that it answers, and answers SmartRedis clients.

        Raises:
            ParslflowError: It does not.
        """
        self.published = discovered(self.published)
        with self.client() as client:
            client.ping()
            for server in client.shards.all():
                _check_commands(server, self.address)
            self._before = usage(client)
        self.published.publish(self.address_file)
        return self

    def __exit__(self, *_: object) -> None:
        self.address_file.unlink(missing_ok=True)

    def client(self) -> StoreClient:
        """A new client of the store."""
        return StoreClient.at(self.published, time_limit_s=ANSWER_S)

    def check(self) -> None:
        """Do nothing: whoever started it sees to it, and its clients notice when it has gone."""

    def usage(self) -> dict[str, str | int | float]:
        """What it has done meanwhile, for whomever: commands, connections; peak memory in MiB."""
        with self.client() as client:
            now = usage(client)
        return {
            name: value if name == "peak_memory_mb" else int(value) - int(self._before[name])
            for name, value in now.items()
        }


def discovered(published: Address) -> Address:
    """The address with whether it is that of a cluster, which its servers know.

    Raises:
        ParslflowError: None of them answers.
    """
    first = replace(published, address=published.address.split(",")[0], clustered=False)
    with StoreClient.at(first, time_limit_s=ANSWER_S) as client:
        [info] = client.info()
    return replace(published, clustered=bool(info.get("cluster_enabled", 0)))


def _check_commands(server: redis.Redis, address: str) -> None:
    try:
        server.execute_command("AI.CONFIG", "GET", "MODEL_CHUNK_SIZE")  # type: ignore[no-untyped-call]
    except redis.ResponseError as error:
        raise ParslflowError(
            f"Store {address} does not know the AI.* commands ({error}): start it with "
            "'parslflow store start', or load RedisAI or this package's module into it."
        ) from error
