"""Whole data sets from all servers of a store, with as few round trips as there are servers."""

from __future__ import annotations

from collections.abc import Sequence

from parslflow.store.client import StoreClient
from parslflow.store.packing import dataset_request
from parslflow.store.packing import delete_request
from parslflow.store.pipeline import Pipeline
from parslflow.store.pipeline import Replies

DATASETS_AT_ONCE = 500
"""Data sets that are deleted in one command: the server does nothing else meanwhile."""

Command = tuple[int, bytes]
"""A server's number, and what is sent there."""


class Pipelines:
    """A pipeline to each server of a store, which must not move its keys meanwhile.

    Args:
        store: The store; the data sets are those of the keyspace that it reads from.

    Raises:
        ParslflowError: It cannot be reached, or refuses the password.
    """

    def __init__(self, store: StoreClient) -> None:
        self._store = store
        self._all: list[Pipeline] = []
        try:
            for address in store.servers():
                self._all.append(Pipeline(address))
        except BaseException:
            self.close()
            raise

    def interrupt(self) -> None:
        """End the connections, from any thread."""
        for pipeline in self._all:
            pipeline.interrupt()

    def close(self) -> None:
        """Close the connections, which nobody uses any more."""
        for pipeline in self._all:
            pipeline.close()

    def request(
        self, datasets: Sequence[str], tensors: tuple[str, ...], commands: Sequence[Command] = ()
    ) -> list[str]:
        """Ask for data sets: the metadata of each and some of its tensors.

        Args:
            datasets: Their names.
            tensors: The names of the tensors of each.
            commands: What is to be done before, with one simple reply each.

        Returns:
            The data sets in the order in which `receive` gives the replies.

        Raises:
            ParslflowError: A connection broke.
        """
        if len(self._all) > 1:
            # Replies to commands must not lie between those of two servers.
            self.execute(commands)
            commands = ()
        keyspace = self._store.source
        parts: list[list[str]] = [[] for _ in self._all]
        for name in datasets:
            parts[self._number(name)].append(name)
        for pipeline, part in zip(self._all, parts, strict=True):
            requests = [dataset_request(keyspace, name, tensors) for name in part]
            pipeline.request(requests, 1 + len(tensors), [command for _, command in commands])
        return [name for part in parts for name in part]

    def receive(self, into: Replies) -> None:
        """Receive the replies to what was requested.

        Args:
            into: Gets the replies, in place of what is in it.

        Raises:
            ParslflowError: As `Pipeline.receive`.
        """
        for number, pipeline in enumerate(self._all):
            pipeline.receive(into, behind=number > 0)

    def deletions(self, datasets: Sequence[tuple[str, tuple[str, ...]]]) -> list[Command]:
        """The commands that delete data sets, each with the names of its tensors."""
        keyspace = self._store.source
        if len(self._all) > 1:  # a command's keys must be of one slot
            return [(self._number(one[0]), delete_request(keyspace, [one])) for one in datasets]
        return [
            (0, delete_request(keyspace, datasets[first : first + DATASETS_AT_ONCE]))
            for first in range(0, len(datasets), DATASETS_AT_ONCE)
        ]

    def execute(self, commands: Sequence[Command]) -> None:
        """Send commands with one simple reply each, and wait until they are done.

        Raises:
            ParslflowError: As `Pipeline.receive`.
        """
        for number, pipeline in enumerate(self._all):
            pipeline.execute([command for one, command in commands if one == number])

    def _number(self, dataset: str) -> int:
        if len(self._all) == 1:
            return 0
        return self._store.server_of(self._store.source.metadata_key(dataset))
