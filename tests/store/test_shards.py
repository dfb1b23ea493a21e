"""The servers of a cluster: what begins the names of their models."""

from __future__ import annotations

import pytest
from redis.crc import key_slot

from parslflow.store.shards import SLOTS
from parslflow.store.shards import shard_prefix


@pytest.mark.parametrize(
    ("slot", "prefix"), [(0, "0000"), (5461, "384d"), (10922, "709a"), (9, "01265c")]
)
def test_prefixes_are_the_stock_clients(slot: int, prefix: str) -> None:
    """As seen on clusters whose models it put."""
    assert shard_prefix(slot).hex() == prefix


def test_the_prefix_of_each_slot_lies_in_it_between_braces() -> None:
    for slot in range(SLOTS):
        key = b"{" + shard_prefix(slot) + b"}.name"
        assert key_slot(key) == slot
        assert key.count(b"{") == key.count(b"}") == 1
