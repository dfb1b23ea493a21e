"""Takes the tiles of a running simulation off the store's list, one whole model time at a time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np

from parslflow.errors import ParslflowError
from parslflow.sampling.arrivals import Arrivals
from parslflow.store import wire
from parslflow.store.client import StoreClient
from parslflow.store.pipeline import Pipeline
from parslflow.store.pipeline import Replies

SHORTEST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.2

BUFFERS = 2
"""One is read into while the other is worked on."""

KEYS_AT_ONCE = 2000
"""Keys that are deleted in one command: the server does nothing else meanwhile."""


@dataclass(frozen=True)
class ModelTime:
    """The tiles of all ranks at one model time, as the store sent them.

    Attributes:
        stamp: Sorts by time.
        ranks: How many ranks the simulation has.
        names: The data sets' names, in no particular order.
        replies: For each of them the replies to HGETALL and to a TENSORGET for each field.
    """

    stamp: str
    ranks: int
    names: list[str]
    replies: Replies


class Drain:
    """Iterates over the model times of a run as they become whole, until the run has ended.

    While one time is worked on a thread reads the next. Give each back with `release`: its data
    sets are then deleted from the store, which so holds only what is not sampled yet, and its
    buffer is used again. A tile that comes twice is taken once. Use it in a ``with`` block.

    Args:
        store: The store that the simulation sends to.
        list_name: The list that its ranks append to.
        run: The run's name, with which the names of its data sets begin.
        fields: The tensors of each tile to fetch.
        time_limit_s: How long nothing new may come before the simulation is taken for stuck.
    """

    def __init__(
        self,
        store: StoreClient,
        list_name: str,
        run: str,
        fields: Sequence[str],
        time_limit_s: float,
    ) -> None:
        self._list = list_name
        self._run = run
        self._fields = tuple(fields)
        self._time_limit_s = time_limit_s
        self._arrivals = Arrivals(run, list_name)
        self._ranks: int | None = None
        self._free: queue.SimpleQueue[Replies | None] = queue.SimpleQueue()
        self._used: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[ModelTime | BaseException | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._store = store
        self._pipeline = Pipeline(store.published)
        self._reader = threading.Thread(target=self._read, name="drain", daemon=True)
        for _ in range(BUFFERS):
            self._free.put(Replies())

    def __enter__(self) -> Drain:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._free.put(None)
        self._pipeline.close()
        if self._reader.is_alive():
            self._reader.join()

    def __iter__(self) -> Iterator[ModelTime]:
        """The whole times, in the order in which they become whole; once only.

        Raises:
            ParslflowError: The simulation died, is stuck, or ended with a time incomplete; or what
                is on the list is not of this run.
        """
        self._reader.start()
        while (item := self._ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    def release(self, model_time: ModelTime, tensors: Sequence[bytes | None]) -> None:
        """Delete a time that is done with, and read into its buffer again.

        Args:
            model_time: The time.
            tensors: For each of its data sets the blob of the names of its tensors.
        """
        keys = []
        names: dict[bytes, list[str]] = {}
        for name, blob in zip(model_time.names, tensors, strict=True):
            if blob is not None and blob not in names:
                names[blob] = wire.tensor_names(name, blob)
            keys += wire.keys(name, names[blob] if blob is not None else self._fields)
        self._used.put(keys)
        self._free.put(model_time.replies)

    # The reader

    def _read(self) -> None:
        """Read times until the end, and hand over whatever stops it."""
        try:
            self._read_times()
            self._ready.put(None)
        except BaseException as error:  # for whoever iterates, in their thread
            self._ready.put(error)

    def _read_times(self) -> None:
        pause = SHORTEST_PAUSE_S
        last = time.monotonic()
        while not self._arrivals.ended and not self._closing.is_set():
            names = self._store.drain_list(self._list)
            if names:
                # Sent again after their time was used and deleted.
                self._store.delete_datasets(self._arrivals.add(names))
                ranks = self._number_of_ranks()
                for stamp, tiles in self._arrivals.take(ranks):
                    if not self._fetch(stamp, ranks, tiles):
                        return
                pause = SHORTEST_PAUSE_S
                last = time.monotonic()
            elif time.monotonic() - last > self._time_limit_s:
                raise ParslflowError(
                    f"Nothing new came from the run '{self._run}' for {self._time_limit_s:g} s, "
                    "and it has not ended: it is stuck, or the time limit of the sampling is too "
                    "short."
                )
            else:
                self._delete_used()
                self._closing.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
        if self._arrivals.ended:
            self._finish()

    def _number_of_ranks(self) -> int:
        """How many ranks the run has, which each of its tiles says."""
        if self._ranks is None:
            name = self._arrivals.any()
            if name is None:
                return 1
            self._ranks = self._number(name, "ranks")
        return self._ranks

    def _fetch(self, stamp: str, ranks: int, tiles: list[str]) -> bool:
        """Read a whole time into a free buffer; False when there will be none any more."""
        buffer = self._free.get()
        if buffer is None:
            return False
        self._delete_used()
        requests = [wire.dataset_request(name, self._fields) for name in tiles]
        self._pipeline.exchange(requests, 1 + len(self._fields), buffer)
        self._ready.put(ModelTime(stamp, ranks, tiles, buffer))
        return True

    def _finish(self) -> None:
        """Check that all has come: the marker is appended after the last tile of every rank."""
        marker = self._arrivals.end_marker
        status, times = self._number(marker, "status"), self._number(marker, "times")
        self._store.delete_datasets([marker])
        if status != 0:
            raise ParslflowError(
                f"The simulation of the run '{self._run}' died while it was sampled, see its "
                "folder for why."
            )
        for _ in range(BUFFERS):
            if self._free.get() is None:
                return
        self._delete_used()
        self._arrivals.check_end(self._number_of_ranks(), times)

    def _delete_used(self) -> None:
        while not self._used.empty():
            keys = self._used.get()
            for first in range(0, len(keys), KEYS_AT_ONCE):
                self._store.delete(*keys[first : first + KEYS_AT_ONCE])

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
