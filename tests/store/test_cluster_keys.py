"""Where the module's commands have their keys: what a cluster's slots and users' rights go by."""

from __future__ import annotations

import numpy as np
import pytest
import redis
import torch

from parslflow.store.client import StoreClient
from tests.store.conftest import Scripted

PHRASE = "of one"


class Twice(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        ("AI.TENSORSET x FLOAT 1 BLOB abcd", ["x"]),
        ("AI.TENSORGET x META BLOB", ["x"]),
        ("AI.MODELSTORE m TORCH CPU BLOB x", ["m"]),
        ("AI.MODELEXECUTE m INPUTS 2 a b OUTPUTS 1 c TIMEOUT 100", ["m", "a", "b", "c"]),
        ("AI.MODELEXECUTE m OUTPUTS 1 c INPUTS 1 a", ["m", "c", "a"]),
        ("AI.MODELEXECUTE m INPUTS 5 a b", ["m", "a", "b"]),
        ("AI.MODELEXECUTE m INPUTS many a b", ["m"]),
        ("AI.MODELEXECUTE m", ["m"]),
        ("AI.SCRIPTRUN s f INPUTS a b OUTPUTS c", ["s", "a", "b", "c"]),
        ("AI.SCRIPTRUN s f OUTPUTS c d", ["s", "c", "d"]),
        ("AI.SCRIPTRUN s", ["s"]),
        ("AI.INFO m", ["m"]),
    ],
)
def test_server_knows_the_keys(any_store: StoreClient, words: str, keys: list[str]) -> None:
    assert any_store.connection.command_getkeys(*words.split()) == keys


def test_user_reads_and_writes_only_what_is_theirs(
    any_store: StoreClient, scripted: Scripted
) -> None:
    any_store.set_model("mine:m", scripted(Twice()))
    for name in ("mine:x", "theirs:x"):
        any_store.put_tensor(name, np.ones(2))
    connection = any_store.connection
    connection.acl_setuser(
        "one", enabled=True, passwords=[f"+{PHRASE}"], keys=["mine:*"], categories=["+@all"]
    )
    try:
        path = any_store.address.removeprefix("unix://")
        with redis.Redis(unix_socket_path=path, username="one", password=PHRASE) as user:

            def run(source: str, target: str) -> None:
                words = ("mine:m", "INPUTS", 1, source, "OUTPUTS", 1, target)
                user.execute_command("AI.MODELEXECUTE", *words)

            run("mine:x", "mine:y")
            with pytest.raises(redis.exceptions.NoPermissionError):
                run("theirs:x", "mine:z")
            with pytest.raises(redis.exceptions.NoPermissionError):
                run("mine:x", "theirs:z")
        assert not connection.exists("mine:z", "theirs:z")
    finally:
        connection.acl_deluser("one")
