"""Which tiles of a run have come, and which of its model times are whole."""

from __future__ import annotations

import re
from collections.abc import Collection
from collections.abc import Iterable

from parslflow.errors import ParslflowError
from parslflow.store.sharing import WHOLE
from parslflow.store.sharing import Share


class Arrivals:
    """Sorts the names on a list by model time and rank. A tile that comes twice counts once.

    Args:
        run: The run's name, with which the names of its data sets begin.
        list_name: The list that its ranks append to, for messages.
        kept: Stamps of times that are done with already.
        share: The times that are sorted.
    """

    def __init__(
        self, run: str, list_name: str, kept: Collection[str] = (), share: Share = WHOLE
    ) -> None:
        self._run = run
        self._list = list_name
        self._share = share
        self._name = re.compile(rf"{re.escape(run)}_(\d{{7,}}\.\d{{5}})_(\d{{6,}})")
        self._waiting: dict[str, dict[int, str]] = {}
        self._taken = set(kept)
        self._released = set(kept)
        self.ended = False
        """Whether the marker of the run's end has come."""

    @property
    def end_marker(self) -> str:
        """The name of the data set that marks the run's end."""
        return f"{self._run}_end"

    def includes(self, name: str) -> bool:
        """Whether a data set is of this run and share."""
        match = self._name.fullmatch(name)
        if match is None:
            return name == self.end_marker
        return self._share.has_day(int(match[1].partition(".")[0]))

    @property
    def times(self) -> int:
        """How many whole times were taken, those of before included."""
        return len(self._taken)

    def add(self, names: Iterable[str]) -> list[str]:
        """Sort in what was on the list.

        Returns:
            Tiles of times that are done with already, which nobody needs. Those of a time that was
            taken and is not done with go with it.

        Raises:
            ParslflowError: One is no tile of this run.
        """
        late = []
        for name in names:
            match = self._name.fullmatch(name)
            if match is not None:
                stamp, rank = match.groups()
                if stamp in self._released:
                    late.append(name)
                elif stamp not in self._taken:
                    self._waiting.setdefault(stamp, {})[int(rank)] = name
            elif name == self.end_marker:
                self.ended = True
            else:
                raise ParslflowError(
                    f"The list '{self._list}' holds '{name}', which is no tile of the run "
                    f"'{self._run}': give each run a list of its own."
                )
        return late

    def release(self, stamp: str) -> None:
        """A time that was taken is done with; any thread may say so."""
        self._released.add(stamp)

    def any(self) -> str | None:
        """A tile that waits for its time to be whole, if there is one."""
        return next((name for tiles in self._waiting.values() for name in tiles.values()), None)

    def take(self, ranks: int) -> list[tuple[str, list[str]]]:
        """The stamps and tiles of the times that all ``ranks`` have sent, in the order of time."""
        whole = sorted(stamp for stamp, tiles in self._waiting.items() if len(tiles) >= ranks)
        self._taken.update(whole)
        return [(stamp, list(self._waiting.pop(stamp).values())) for stamp in whole]

    def check_end(self, ranks: int, sent: int, taken: int | None) -> None:
        """All has come that was sent.

        Args:
            ranks: How many ranks there are.
            sent: How many times each of them has sent, over all starts of the run.
            taken: How many were taken by all who share the list; None if others are still at it.

        Raises:
            ParslflowError: A time is incomplete, or never came.
        """
        for stamp in sorted(self._waiting):
            missing = sorted(set(range(ranks)) - self._waiting[stamp].keys())
            named = ", ".join(str(rank) for rank in missing)
            raise ParslflowError(
                f"The run '{self._run}' ended, but its time {stamp} is incomplete: no tile came "
                f"from {'rank' if len(missing) == 1 else 'ranks'} {named}."
            )
        if taken is not None and sent != taken:
            raise ParslflowError(f"The run '{self._run}' sent {sent} times, but {taken} came.")
