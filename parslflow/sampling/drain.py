"""Takes the tiles of a running simulation off the store's list, one whole model time at a time."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from parslflow.errors import ParslflowError
from parslflow.store import wire
from parslflow.store.client import StoreClient
from parslflow.store.wire import Metadata
from parslflow.store.wire import RawTensor

SHORTEST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.2


class Tile(NamedTuple):
    """The data set of one rank and one model time, as the store sent it.

    Attributes:
        name: Its name, ``<run>_<stamp>_<rank>``.
        metadata: Its offsets, extents, rank and day.
        tensors: Its fields, in the order that was asked for.
    """

    name: str
    metadata: Metadata
    tensors: tuple[RawTensor, ...] = ()

    def integer(self, key: str) -> int:
        """The metadata value ``key``, a whole number.

        Raises:
            ParslflowError: There is no such value.
        """
        return int(self.number(key))

    def number(self, key: str) -> float:
        """The metadata value ``key``, a number.

        Raises:
            ParslflowError: There is no such value.
        """
        value = self.metadata.get(key)
        if not isinstance(value, np.ndarray) or len(value) != 1:
            raise ParslflowError(
                f"The data set '{self.name}' has no metadata '{key}': send one number under that "
                "name."
            )
        return float(value[0])


@dataclass(frozen=True)
class ModelTime:
    """The tiles of all ranks at one model time.

    Attributes:
        stamp: Sorts by time.
        day: Model day of the run's case.
        ranks: How many ranks the simulation has.
        tiles: One for each of them, in no particular order.
    """

    stamp: str
    day: float
    ranks: int
    tiles: tuple[Tile, ...]


class Drain:
    """Iterates over the model times of a run as they become whole, until the run has ended.

    A time's data sets are deleted from the store when the next time is asked for, so the store
    holds only what is not sampled yet. A tile that comes twice is taken once.

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
        self._store = store
        self._list = list_name
        self._run = run
        self._fields = fields
        self._time_limit_s = time_limit_s
        self._name = re.compile(rf"{re.escape(run)}_(\d{{7,}}\.\d{{5}})_\d{{6,}}")
        self._waiting: dict[str, dict[str, Tile]] = {}
        self._done: set[str] = set()
        self._end: Tile | None = None

    def __iter__(self) -> Iterator[ModelTime]:
        """The whole times, in the order in which they become whole.

        Raises:
            ParslflowError: The simulation died, is stuck, or ended with a time incomplete; or what
                is on the list is not of this run.
        """
        pause = SHORTEST_PAUSE_S
        last = time.monotonic()
        while self._end is None:
            names = self._store.drain_list(self._list)
            if names:
                self._sort_in(names)
                for stamp in self._whole():
                    model_time = self._fetch(stamp)
                    yield model_time
                    self._store.delete_datasets([tile.name for tile in model_time.tiles])
                pause = SHORTEST_PAUSE_S
                last = time.monotonic()
            elif time.monotonic() - last > self._time_limit_s:
                raise ParslflowError(
                    f"Nothing new came from the run '{self._run}' for {self._time_limit_s:g} s, "
                    "and it has not ended: it is stuck, or the time limit of the sampling is too "
                    "short."
                )
            else:
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
        self._check_end(self._end)

    def _sort_in(self, names: Sequence[str]) -> None:
        """Add new tiles to their times, and note the end marker."""
        new: dict[str, str] = {}
        late = []
        end = f"{self._run}_end"
        for name in names:
            if name == end:
                continue
            match = self._name.fullmatch(name)
            if match is None:
                raise ParslflowError(
                    f"The list '{self._list}' holds '{name}', which is no tile of the run "
                    f"'{self._run}': give each run a list of its own."
                )
            stamp = match[1]
            if stamp in self._done:
                late.append(name)
            elif name not in self._waiting.get(stamp, {}):
                new[name] = stamp
        for name, metadata in zip(new, self._store.get_metadata(list(new)), strict=True):
            self._waiting.setdefault(new[name], {})[name] = Tile(name, metadata)
        # Sent again after its time was used and deleted.
        self._store.delete_datasets(late)
        if end in names:
            [metadata] = self._store.get_metadata([end])
            self._end = Tile(end, metadata)
            self._store.delete_datasets([end])
            if self._end.integer("status") != 0:
                raise ParslflowError(
                    f"The simulation of the run '{self._run}' died while it was sampled, see its "
                    "folder for why."
                )

    def _whole(self) -> list[str]:
        """The stamps of the times that all ranks have sent."""
        return sorted(stamp for stamp in self._waiting if not self._missing(stamp))

    def _missing(self, stamp: str) -> list[int]:
        """The ranks that have not sent the time."""
        tiles = self._waiting[stamp].values()
        ranks = max(tile.integer("ranks") for tile in tiles)
        return sorted(set(range(ranks)) - {tile.integer("rank") for tile in tiles})

    def _fetch(self, stamp: str) -> ModelTime:
        """The tiles of a whole time with their tensors, in one round trip."""
        tiles = list(self._waiting.pop(stamp).values())
        self._done.add(stamp)
        keys = [wire.tensor_key(tile.name, field) for tile in tiles for field in self._fields]
        raw = iter(self._store.raw_tensors(keys))
        return ModelTime(
            stamp,
            tiles[0].number("day"),
            tiles[0].integer("ranks"),
            tuple(tile._replace(tensors=tuple(next(raw) for _ in self._fields)) for tile in tiles),
        )

    def _check_end(self, end: Tile) -> None:
        """All that was sent has come: the marker is appended after the last tile of every rank."""
        for stamp in sorted(self._waiting):
            missing = self._missing(stamp)
            named = ", ".join(str(rank) for rank in missing)
            raise ParslflowError(
                f"The run '{self._run}' ended, but its time {stamp} is incomplete: no tile came "
                f"from {'rank' if len(missing) == 1 else 'ranks'} {named}."
            )
        if end.integer("times") != len(self._done):
            raise ParslflowError(
                f"The run '{self._run}' sent {end.integer('times')} times, but "
                f"{len(self._done)} came."
            )
