from __future__ import annotations

import re
import string
import sys

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.store import wire
from parslflow.store.packing import dataset_request
from parslflow.store.packing import delete_request
from parslflow.store.packing import packed
from parslflow.store.wire import Dataset
from parslflow.store.wire import Keyspace

TENSOR_DTYPES = ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2")
NUMBER_DTYPES = ("f8", "f4", "i4", "i8", "u4", "u8")

texts = st.text(st.characters(exclude_categories=("Cs",)))
arrays = st.sampled_from(TENSOR_DTYPES).flatmap(
    lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, max_dims=4, min_side=0))
)
keyspaces = st.text(string.ascii_letters + string.digits + "._-", max_size=8)
plain_names = st.text("ab%_.*é", min_size=1, max_size=8)
names = plain_names | st.builds("{{{}}}{}".format, plain_names, plain_names)
numbers = st.sampled_from(NUMBER_DTYPES).flatmap(
    lambda dtype: npst.arrays(dtype, st.tuples(st.integers(0, 6)))
)
fields = st.one_of(numbers, st.lists(texts, min_size=1))
field_names = texts.filter(lambda name: name not in (wire.TENSOR_NAMES, wire.COMPLETE))


def reply_to(command: list[wire.Word]) -> list[object]:
    """What a server answers to the TENSORGET that follows a TENSORSET."""
    _, _, dtype, *shape, _, data = command
    assert isinstance(dtype, str)
    assert isinstance(data, memoryview)
    return [b"dtype", dtype.encode(), b"shape", shape, b"blob", bytes(data)]


@given(arrays)
def test_tensor_comes_back(array: np.ndarray) -> None:
    raw = wire.read_tensor("key", reply_to(wire.tensor_set("key", array)))
    assert raw.shape == array.shape
    assert raw.dtype == array.dtype
    assert raw.array().tobytes() == array.tobytes()


@given(npst.arrays("f4", npst.array_shapes(min_dims=2, max_dims=3)), st.booleans())
def test_tensor_in_any_layout_is_sent_row_major(array: np.ndarray, swap: bool) -> None:
    other = array.astype(array.dtype.newbyteorder()) if swap else array
    raw = wire.read_tensor("key", reply_to(wire.tensor_set("key", other.T)))
    np.testing.assert_array_equal(raw.array(), array.T)


def test_tensor_command_is_what_smartredis_sends() -> None:
    *words, data = wire.tensor_set("x", np.array([[1, 2, 3]], np.int16))
    assert words == ["AI.TENSORSET", "x", "INT16", 1, 3, "BLOB"]
    assert bytes(data) == np.array([1, 2, 3], np.int16).tobytes()  # type: ignore[arg-type]


def test_tensor_is_sent_from_its_own_memory() -> None:
    array = np.zeros(4)
    data = wire.tensor_set("x", array)[-1]
    array[:] = 7
    assert bytes(data) == array.tobytes()  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["c16", "?", "U3", "f2", "O"])
def test_tensor_of_unknown_type_is_refused(dtype: str) -> None:
    with pytest.raises(ParslflowError, match="'x' is of type"):
        wire.tensor_set("x", np.zeros(2, dtype))


@given(arrays.filter(lambda array: array.size > 0), st.integers(0, 10**6))
def test_cut_tensor_is_found(array: np.ndarray, seed: int) -> None:
    reply = reply_to(wire.tensor_set("key", array))
    data = reply[-1]
    assert isinstance(data, bytes)
    reply[-1] = data[: seed % len(data)]
    with pytest.raises(ParslflowError, match="'key' of shape"):
        wire.read_tensor("key", reply)


@pytest.mark.parametrize(
    "reply",
    [
        None,
        b"OK",
        [],
        [b"dtype", b"FLOAT", b"shape", [1]],
        [b"dtype", b"HALF", b"shape", [1], b"blob", b"ab"],
        [b"dtype", b"\xff", b"shape", [1], b"blob", b"ab"],
        [b"dtype", b"INT8", b"shape", [-1], b"blob", b""],
        [b"dtype", b"INT8", b"shape", [-1, -1], b"blob", b"a"],
    ],
)
def test_reply_that_is_no_tensor_is_refused(reply: object) -> None:
    with pytest.raises(ParslflowError, match="'key'"):
        wire.read_tensor("key", reply)


@given(numbers)
def test_numbers_come_back(values: np.ndarray) -> None:
    blob = wire.encode_field("name", values)
    back = wire.decode_field("name", blob)
    assert isinstance(back, np.ndarray)
    assert back.dtype == values.dtype
    assert back.tobytes() == values.tobytes()


@given(st.lists(texts, min_size=1))
def test_strings_come_back(values: list[str]) -> None:
    assert wire.decode_field("name", wire.encode_field("name", values)) == values


def test_field_bytes_are_what_smartredis_writes() -> None:
    length = (5).to_bytes(8, sys.byteorder)
    assert wire.encode_field("n", "hallo") == b"\x07" + length + b"hallo"
    assert wire.encode_field("n", np.int32(3)) == b"\x03" + np.int32(3).tobytes()
    assert wire.encode_field("n", [1.0, 2.0]) == b"\x01" + np.array([1.0, 2.0]).tobytes()
    assert wire.encode_field("n", 7) == b"\x04" + np.int64(7).tobytes()


@pytest.mark.parametrize(
    "value", [None, b"bytes", True, 1j, [1, "a"], [[1, 2], [3, 4]], [[1], [2, 3]], 2**70, {"a": 1}]
)
def test_value_that_is_no_metadata_is_refused(value: object) -> None:
    with pytest.raises(ParslflowError, match="'name'"):
        wire.encode_field("name", value)


@given(fields, st.integers(0, 10**6))
def test_cut_field_is_found_or_is_shorter(value: object, seed: int) -> None:
    blob = wire.encode_field("name", value)
    cut = blob[: seed % len(blob)]
    try:
        back = wire.decode_field("name", cut)
    except ParslflowError as error:
        assert "'name'" in str(error)  # noqa: PT017
    else:
        assert wire.encode_field("name", back) == cut if len(back) else len(cut) == 1


@given(st.binary())
def test_any_bytes_are_decoded_or_refused(blob: bytes) -> None:
    try:
        wire.decode_field("name", blob)
    except ParslflowError as error:
        assert "name" in str(error)  # noqa: PT017


@given(st.dictionaries(field_names, fields), st.lists(texts, unique=True))
def test_metadata_comes_back(metadata: dict[str, object], tensors: list[str]) -> None:
    dataset = Dataset("d", dict.fromkeys(tensors, np.zeros(1)), metadata)
    encoded = {name.encode(): blob for name, blob in wire.encode_metadata(dataset).items()}
    back, names = wire.decode_metadata("d", encoded | {wire.COMPLETE.encode(): b"1"})
    assert names == tensors
    assert back.keys() == metadata.keys()
    for name, value in metadata.items():
        np.testing.assert_array_equal(back[name], value)


@pytest.mark.parametrize("name", [wire.TENSOR_NAMES, wire.COMPLETE])
def test_reserved_metadata_name_is_refused(name: str) -> None:
    with pytest.raises(ParslflowError, match="rename it"):
        wire.encode_metadata(Dataset("d", {}, {name: 1}))


def test_metadata_of_no_data_set_is_refused() -> None:
    with pytest.raises(ParslflowError, match="no data set 'd'"):
        wire.decode_metadata("d", {})


def test_tensor_names_that_are_numbers_are_refused() -> None:
    with pytest.raises(ParslflowError, match="are not strings"):
        wire.decode_metadata("d", {b".tensor_names": wire.encode_field("n", 1)})


def test_a_command_is_packed_with_words_of_every_kind() -> None:
    words: list[wire.Word] = ["AI.TENSORSET", b"key", 28, memoryview(b"\0\1")]
    expected = b"*4\r\n$12\r\nAI.TENSORSET\r\n$3\r\nkey\r\n$2\r\n28\r\n$2\r\n\0\1\r\n"
    assert packed(words) == expected


@given(keyspaces, texts)
def test_list_entry_comes_back(name: str, dataset: str) -> None:
    keyspace = Keyspace(name)
    assert keyspace.dataset_of_entry(keyspace.list_entry(dataset).encode()) == dataset


@given(keyspaces, keyspaces, texts)
def test_list_entry_of_another_keyspace_is_told(mine: str, other: str, dataset: str) -> None:
    entry = Keyspace(other).list_entry(dataset).encode()
    if mine == other:
        assert Keyspace(mine).dataset_of_entry(entry) == dataset
        return
    whose = f"is of the keyspace '{other}'," if other else "is of no keyspace,"
    with pytest.raises(ParslflowError, match=re.escape(whose) + ".*SSKEYOUT"):
        Keyspace(mine).dataset_of_entry(entry)


@pytest.mark.parametrize("keyspace", ["", "m"])
@pytest.mark.parametrize(
    "entry", [b"", b"{", b"name", b"{name}.meta", b"m.{name", b".{name}", b"{\xff}"]
)
def test_entry_that_is_no_data_set_is_refused(entry: bytes, keyspace: str) -> None:
    with pytest.raises(ParslflowError, match=r"entry.*(append data sets only|not UTF-8)"):
        Keyspace(keyspace).dataset_of_entry(entry)


def test_keys_are_those_of_smartredis() -> None:
    plain, member = Keyspace(), Keyspace("m")
    assert plain.key("t") == "t"
    assert plain.metadata_key("d") == "{d}.meta"
    assert plain.tensor_key("d", "t") == "{d}.t"
    assert member.key("t") == "m.t"
    assert member.metadata_key("d") == "m.{d}.meta"
    assert member.tensor_key("d", "t") == "m.{d}.t"
    assert member.list_entry("d") == "m.{d}"


@given(keyspaces, texts.filter(lambda name: not {*"{}"} & {*name}), texts)
def test_keys_of_a_data_set_are_on_one_server(keyspace: str, name: str, tensor: str) -> None:
    keys = Keyspace(keyspace).dataset_keys(name, [tensor])
    # Nothing between the braces is no tag.
    assert len({key_slot(key.encode()) for key in keys}) == 1 or not name
    assert Keyspace(keyspace).dataset_of_key(keys[0]) == name


@given(keyspaces, names)
def test_what_is_beside_a_key_is_on_its_server(keyspace: str, name: str) -> None:
    key = Keyspace(keyspace).key(name)
    beside = wire.key_beside(key, "left")
    assert key_slot(beside.encode()) == key_slot(key.encode())


@pytest.mark.parametrize("name", ["a b", "a,b", "{a}", "é", "a\n", "*", "a/b", 201 * "a"])
def test_name_that_no_keyspace_has_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="take letters, digits"):
        Keyspace(name)


@given(keyspaces, st.lists(names, min_size=1, max_size=3), st.lists(names, max_size=3))
def test_requests_for_many_are_the_commands_for_each(
    keyspace: str, datasets: list[str], tensors: list[str]
) -> None:
    mine = Keyspace(keyspace)
    keys = [key for name in datasets for key in mine.dataset_keys(name, tensors)]
    asked = [(name, tuple(tensors)) for name in datasets]
    assert delete_request(mine, asked) == packed(["DEL", *keys])
    for name in datasets:
        metadata, *rest = mine.dataset_keys(name, tensors)
        commands = [["HGETALL", metadata], *(wire.tensor_get(key) for key in rest)]
        expected = b"".join(packed(command) for command in commands)
        assert dataset_request(mine, name, tuple(tensors)) == expected
