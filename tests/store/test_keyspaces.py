"""Members of an ensemble in one store: each call touches what is in its keyspace, and no more."""

from __future__ import annotations

import string
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.store.client import StoreClient
from parslflow.store.errors import MissingKey
from parslflow.store.sharing import Share
from parslflow.store.wire import Dataset
from tests.store.conftest import Scripted

MEMBERS = ("", "a", "a.b")

Members = dict[str, StoreClient]

keyspaces = st.text(string.ascii_letters + string.digits + "._-", max_size=8)
names = st.text("ab.*[\\_é", min_size=1, max_size=6)


class Twice(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


@pytest.fixture(params=["store_server", "cluster_server"])
def members(request: pytest.FixtureRequest) -> Iterator[Members]:
    """A client in each of three keyspaces, of an empty store of each kind in turn."""
    published = request.getfixturevalue(request.param).published
    made = {name: StoreClient.at(published, keyspace=name) for name in MEMBERS}
    for server in made[""].shards.all():
        server.flushdb()
    yield made
    for client in made.values():
        client.close()


def tile(name: str, number: float) -> Dataset:
    return Dataset(name, {"h": np.full((2, 3), number)}, {"number": number})


def keys(store: StoreClient) -> set[bytes]:
    found = {key for server in store.shards.all() for key in server.scan_iter()}
    return {key for key in found if b".appended." not in key}


def test_tensors_of_a_keyspace_are_its_own(members: Members) -> None:
    for number, member in enumerate(members.values()):
        member.put_tensor("x", np.full(2, number))
        member.copy_tensor("x", "y")
        member.rename_tensor("y", "z")
    members["a"].delete("x", "none")
    assert not members["a"].tensor_exists("x")
    assert not members["a"].poll_tensor("x", 0.01)
    with pytest.raises(MissingKey, match=r"tensor 'a\.x'"):
        members["a"].get_tensor("x")
    for number, name in enumerate(MEMBERS):
        assert members[name].get_tensor("z").tolist() == [number, number]
        assert members[name].poll_tensor("z", 0.01)
        assert members[name].key_exists("a.b.x")
    assert keys(members[""]) == {b"x", b"z", b"a.z", b"a.b.x", b"a.b.z"}


def test_data_sets_and_lists_of_a_keyspace_are_its_own(members: Members) -> None:
    for number, member in enumerate(members.values()):
        member.put_dataset(tile("d1", number), "tiles")
        member.put_dataset(tile("d2", number))
        member.append_to_list("tiles", "d2")
    plain, member = members[""], members["a"]
    assert keys(plain) >= {b"tiles", b"a.tiles", b"{d1}.meta", b"a.b.{d1}.h"}
    for number, one in enumerate(members.values()):
        assert one.get_list("tiles") == ["d1", "d2"]
        assert one.find_datasets("d") == ["d1", "d2"]
        assert one.get_dataset("d1").tensors["h"][1, 2] == number
        assert [float(found["number"][0]) for found in one.get_metadata(["d2"])] == [number]
    assert member.poll_list_length("tiles", 2, 0.01)
    assert member.drain_list("tiles") == ["d1", "d2"]
    assert member.list_length("tiles") == 0
    member.delete_datasets(["d1", "d2"])
    assert not member.poll_dataset("d1", 0.01)
    assert not any(key.startswith((b"a.{", b"a.tiles")) for key in keys(plain))
    for name in ("", "a.b"):
        assert members[name].get_list("tiles") == ["d1", "d2"]
        assert members[name].dataset_exists("d1")
    with pytest.raises(MissingKey, match=r"no data set 'a\.d1'"):
        member.get_dataset("d1")


def test_shares_of_a_list_are_those_of_its_keyspace(members: Members) -> None:
    for name, member in members.items():
        for day in range(3):
            member.append_to_list("tiles", f"run{name}_{day:07d}.00000_000000")
        member.append_to_list("tiles", "end")
    shares = [Share(0, 2), Share(1, 2)]
    for name, member in members.items():
        for share in shares:
            member.begin_share("tiles", share)
        days = [f"run{name}_{day:07d}.00000_000000" for day in range(3)]
        found = [member.drain_share("tiles", share) for share in shares]
        assert found == [[days[0], days[2], "end"], [days[1], "end"]]
        assert [member.finish_share("tiles", share, 5) for share in shares] == [None, 10]
        assert [member.leave_share("tiles", share) for share in shares] == [False, True]
    assert keys(members[""]) == set()


def test_models_and_scripts_are_everyones(members: Members, scripted: Scripted) -> None:
    members["a"].set_model("twice", scripted(Twice()))
    members[""].set_script("s", "def thrice(x):\n    return 3 * x\n")
    for number, member in enumerate(members.values()):
        member.put_tensor("x", np.full(2, float(number)))
        member.run_model("twice", ["x"], ["y"])
        member.run_script("s", "thrice", ["y"], ["z"])
        assert member.model_exists("twice")
    for number, member in enumerate(members.values()):
        assert member.get_tensor("z").tolist() == [6.0 * number] * 2
    assert {key for key in keys(members[""]) if key.endswith(b"z")} == {b"z", b"a.z", b"a.b.z"}
    members["a.b"].delete_model("twice")
    members["a.b"].delete_script("s")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pair=st.lists(keyspaces, min_size=2, max_size=2, unique=True),
    mine=st.sets(names, max_size=4),
    others=st.sets(names, max_size=4),
    prefix=names | st.just(""),
)
def test_data_sets_of_two_keyspaces_are_never_mixed_up(
    store: StoreClient, pair: list[str], mine: set[str], others: set[str], prefix: str
) -> None:
    store.connection.flushdb()
    sent = dict(zip(pair, (mine, others), strict=True))
    clients = {name: StoreClient.at(store.published, keyspace=name) for name in pair}
    for name, client in clients.items():
        for dataset in sorted(sent[name]):
            client.put_dataset(Dataset(dataset, {"t": np.zeros(1)}, {"of": [name]}), "list")
    first, second = pair
    for name, client in clients.items():
        found = client.find_datasets(prefix)
        assert found == sorted(one for one in sent[name] if one.startswith(prefix))
        assert [values["of"] for values in client.get_metadata(found)] == [[name]] * len(found)
    clients[first].delete_datasets(list(mine))
    assert clients[first].drain_list("list") == sorted(mine)
    assert clients[second].find_datasets("") == sorted(others)
    assert clients[second].get_list("list") == sorted(others)
    for client in clients.values():
        client.close()


def test_the_environment_names_sources_and_target(store: StoreClient) -> None:
    variables = store.published.environment() | {"SSKEYIN": ",a,,b", "SSKEYOUT": "c"}
    for number, name in enumerate(("a", "b")):
        with StoreClient.at(store.published, keyspace=name) as member:
            member.put_tensor("x", np.full(1, number))
    with StoreClient.of_environment(variables) as client:
        client.copy_tensor("x", "from a")
        client.set_data_source("b")
        client.rename_tensor("x", "from b")
        for name in ("c", "", "a,b"):
            with pytest.raises(UsageError, match=rf"'{name}' is not in SSKEYIN \('a,b'\)"):
                client.set_data_source(name)
    assert keys(store) == {b"a.x", b"c.from a", b"c.from b"}
    with StoreClient.of_environment(variables | {"SSKEYIN": ""}) as client:
        client.put_dataset(Dataset("d"), "list")
        assert client.get_list("list") == []
        with pytest.raises(UsageError, match="not in SSKEYIN"):
            client.set_data_source("a")
    assert store.connection.lrange("c.list", 0, -1) == [b"c.{d}"]


def test_an_entry_of_another_keyspace_is_told(store: StoreClient) -> None:
    store.connection.rpush("tiles", "member.{d}")
    store.connection.rpush("m.tiles", "{d}")
    with pytest.raises(ParslflowError, match="of the keyspace 'member', but the list of no key"):
        store.get_list("tiles")
    with (
        StoreClient.at(store.published, keyspace="m") as member,
        pytest.raises(ParslflowError, match=r"of no keyspace, but the list of the keyspace 'm'"),
    ):
        member.drain_list("tiles")
