"""Lists that several readers share: each takes the model days that are its own.

Which days these are, the names of the tiles say and nothing else: a reader that starts again, even
with another store, has those that it had before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from parslflow.store import wire
from parslflow.store.datasets import DatasetCalls

# Deals the entries of list KEYS[1] out to the lists of the readers, KEYS[2] and on, then takes all
# that reader ARGV[1] has. What has no day, as the marker of a run's end, is for every reader.
# A full store lets no script add before it has deleted.
_TAKE = """
local entries = redis.call('LRANGE', KEYS[1], 0, -1)
redis.call('DEL', KEYS[1])
local readers = #KEYS - 1
for _, entry in ipairs(entries) do
  local day = string.match(entry, '_(%d+)%.%d+_%d+}$')
  if day then
    redis.call('RPUSH', KEYS[2 + tonumber(day) % readers], entry)
  else
    for reader = 1, readers do redis.call('RPUSH', KEYS[1 + reader], entry) end
  end
end
local own = KEYS[2 + ARGV[1]]
local taken = redis.call('LRANGE', own, 0, -1)
redis.call('DEL', own)
return taken
"""

# Notes in hash KEYS[1] that reader ARGV[1] of ARGV[2] took ARGV[3] times. Answers how many all of
# them took to the last one, and nothing to the others.
_FINISH = """
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
if redis.call('HLEN', KEYS[1]) < tonumber(ARGV[2]) then return false end
local taken = 0
for _, times in ipairs(redis.call('HVALS', KEYS[1])) do taken = taken + times end
return taken
"""

# Notes in set KEYS[1] that reader ARGV[1] of ARGV[2] is done. Answers whether all are, and then
# deletes all KEYS.
_LEAVE = """
redis.call('SREM', KEYS[1], ARGV[1])
redis.call('SADD', KEYS[1], ARGV[1])
if redis.call('SCARD', KEYS[1]) < tonumber(ARGV[2]) then return 0 end
redis.call('DEL', unpack(KEYS))
return 1
"""


@dataclass(frozen=True)
class Share:
    """The part of a list that one of several readers takes.

    Attributes:
        number: Which reader it is, from 0; it takes the days whose number modulo ``of`` is this.
        of: How many readers there are.
    """

    number: int = 0
    of: int = 1

    def has_day(self, day: int) -> bool:
        """Whether it has the times of a model day."""
        return day % self.of == self.number


WHOLE = Share()
"""All that is on a list, for its only reader."""


class SharingCalls(DatasetCalls):
    """The calls for lists that several readers share."""

    def begin_share(self, list: str, share: Share) -> None:
        """Say that a reader has not finished, whatever one before it has said."""
        if share.of > 1:
            key = self.source.key(list)
            self._command(f"list '{key}'", key, "HDEL", _finished(key), share.number)
            self._command(f"list '{key}'", key, "SREM", _left(key), share.number)

    def drain_share(self, list: str, share: Share) -> list[str]:
        """Take the names of all data sets of a share off a list, in one atomic step.

        They are in the order of the list. What is no tile, so that its name does not end in
        ``_DAY.SECOND_RANK``, comes to every reader. As `drain_list` it is not done again when the
        connection is lost.
        """
        if share.of == 1:
            return self.drain_list(list)
        key = self.source.key(list)
        keys = [key, *_dealt(key, share)]
        entries = self._script(key, _TAKE, keys, [share.number])
        return [self.source.dataset_of_entry(entry) for entry in entries]

    def finish_share(self, list: str, share: Share, times: int) -> int | None:
        """Say that a reader has taken all, so many times.

        Returns:
            How many times all of them took; None if others are still at it.
        """
        if share.of == 1:
            return times
        key = self.source.key(list)
        words = [share.number, share.of, times]
        taken: int | None = self._script(key, _FINISH, [_finished(key)], words)
        return taken

    def leave_share(self, list: str, share: Share) -> bool:
        """Say that a reader is done, also with what it made of its share; whether all are now."""
        if share.of == 1:
            return True
        key = self.source.key(list)
        keys = [_left(key), _finished(key), *_dealt(key, share)]
        return bool(self._script(key, _LEAVE, keys, [share.number, share.of]))

    def _script(self, key: str, script: str, keys: Sequence[str], words: Sequence[int]) -> Any:  # noqa: ANN401
        """Run a script on the list ``key`` and on keys beside it."""
        return self._call(
            f"list '{key}'",
            lambda: self.shards.of(key).eval(script, len(keys), *keys, *map(str, words)),
            again=False,
        )


def _dealt(list_key: str, share: Share) -> Sequence[str]:
    """The lists of the readers."""
    return [wire.key_beside(list_key, f"share.{number}") for number in range(share.of)]


def _finished(list_key: str) -> str:
    return wire.key_beside(list_key, "finished")


def _left(list_key: str) -> str:
    return wire.key_beside(list_key, "left")
