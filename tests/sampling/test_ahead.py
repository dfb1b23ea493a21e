"""Items come in order, made ahead but not too far, and whoever leaves early waits for nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from parslflow.sampling.ahead import Ahead


class Source:
    """Counts what it has begun, and waits for ``go`` before each."""

    def __init__(self, items: int) -> None:
        self.items = items
        self.begun = 0
        self.stopped = threading.Event()

    def __iter__(self) -> Iterator[int]:
        for item in range(self.items):
            if self.stopped.is_set():
                return
            self.begun += 1
            yield item

    def stop(self) -> None:
        self.stopped.set()


def settled(source: Source) -> int:
    """How many are begun when no more is begun."""
    time.sleep(0.1)
    return source.begun


@pytest.mark.parametrize("in_flight", [1, 2, 3])
def test_no_more_is_begun_than_may_be_in_flight(in_flight: int) -> None:
    source = Source(6)
    with Ahead(source, in_flight, source.stop) as items:
        for number, item in enumerate(items):
            assert item == number
            assert settled(source) == min(number + in_flight, 6)
    assert source.begun == 6


def test_an_error_of_the_source_is_raised_where_the_items_are_used() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise KeyError("here")

    with Ahead(failing(), 2, lambda: None) as items:
        iterator = iter(items)
        assert next(iterator) == 1
        with pytest.raises(KeyError, match="here"):
            next(iterator)


def test_leaving_early_stops_the_source_and_ends_the_thread() -> None:
    waiting = threading.Event()

    def endless() -> Iterator[int]:
        yield 1
        waiting.wait(60)

    started = time.monotonic()
    with Ahead(endless(), 2, waiting.set) as items:
        assert next(iter(items)) == 1
    assert time.monotonic() - started < 5
    assert not [thread for thread in threading.enumerate() if thread.name == "ahead"]
