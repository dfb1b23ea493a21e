"""Every method of the stock Python client, on one server and on a cluster."""

from __future__ import annotations

import inspect
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import redis
import smartredis
import torch
from smartredis.error import RedisReplyError
from smartredis.error import RedisRuntimeError

from parslflow.store.shards import shard_prefix
from tests.conformance import covering
from tests.conformance.conftest import Place
from tests.conformance.conftest import Scripted
from tests.conformance.covering import covers

DTYPES = ["f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2"]

# Keys of several shards.
NAMES = [f"key-{index}" for index in range(12)]


class Line(torch.nn.Module):
    """Two inputs, two outputs."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return 2 * x + y, x - y


def add(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a + b


CHUNK_SIZE = 535822336

SOURCE = inspect.getsource(add)


@pytest.fixture(autouse=True)
def _calls_what_it_covers(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    names = set(getattr(request.function, "covers", ()))
    called = covering.record(smartredis.Client, names, monkeypatch)
    yield
    assert called == names


def test_every_method_has_a_test() -> None:
    inherited = covering.public(smartredis.SRObject)
    methods = covering.public(smartredis.Client) - inherited
    assert covering.covered(globals()) == methods


def dataset(name: str, value: float = 1.0) -> smartredis.Dataset:
    made = smartredis.Dataset(name)
    made.add_tensor("x", np.full((2, 3), value))
    made.add_meta_scalar("day", value)
    made.add_meta_string("run", "high")
    return made


def values(datasets: list[object]) -> list[tuple[str, float]]:
    """Name and value of each of a list's data sets, which the client leaves raw."""
    made = [smartredis.Dataset.from_pybind(one) for one in datasets]
    return [(one.get_name(), float(one.get_tensor("x")[0, 0])) for one in made]


@contextmanager
def after(seconds: float, place: Place, *command: str) -> Iterator[None]:
    """Send a command in a while, from another process: a poll holds this one's interpreter."""
    address = place.addresses[0]
    where = ["-s", address.removeprefix("unix://")]
    if place.clustered:
        where = ["-c", "-p", address.rpartition(":")[2]]
    waiting = 'sleep "$0"; exec redis-cli "$@"'
    process = subprocess.Popen(
        ["sh", "-c", waiting, str(seconds), *where, *command], stdout=subprocess.DEVNULL
    )
    yield
    assert process.wait(20) == 0


# Tensors


@pytest.mark.parametrize("dtype", DTYPES)
@covers("put_tensor", "get_tensor")
def test_tensors_of_each_type(client: smartredis.Client, dtype: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    for given in (array, array.T, array[::-1, ::2], array[0, 0, :1]):
        client.put_tensor("x", given)
        back = client.get_tensor("x")
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, given)


@covers("get_tensor", "put_tensor")
def test_tensor_that_is_not_there_is_an_error(client: smartredis.Client) -> None:
    with pytest.raises(RedisReplyError, match="no tensor under the key 'none'"):
        client.get_tensor("none")
    with pytest.raises(TypeError, match="complex128"):
        client.put_tensor("x", np.ones(2, complex))


@covers("put_tensor", "get_tensor")
def test_arrays_in_the_order_of_fortran_are_not_put_in_theirs(client: smartredis.Client) -> None:
    array = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], order="F")
    client.put_tensor("x", array)
    # It sends the memory of an array that is no view as it lies.
    np.testing.assert_array_equal(client.get_tensor("x"), [[1.0, 4.0, 2.0], [5.0, 3.0, 6.0]])


@covers("rename_tensor", "copy_tensor", "delete_tensor", "tensor_exists")
def test_tensors_are_renamed_copied_and_deleted(client: smartredis.Client, place: Place) -> None:
    for name in NAMES:
        client.put_tensor(name, np.arange(3.0))
        client.rename_tensor(name, f"{name}-renamed")
        client.copy_tensor(f"{name}-renamed", f"{name}-copy")
        client.delete_tensor(f"{name}-renamed")
        assert client.tensor_exists(f"{name}-copy")
        assert not client.tensor_exists(name)
        np.testing.assert_array_equal(client.get_tensor(f"{name}-copy"), np.arange(3.0))
    assert place.keys() == {f"{name}-copy".encode() for name in NAMES}
    with pytest.raises(RedisReplyError):
        client.rename_tensor("none", "other")
    with pytest.raises(RedisReplyError):
        client.copy_tensor("none", "other")
    client.delete_tensor("none")


@covers("key_exists", "poll_key", "poll_tensor", "tensor_exists")
def test_polls_for_keys(client: smartredis.Client, place: Place) -> None:
    assert not client.poll_key("x", 5, 2)
    assert not client.poll_tensor("x", 5, 2)
    with after(0.2, place, "AI.TENSORSET", "x", "UINT8", "2", "BLOB", "ab"):
        assert client.poll_tensor("x", 10, 500)
    assert client.poll_key("x", 5, 2)
    assert client.key_exists("x")
    assert client.tensor_exists("x")
    assert not client.key_exists("y")


# Data sets


@covers("put_dataset", "get_dataset", "dataset_exists", "delete_dataset", "poll_dataset")
def test_data_sets_are_put_and_deleted(client: smartredis.Client, place: Place) -> None:
    assert not client.poll_dataset("tile", 5, 2)
    for index, name in enumerate(NAMES):
        client.put_dataset(dataset(name, index))
    for index, name in enumerate(NAMES):
        assert client.dataset_exists(name)
        assert client.poll_dataset(name, 5, 2)
        back = client.get_dataset(name)
        assert back.get_name() == name
        np.testing.assert_array_equal(back.get_tensor("x"), np.full((2, 3), index))
        assert back.get_meta_scalars("day") == [index]
        assert back.get_meta_strings("run") == ["high"]
        client.delete_dataset(name)
        assert not client.dataset_exists(name)
    assert place.keys() == set()
    with pytest.raises(RedisReplyError):
        client.get_dataset("none")
    with pytest.raises(RedisRuntimeError):
        client.delete_dataset("none")


@covers("rename_dataset", "copy_dataset", "dataset_exists", "get_dataset")
def test_data_sets_are_renamed_and_copied(client: smartredis.Client) -> None:
    for index, name in enumerate(NAMES):
        client.put_dataset(dataset(name, index))
        client.rename_dataset(name, f"{name}-renamed")
        client.copy_dataset(f"{name}-renamed", f"{name}-copy")
        assert not client.dataset_exists(name)
        for kept in (f"{name}-renamed", f"{name}-copy"):
            back = client.get_dataset(kept)
            np.testing.assert_array_equal(back.get_tensor("x"), np.full((2, 3), index))
            assert back.get_meta_scalars("day") == [index]
    with pytest.raises(RedisReplyError):
        client.rename_dataset("none", "other")
    with pytest.raises(RedisReplyError):
        client.copy_dataset("none", "other")


# Lists


@covers(
    "append_to_list", "get_list_length", "get_datasets_from_list", "get_dataset_list_range",
    "delete_list",
)  # fmt: skip
def test_lists_of_data_sets(client: smartredis.Client) -> None:
    assert client.get_list_length("tiles") == 0
    for index, name in enumerate(NAMES):
        made = dataset(name, index)
        client.put_dataset(made)
        client.append_to_list("tiles", made)
    assert client.get_list_length("tiles") == len(NAMES)
    expected = [(name, float(index)) for index, name in enumerate(NAMES)]
    assert values(client.get_datasets_from_list("tiles")) == expected
    assert values(client.get_dataset_list_range("tiles", 2, 5)) == expected[2:6]
    assert values(client.get_dataset_list_range("tiles", -2, -1)) == expected[-2:]
    assert values(client.get_dataset_list_range("tiles", 10, 100)) == expected[10:]
    assert client.get_dataset_list_range("tiles", 100, 101) == []
    client.delete_list("tiles")
    assert client.get_list_length("tiles") == 0
    assert client.get_datasets_from_list("tiles") == []
    assert client.dataset_exists(NAMES[0])


@covers("rename_list", "copy_list", "get_list_length", "append_to_list")
def test_lists_are_renamed_and_copied(client: smartredis.Client) -> None:
    made = dataset("tile")
    client.put_dataset(made)
    for name in NAMES:
        client.append_to_list(name, made)
        client.rename_list(name, f"{name}-renamed")
        client.copy_list(f"{name}-renamed", f"{name}-copy")
        lengths = [client.get_list_length(name + end) for end in ("", "-renamed", "-copy")]
        assert lengths == [0, 1, 1]
    for call in (client.rename_list, client.copy_list):
        with pytest.raises(RedisRuntimeError, match="does not exist"):
            call("none", "other")


@covers("poll_list_length", "poll_list_length_gte", "poll_list_length_lte", "append_to_list")
def test_polls_for_lists(client: smartredis.Client, place: Place) -> None:
    made = dataset("tile")
    client.put_dataset(made)
    for _ in range(2):
        client.append_to_list("tiles", made)
    for poll, fitting, other in (
        (client.poll_list_length, 2, 3),
        (client.poll_list_length_gte, 1, 3),
        (client.poll_list_length_lte, 3, 1),
    ):
        assert poll("tiles", fitting, 5, 2)
        assert not poll("tiles", other, 5, 2)
    with after(0.2, place, "RPUSH", "tiles", "{tile}"):
        assert client.poll_list_length("tiles", 3, 10, 500)


# Models and scripts


@covers(
    "set_model", "set_model_from_file", "get_model", "run_model", "model_exists", "poll_model",
    "delete_model",
)  # fmt: skip
def test_models_run(
    client: smartredis.Client, place: Place, scripted: Scripted, tmp_path: Path
) -> None:
    script = scripted(Line())
    file = tmp_path / "line.pt"
    file.write_bytes(script)
    assert not client.poll_model("bytes", 5, 2)
    client.set_model("bytes", script, "TORCH", "CPU", tag="v1")
    client.set_model_from_file("file", str(file), "TORCH", "CPU", 4, 2, 10, "v2")
    x, y = np.arange(4.0), np.full(4, 3.0)
    p, q = Line()(torch.from_numpy(x), torch.from_numpy(y))
    for index, name in enumerate(NAMES):
        client.put_tensor(f"{name}-x", x)
        client.put_tensor(f"{name}-y", y)
        model = ("bytes", "file")[index % 2]
        client.run_model(model, [f"{name}-x", f"{name}-y"], [f"{name}-p", f"{name}-q"])
        np.testing.assert_array_equal(client.get_tensor(f"{name}-p"), p.numpy())
        np.testing.assert_array_equal(client.get_tensor(f"{name}-q"), q.numpy())
    assert not [key for key in place.keys() if b".TMP" in key]  # noqa: SIM118
    for model in ("bytes", "file"):
        assert client.model_exists(model)
        assert client.poll_model(model, 5, 2)
        assert client.get_model(model) == script
        client.delete_model(model)
        assert not client.model_exists(model)
    with pytest.raises(RedisReplyError, match="no model under the key"):
        client.get_model("bytes")


@covers("set_model", "run_model", "set_model_from_file", "delete_model")
def test_models_that_fail_are_errors(client: smartredis.Client, scripted: Scripted) -> None:
    client.set_model("m", scripted(Line()), "TORCH", "CPU")
    client.put_tensor("{t}x", np.ones(2))
    client.put_tensor("{t}y", np.ones(3))
    with pytest.raises(RedisReplyError, match=r"run_model failed|must match the size"):
        client.run_model("m", ["{t}x", "{t}y"], ["{t}p", "{t}q"])
    with pytest.raises(RedisReplyError):
        client.run_model("m", ["{t}x", "none"], ["{t}p", "{t}q"])
    with pytest.raises(RedisReplyError):
        client.run_model("none", ["{t}x"], ["{t}p"])
    client.run_model("m", ["{t}x", "{t}x"], ["{t}p", "{t}q"])
    with pytest.raises(RedisReplyError):
        client.set_model("broken", b"no TorchScript", "TORCH", "CPU")
    with pytest.raises(RedisReplyError):
        client.set_model("other", scripted(Line()), "TF", "CPU", inputs="x", outputs="p")
    with pytest.raises(FileNotFoundError):
        client.set_model_from_file("m", "/nowhere/model.pt", "TORCH", "CPU")
    with pytest.raises(RedisReplyError):
        client.delete_model("none")


@pytest.mark.parametrize("place", ["clustered"], indirect=True)
@covers("set_model", "set_script")
def test_models_lie_on_every_shard(
    client: smartredis.Client, place: Place, scripted: Scripted
) -> None:
    client.set_model("m", scripted(Line()), "TORCH", "CPU")
    client.set_script("s", SOURCE)
    slots = sorted(place.nodes[0].cluster("SLOTS"))
    for node, (first, *_) in zip(place.nodes, slots, strict=True):
        tag = b"{" + shard_prefix(first) + b"}."
        assert set(node.keys("*")) == {tag + b"m", tag + b"s"}


@covers("set_model_chunk_size", "set_model", "get_model", "run_model")
def test_models_in_chunks(client: smartredis.Client, place: Place, scripted: Scripted) -> None:
    script = scripted(Line())
    size = len(script) // 3
    try:
        client.set_model_chunk_size(size)
        # It tells one shard of a cluster, whichever it spoke to last.
        assert [chunk_size(node) for node in place.nodes].count(size) == 1
        for node in place.nodes:
            node.execute_command("AI.CONFIG", "MODEL_CHUNK_SIZE", size)
        client.set_model("m", script, "TORCH", "CPU")
        client.put_tensor("x", np.ones(2))
        client.run_model("m", ["x", "x"], ["p", "q"])
        np.testing.assert_array_equal(client.get_tensor("p"), np.full(2, 3.0))
        # It writes each of the chunks that it gets to the start of its answer...
        corrupt = client.get_model("m")
        assert len(corrupt) == len(script)
        assert corrupt != script
        # ... of a model that is whole.
        for node in place.nodes:
            [key] = node.keys("*m")
            assert b"".join(node.execute_command("AI.MODELGET", key, "BLOB")) == script
    finally:
        for node in place.nodes:
            node.execute_command("AI.CONFIG", "MODEL_CHUNK_SIZE", CHUNK_SIZE)


def chunk_size(node: redis.Redis) -> int:
    return node.execute_command("AI.CONFIG", "GET", "MODEL_CHUNK_SIZE")


@covers(
    "set_script", "set_script_from_file", "set_function", "get_script", "run_script",
    "delete_script", "model_exists",
)  # fmt: skip
def test_scripts_run(client: smartredis.Client, place: Place, tmp_path: Path) -> None:
    file = tmp_path / "script.txt"
    file.write_text(SOURCE)
    client.set_script("text", SOURCE, "CPU")
    client.set_script_from_file("file", str(file), "CPU")
    client.set_function("function", add)
    for name in NAMES:
        client.put_tensor(name, np.arange(3.0))
    for script in ("text", "file", "function"):
        assert client.model_exists(script)
        assert client.get_script(script) == SOURCE
        for name in NAMES:
            client.run_script(script, "add", [name, name], [f"{name}-sum"])
            np.testing.assert_array_equal(client.get_tensor(f"{name}-sum"), 2 * np.arange(3.0))
            client.delete_tensor(f"{name}-sum")
        with pytest.raises(RedisReplyError):
            client.run_script(script, "subtract", ["key-0", "key-0"], ["difference"])
        client.delete_script(script)
        with pytest.raises(RedisReplyError, match="no script under the key"):
            client.get_script(script)
    with pytest.raises(RedisReplyError):
        client.set_script("broken", "def f(:", "CPU")
    with pytest.raises(RedisReplyError):
        client.delete_script("none")


@covers(
    "set_model_multigpu", "set_model_from_file_multigpu", "run_model_multigpu",
    "delete_model_multigpu", "set_script_multigpu", "set_script_from_file_multigpu",
    "set_function_multigpu", "run_script_multigpu", "delete_script_multigpu",
)  # fmt: skip
def test_calls_for_several_gpus_are_errors_without_one(
    client: smartredis.Client, place: Place, scripted: Scripted, tmp_path: Path
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    script = scripted(Line())
    (model := tmp_path / "line.pt").write_bytes(script)
    (source := tmp_path / "add.txt").write_text(SOURCE)
    client.put_tensor("x", np.ones(2))
    before = place.keys()
    # On a cluster the client keeps what the server answered to itself.
    no_gpu = "failed" if place.clustered else "GPU"
    for call in (
        lambda: client.set_model_multigpu("m", script, "TORCH", 0, 2),
        lambda: client.set_model_from_file_multigpu("m", str(model), "TORCH", 0, 2),
        lambda: client.set_script_multigpu("s", SOURCE, 0, 2),
        lambda: client.set_script_from_file_multigpu("s", str(source), 0, 2),
        lambda: client.set_function_multigpu("s", add, 0, 2),
    ):
        with pytest.raises(RedisReplyError, match=no_gpu):
            call()
    for call in (
        lambda: client.run_model_multigpu("m", 0, 0, 2, ["x", "x"], ["p", "q"]),
        lambda: client.run_script_multigpu("s", "add", ["x", "x"], ["p"], 0, 0, 2),
        lambda: client.delete_model_multigpu("m", 0, 2),
        lambda: client.delete_script_multigpu("s", 0, 2),
    ):
        with pytest.raises(RedisReplyError):
            call()
    assert {key for key in place.keys() - before if b".TMP" not in key} == set()


# Ensembles


@covers(
    "set_data_source", "use_tensor_ensemble_prefix", "use_dataset_ensemble_prefix",
    "use_model_ensemble_prefix", "use_list_ensemble_prefix",
)  # fmt: skip
def test_ensemble_members_have_keys_of_their_own(
    place: Place, monkeypatch: pytest.MonkeyPatch, scripted: Scripted
) -> None:
    members = {}
    monkeypatch.setenv("SSKEYIN", "one,two")
    for index, name in enumerate(("one", "two")):
        monkeypatch.setenv("SSKEYOUT", name)
        member = members[name] = smartredis.Client(logger_name=name)
        member.put_tensor("x", np.full(2, index))
        made = dataset("tile", index)
        member.use_list_ensemble_prefix(True)
        member.put_dataset(made)
        member.append_to_list("tiles", made)
        member.use_model_ensemble_prefix(True)
        member.set_model("m", scripted(Line()), "TORCH", "CPU")
        member.set_data_source(name)
        member.run_model("m", ["x", "x"], ["p", "q"])
    reader = members["one"]
    for index, name in enumerate(("one", "two")):
        reader.set_data_source(name)
        np.testing.assert_array_equal(reader.get_tensor("x"), np.full(2, index))
        np.testing.assert_array_equal(reader.get_tensor("p"), np.full(2, 3 * index))
        assert reader.get_dataset("tile").get_meta_scalars("day") == [index]
        assert values(reader.get_datasets_from_list("tiles")) == [("tile", float(index))]
        assert reader.model_exists("m")
        keys = place.keys()
        assert {f"{name}.{key}".encode() for key in ("x", "p", "tiles", "{tile}.meta")} < keys
    for switch in (
        reader.use_tensor_ensemble_prefix,
        reader.use_dataset_ensemble_prefix,
        reader.use_model_ensemble_prefix,
        reader.use_list_ensemble_prefix,
    ):
        switch(False)
    assert not reader.tensor_exists("x")
    assert not reader.dataset_exists("tile")
    assert not reader.model_exists("m")
    assert reader.get_list_length("tiles") == 0
    with pytest.raises(RedisReplyError, match="three"):
        reader.set_data_source("three")


# The server


@covers("get_ai_info", "set_model", "run_model", "set_script", "run_script")
def test_counters_of_models_and_scripts(
    client: smartredis.Client, place: Place, scripted: Scripted
) -> None:
    client.set_model("m", scripted(Line()), "TORCH", "CPU", tag="v1")
    client.set_script("s", SOURCE)
    client.put_tensor("x", np.ones(5))
    for _ in range(2):
        client.run_model("m", ["x", "x"], ["p", "q"])
    client.run_script("s", "add", ["x", "x"], ["sum"])
    client.put_tensor("y", np.ones(3))
    with pytest.raises(RedisReplyError):
        client.run_model("m", ["x", "y"], ["p", "q"])

    def total(name: str, field: str) -> int:
        return sum(int(one[field]) for one in client.get_ai_info(place.addresses, name))

    for name, kind, tag in (("m", "MODEL", "v1"), ("s", "SCRIPT", "")):
        for info in client.get_ai_info(place.addresses, name):
            assert info["key"].endswith(name)
            del info["key"]
            for counter in ("duration", "samples", "calls", "errors"):
                assert int(info.pop(counter)) >= 0
            expected = {"type": kind, "backend": "TORCH", "device": "CPU", "tag": tag}
            assert info == expected
    assert total("m", "calls") == 3
    assert total("m", "samples") == 10
    assert total("m", "errors") == 1
    assert total("m", "duration") > 0
    assert total("s", "calls") == 1
    with pytest.raises(RedisReplyError):
        client.get_ai_info(place.addresses, "none")


@covers("get_ai_info", "set_model", "run_model", "put_tensor")
def test_counters_are_set_back(client: smartredis.Client, place: Place, scripted: Scripted) -> None:
    client.set_model("m", scripted(Line()), "TORCH", "CPU")
    client.put_tensor("x", np.ones(5))
    client.run_model("m", ["x", "x"], ["p", "q"])
    for info in client.get_ai_info(place.addresses, "m", True):
        assert info["type"] == "MODEL"
    for info in client.get_ai_info(place.addresses, "m"):
        assert [info[name] for name in ("duration", "samples", "calls", "errors")] == ["0"] * 4


@covers("get_db_node_info", "get_db_cluster_info")
def test_information_about_servers(client: smartredis.Client, place: Place) -> None:
    infos = client.get_db_node_info(place.addresses)
    assert len(infos) == len(place.addresses)
    for info, node in zip(infos, place.nodes, strict=True):
        assert info["Server"]["process_id"] == str(node.info("server")["process_id"])
        assert {"Clients", "Memory", "Stats", "Modules"} <= info.keys()
        assert int(info["Memory"]["used_memory"]) > 0
    if place.clustered:
        for info in client.get_db_cluster_info(place.addresses):
            assert info["cluster_state"] == "ok"
            assert info["cluster_size"] == "3"
    else:
        with pytest.raises(RedisReplyError, match="non-cluster"):
            client.get_db_cluster_info(place.addresses)
    with pytest.raises(RedisReplyError):
        client.get_db_node_info(["127.0.0.1:9"])


@covers("config_get", "config_set")
def test_settings_of_servers(client: smartredis.Client, place: Place) -> None:
    for address in place.addresses:
        before = client.config_get("slowlog-max-len", address)
        client.config_set("slowlog-max-len", "77", address)
        assert client.config_get("slowlog-max-len", address) == {"slowlog-max-len": "77"}
        client.config_set("slowlog-max-len", before["slowlog-max-len"], address)
        assert client.config_get("no-such-setting", address) == {}
        assert len(client.config_get("*", address)) > 100
        with pytest.raises(RedisReplyError):
            client.config_set("no-such-setting", "1", address)


@covers("save", "flush_db")
def test_servers_are_saved_and_flushed(
    client: smartredis.Client, place: Place, scripted: Scripted
) -> None:
    client.set_model("m", scripted(Line()), "TORCH", "CPU")
    for name in NAMES:
        client.put_tensor(name, np.ones(3))
    started = time.time()
    client.save(place.addresses)
    for node in place.nodes:
        assert node.lastsave().timestamp() >= int(started)
        assert node.dbsize() > 0
    client.flush_db(place.addresses)
    assert place.keys() == set()
    with pytest.raises(RedisReplyError):
        client.flush_db(["127.0.0.1:9"])
    with pytest.raises(RedisReplyError):
        client.save(["127.0.0.1:9"])
