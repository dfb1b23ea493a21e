"""Takes the tiles of a running simulation off the store's list, one whole model time at a time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from parslflow.errors import ParslflowError
from parslflow.sampling.arrivals import Arrivals
from parslflow.store import wire
from parslflow.store.client import StoreClient
from parslflow.store.pipeline import Replies
from parslflow.store.pipelines import Command
from parslflow.store.pipelines import Pipelines
from parslflow.store.sharing import WHOLE
from parslflow.store.sharing import Share

SHORTEST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.2


@dataclass(frozen=True)
class ModelTime:
    """The tiles of all ranks at one model time, as the store sent them.

    Attributes:
        stamp: Sorts by time.
        ranks: How many ranks the simulation has.
        names: The data sets' names, in no particular order.
        replies: For each of them the replies to HGETALL and to a TENSORGET for each field; of use
            until the next time is asked for.
    """

    stamp: str
    ranks: int
    names: list[str]
    replies: Replies


class Drain:
    """Iterates over the model times of a run as they become whole, until the run has ended.

    Several drains, each with its share, take every time once together.

    Give each back with `release`: its data sets are then deleted, so that the store holds only what
    is not sampled yet. A tile that comes twice is taken once. What another drain had taken off the
    list and not given back is taken too. Use it in a ``with`` block, at whose end the last are
    deleted, and with them the marker of the run's end.

    Args:
        store: The store that the simulation sends to.
        list_name: The list that its ranks append to.
        run: The run's name, with which the names of its data sets begin.
        fields: The tensors of each tile to fetch.
        time_limit_s: How long nothing new may come before the simulation is taken for stuck.
        kept: Stamps of times that are done with already: their tiles are deleted.
        share: The times to take; all by default.
    """

    def __init__(
        self,
        store: StoreClient,
        list_name: str,
        run: str,
        fields: Sequence[str],
        time_limit_s: float,
        kept: Collection[str] = (),
        share: Share = WHOLE,
    ) -> None:
        self._store = store
        self._list = list_name
        self._run = run
        self._fields = tuple(fields)
        self._time_limit_s = time_limit_s
        self._share = share
        self._arrivals = Arrivals(run, list_name, kept, share)
        self._ranks: int | None = None
        self._replies = Replies()
        self._used: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._pipelines = Pipelines(store)

    def __enter__(self) -> Drain:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pipelines.close()
        deletions = self._deletions()
        if kind is None and deletions:
            # Another connection, since the first may have been interrupted.
            self._pipelines = Pipelines(self._store)
            self._pipelines.execute(deletions)
            self._pipelines.close()
        if kind is None and self._arrivals.ended:
            self._leave()

    def close(self) -> None:
        """End the iteration, which may be another thread's, within moments."""
        self._closing.set()
        self._pipelines.interrupt()

    def release(self, stamp: str, names: Sequence[str], tensors: Sequence[bytes | None]) -> None:
        """Have the data sets of a time deleted that is done with.

        Args:
            stamp: The time.
            names: Its data sets.
            tensors: For each of them the blob of the names of its tensors.
        """
        # Until now a tile that is sent again is left where it is: its time might not be safe yet.
        self._arrivals.release(stamp)
        known: dict[bytes | None, tuple[str, ...]] = {None: self._fields}
        for name, blob in zip(names, tensors, strict=True):
            if blob is not None and blob not in known:
                known[blob] = tuple(wire.tensor_names(name, blob))
        found = [(name, known[blob]) for name, blob in zip(names, tensors, strict=True)]
        for command in self._pipelines.deletions(found):
            self._used.put(command)

    def __iter__(self) -> Iterator[ModelTime]:
        """The whole times, in the order in which they become whole.

        Raises:
            ParslflowError: The simulation died, is stuck, or ended with a time incomplete; or what
                is on the list is not of this run.
        """
        pause = SHORTEST_PAUSE_S
        last = time.monotonic()
        self._store.begin_share(self._list, self._share)
        left = self._left_behind()
        while not self._closing.is_set() and not self._has_ended():
            names = left + self._store.drain_share(self._list, self._share)
            left = []
            if names:
                # Sent again after their time was used and deleted.
                self._store.delete_datasets(self._arrivals.add(names))
                ranks = self._number_of_ranks()
                whole = self._arrivals.take(ranks)
                requested = self._request(whole[0][1]) if whole else []
                for number, (stamp, _) in enumerate(whole):
                    tiles = requested
                    self._pipelines.receive(self._replies)
                    if number + 1 < len(whole):
                        # The server finds the next time while this one is put together.
                        requested = self._request(whole[number + 1][1])
                    yield ModelTime(stamp, ranks, tiles, self._replies)
                pause = SHORTEST_PAUSE_S
                last = time.monotonic()
            elif time.monotonic() - last > self._time_limit_s:
                raise ParslflowError(
                    f"Nothing new came from the run '{self._run}' for {self._time_limit_s:g} s, "
                    "and it has not ended: it is stuck, or the time limit of the sampling is too "
                    "short."
                )
            else:
                self._pipelines.execute(self._deletions())
                self._closing.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)

    def _request(self, tiles: list[str]) -> list[str]:
        """Ask for a whole time, and have those deleted that were given back.

        Returns:
            The tiles in the order of their replies.
        """
        return self._pipelines.request(tiles, self._fields, self._deletions())

    def _deletions(self) -> list[Command]:
        """The commands that delete what was given back."""
        commands = []
        while not self._used.empty():
            commands.append(self._used.get())
        return commands

    def _number_of_ranks(self) -> int:
        """How many ranks the run has, which each of its tiles says."""
        if self._ranks is None:
            name = self._arrivals.any()
            if name is None:
                return 1
            self._ranks = self._number(name, "ranks")
        return self._ranks

    def _left_behind(self) -> list[str]:
        """What is in the store already, on the list or not: another drain may have taken it off."""
        found = self._store.find_datasets(f"{self._run}_")
        return [name for name in found if self._arrivals.includes(name)]

    def _has_ended(self) -> bool:
        """Whether the marker of the end has come, which is appended after the last tile.

        Raises:
            ParslflowError: The simulation died, or not all has come.
        """
        if not self._arrivals.ended:
            return False
        marker = self._arrivals.end_marker
        if not self._store.dataset_exists(marker):
            # The simulation has begun again since.
            self._arrivals.ended = False
            return False
        status, times = self._number(marker, "status"), self._number(marker, "times")
        try:
            if status != 0:
                raise ParslflowError(
                    f"The simulation of the run '{self._run}' died while it was sampled, see its "
                    "folder for why."
                )
            taken = self._store.finish_share(self._list, self._share, self._arrivals.times)
            self._arrivals.check_end(self._number_of_ranks(), times, taken)
        except ParslflowError:
            self._leave()
            raise
        return True

    def _leave(self) -> None:
        """Delete what was sent again, and with the last who share the list the end's marker."""
        self._store.drain_share(self._list, self._share)
        marker = self._arrivals.end_marker
        self._store.delete_datasets([name for name in self._left_behind() if name != marker])
        if self._store.leave_share(self._list, self._share):
            self._store.delete_datasets([marker])

    def _number(self, dataset: str, key: str) -> int:
        """A whole number of a data set's metadata.

        Raises:
            ParslflowError: There is no such number.
        """
        [metadata] = self._store.get_metadata([dataset])
        value = metadata.get(key)
        if not isinstance(value, np.ndarray) or len(value) != 1:
            raise ParslflowError(
                f"The data set '{dataset}' has no metadata '{key}': send one number under that "
                "name."
            )
        return int(value[0])
