"""Iterates over what a thread makes ahead, a bounded number of items at a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Generic
from typing import TypeVar

Item = TypeVar("Item")


class _End:
    """Behind the last item."""


class Ahead(Generic[Item]):
    """While one item is worked on, a thread makes the next. Use it in a ``with`` block.

    No item is begun before all but ``in_flight`` - 1 of those before it are done with, so that
    ``in_flight`` buffers serve all items.

    Args:
        source: Makes the items.
        in_flight: How many items there are at a time: the one that is worked on and those ahead.
        stop: Makes the source end soon, called from outside the thread when the block is left.
    """

    def __init__(self, source: Iterable[Item], in_flight: int, stop: Callable[[], None]) -> None:
        self._source = source
        self._stop = stop
        self._free = threading.Semaphore(in_flight)
        self._ready: queue.SimpleQueue[Item | BaseException | _End] = queue.SimpleQueue()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._make, name="ahead", daemon=True)

    def __enter__(self) -> Ahead[Item]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._free.release()
        self._stop()
        self._thread.join()

    def __iter__(self) -> Iterator[Item]:
        """The items; whatever the source raises is raised here."""
        while not isinstance(item := self._ready.get(), _End):
            if isinstance(item, BaseException):
                raise item
            yield item
            self._free.release()

    def _make(self) -> None:
        try:
            items = iter(self._source)
            while True:
                self._free.acquire()
                if self._leaving.is_set():
                    return
                try:
                    item = next(items)
                except StopIteration:
                    self._ready.put(_End())
                    return
                self._ready.put(item)
        except BaseException as error:  # for whoever iterates, in their thread
            self._ready.put(error)
