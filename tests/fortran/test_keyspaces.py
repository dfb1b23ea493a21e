"""Members of an ensemble: what a program puts under SSKEYOUT and reads under SSKEYIN."""

from __future__ import annotations

import string
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from redis.crc import key_slot

from parslflow.errors import UsageError
from parslflow.store.client import StoreClient
from parslflow.store.wire import LONGEST_KEYSPACE
from parslflow.store.wire import Dataset
from parslflow.store.wire import Keyspace

from .conftest import random_features
from .running import BAD_ARGUMENT
from .running import MISSING_KEY
from .running import OK
from .running import compiled
from .running import run
from .test_client import MODEL
from .test_client import STOCK_READER
from .test_client import stock

Program = Callable[..., Path]

keyspaces = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=20)
names = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=9)


@pytest.fixture(params=["single", "cluster"])
def plain(request: pytest.FixtureRequest) -> Iterator[StoreClient]:
    """A client in no keyspace, of an empty store of each kind in turn."""
    name = "store_server" if request.param == "single" else "cluster_server"
    with request.getfixturevalue(name).client() as client:
        for server in client.shards.all():
            server.flushdb()
        yield client


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "model.pt"
    run("", sys.executable, "-W", "ignore", "-c", MODEL, path)
    return path.read_bytes()


def member_of(store: StoreClient, keyspace: str) -> StoreClient:
    return StoreClient.at(store.published, keyspace=keyspace)


def keys(store: StoreClient) -> set[bytes]:
    """All keys but those by which clients know what they appended."""
    found = {key for server in store.shards.all() for key in server.scan_iter()}
    return {key for key in found if b".append" not in key}


def members(source: str, target: str) -> dict[str, str]:
    return {"SSKEYIN": source, "SSKEYOUT": target}


def test_what_a_program_puts_in_a_keyspace_is_read_there(
    plain: StoreClient, program: Program
) -> None:
    variables = plain.published.environment() | members("m", "m")
    for name in ("datasets", "tensors", "reading"):
        run(plain.address, program(name), **variables)
    assert all(key.startswith(b"m.") for key in keys(plain))
    with member_of(plain, "m") as member:
        assert member.find_datasets("") == ["bare", "first", "made", "second"]
        assert member.drain_list("tiles") == ["first", "second"]
        assert member.get_dataset("first").tensors["field"][2, 3] == 12.0
        assert member.get_tensor("i1").tolist() == list(range(1, 25))
        member.delete_datasets(["first", "second", "made", "bare"])
    assert not any(b"{" in key for key in keys(plain))
    assert plain.find_datasets("") == []


def test_the_stock_client_reads_it_too(
    store: StoreClient, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(store.address, program("datasets"), **members("", "m"))
    monkeypatch.setenv("SSKEYIN", "m")
    found = stock(store.address, STOCK_READER, "first", "second")
    assert found["list"] == ["first", "second"]
    assert found["second"]["metadata"] == {"status": [0]}


def test_a_program_reads_from_each_source_and_puts_into_its_own(
    plain: StoreClient, program: Program, model: bytes
) -> None:
    plain.set_model("network", model)
    for number, name in enumerate(("a", "b")):
        with member_of(plain, name) as member:
            member.put_tensor("x", np.full((1, 4), float(number)))
            tile = Dataset(f"t{number}", {"field": np.array([number + 0.5])})
            member.put_dataset(tile, "tiles")
    variables = plain.published.environment() | members(",a,,b,", "c")
    said = run(plain.address, program("keyspaces"), "a", "none", "a,b", "b", **variables)
    first, *refused, last, gone = said.splitlines()
    assert first == f"{OK} .0 .5 1 t0"
    assert last == f"{OK} 1.0 1.5 1 t1"
    for line in refused:
        assert line.startswith(f"{BAD_ARGUMENT} Cannot read from the keyspace")
        assert "it is not in SSKEYIN, which was ',a,,b,'" in line
    place = f"(store {plain.address})"
    assert gone == f"{MISSING_KEY} Cannot get tensor 'x' {place}: there is no key 'b.x'."
    with member_of(plain, "c") as member:
        assert member.get_tensor("y").tolist() == [1.25]
        assert member.get_tensor("z").tolist() == [[1.0] * 4]
    assert not any(b"TMP" in key or b"parslflow." in key for key in keys(plain))


def test_a_network_is_in_no_keyspace(
    store: StoreClient,
    program: Program,
    networks: Path,
    inference_library: Path,
    tmp_path: Path,
) -> None:
    features = random_features(6)
    script = min(networks.glob("*.script.pt"))
    network = script.name.removesuffix(".script.pt")
    store.set_model(network, script.read_bytes())
    given, got = tmp_path / "features", tmp_path / "answer"
    features.T.tofile(given)
    local = {
        "PARSLFLOW_INFERENCE": "in-process",
        "PARSLFLOW_MODELS": str(networks),
        "PARSLFLOW_LIBTORCH": str(inference_library),
    }
    answers = []
    for more in ({}, local, members("m", "m"), local | members("m", "m")):
        said = run(store.address, program("infer"), network, "6", given, got, **more)
        assert said.splitlines() == [f"{OK} "] * 3
        answers.append(got.read_bytes())
    assert len(set(answers)) == 1
    assert set(store.connection.keys()) == {network.encode(), b"features", b"m.features"}


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(source=keyspaces, target=keyspaces)
@example(source=LONGEST_KEYSPACE * "s", target=LONGEST_KEYSPACE * "t")
def test_keyspaces_of_any_name_pass_both_ways(
    store: StoreClient, program: Program, source: str, target: str
) -> None:
    store.connection.flushdb()
    cube = np.array([[[10101.0]]])
    with member_of(store, source) as member:
        member.put_tensor("from_python", cube)
    run(store.address, program("index_order"), "1", "1", "1", **members(source, target))
    with member_of(store, target) as member:
        np.testing.assert_array_equal(member.get_tensor("cube"), cube)
    expected = {Keyspace(target).key(name) for name in ("cube", "plane", "strided")}
    assert keys(store) == {key.encode() for key in expected | {Keyspace(source).key("from_python")}}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=names | keyspaces, variable=st.sampled_from(["SSKEYIN", "SSKEYOUT"]))
@example(name=(LONGEST_KEYSPACE + 1) * "a", variable="SSKEYOUT")
@example(name="a,b c", variable="SSKEYIN")
@example(name="a,b", variable="SSKEYOUT")
def test_a_name_that_python_refuses_is_refused(
    store: StoreClient, program: Program, name: str, variable: str
) -> None:
    said = run(store.address, program("patience"), "5", **{variable: name}).partition("\n")[0]
    try:
        StoreClient.of_environment({"SSDB": store.address, variable: name}).close()
    except UsageError as error:
        assert said.startswith(f"{BAD_ARGUMENT} Cannot connect")
        assert f"{variable} names the keyspace '" in said
        assert "take letters, digits" in str(error)  # noqa: PT017
    else:
        assert said == f"{OK} "


@pytest.fixture(scope="module")
def slots(library: Path) -> Path:
    """The program `slots`."""
    return compiled("slots", library)


@settings(max_examples=30)
@given(found=st.lists(st.tuples(keyspaces | st.just(""), names | st.text("a{}", max_size=6))))
def test_keys_are_on_the_servers_that_hold_them(slots: Path, found: list[tuple[str, str]]) -> None:
    words = [word for pair in found for word in pair]
    said = subprocess.check_output([slots, *words], text=True, timeout=20).split()
    expected = [key_slot(Keyspace(keyspace).key(name).encode()) for keyspace, name in found]
    assert [int(slot) for slot in said] == expected
