"""Events as they happen, in the store: for whoever watches a run without its files.

The journal is the record; the stream is a copy of its lines for live views. An entry of the Redis
stream ``parslflow.events`` has one field, ``event``, with a line of the journal. ``execution``,
``rank`` and ``sequence`` name an event, whatever happened to a connection.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from typing import Any
from typing import Self

from parslflow.errors import ParslflowError
from parslflow.provenance.journal import Follower
from parslflow.provenance.schema import Event
from parslflow.provenance.schema import parser

if TYPE_CHECKING:
    from parslflow.store.client import StoreClient

KEY = "parslflow.events"
LONGEST = 100_000
"""About so many entries are kept; older ones are only in the journal."""
POLL_SECONDS = 0.2
_BLOCK = 1000


class Publisher:
    """Copies the lines of a journal to the stream while the block runs.

    Nobody waits for it: while the store is full or away, lines wait in their files.

    Args:
        journal: the folder of the run's events.
        address_file: the file that the store publishes its address in; it is waited for.
    """

    def __init__(self, journal: Path, address_file: Path) -> None:
        self._follower = Follower(journal)
        self._address_file = address_file
        self._pending: list[bytes] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="publisher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._address_file.is_file():
            if self._stop.wait(POLL_SECONDS):
                return
        # Here, since importing Redis's client would keep the first simulation waiting.
        from parslflow.store.client import StoreClient

        try:
            client = StoreClient.from_address_file(self._address_file)
        except ParslflowError:
            return
        with client as store:
            while not self._stop.wait(POLL_SECONDS):
                self._publish(store)
            self._publish(store)

    def _publish(self, store: StoreClient) -> None:
        from redis.exceptions import RedisError

        self._pending += [line for _, line in self._follower.new_lines()]
        while self._pending:
            # All of it or nothing: one that is refused comes again, in its place.
            pipeline = store.shards.of(KEY).pipeline()
            for line in self._pending[:_BLOCK]:
                pipeline.xadd(KEY, {"event": line}, maxlen=LONGEST)
            try:
                pipeline.execute()
            except (RedisError, OSError):
                return
            del self._pending[:_BLOCK]


def follow(
    store: StoreClient, after: str = "0", wait_s: float = 1.0
) -> Iterator[tuple[str, Event]]:
    """The events of a store's stream, in the order in which they came.

    Args:
        store: a client of the run's store.
        after: the id of the entry to begin behind; ``0`` begins with the oldest, ``$`` with what
            comes from now on.
        wait_s: how long to wait for another event; the iteration then ends.

    Yields:
        The id of the entry, and the event.
    """
    connection = store.shards.of(KEY)
    while True:
        answer: Any = connection.xread({KEY: after}, count=_BLOCK, block=int(wait_s * 1000))
        if not answer:
            return
        [(_, entries)] = answer
        for entry, fields in entries:
            after = entry.decode()
            yield after, parser.validate_json(fields[b"event"])
