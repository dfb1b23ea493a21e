"""What one client writes the others read: data sets with shapes, types and metadata, and lists."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import smartredis

from parslflow.store.client import StoreClient
from parslflow.store.wire import Dataset
from tests.conformance.conftest import Place
from tests.conformance.fortran import OURS
from tests.conformance.fortran import PROGRAMS
from tests.conformance.fortran import Library

FIELD = np.arange(1.0, 13.0).reshape((3, 4), order="F")
TENSORS = {
    "field": FIELD,
    "inner": FIELD[1:2, 1:3],
    "layers": FIELD.ravel(order="F").reshape((3, 2, 2), order="F").astype(np.float32),
    "marks": np.array([7, 8], np.int32),
}
METADATA = {
    "isc": np.array([3], np.int32),
    "day": np.array([0.1]),
    "levels": np.array([1, 2], np.int32),
    "run": ["high-1"],
}
# The stock Fortran client's numbers of types.
KINDS = {1: np.float64, 2: np.float32, 5: np.int32}

Found = tuple[dict[str, Any], dict[str, Any]]
Fortran = dict[str, Library]


@pytest.fixture
def fortran(stock_fortran: Library, our_fortran: Library) -> Fortran:
    return {"stock": stock_fortran, "ours": our_fortran}


def run(program: Path) -> list[list[str]]:
    """Run a program to its end; the words of the lines that it printed."""
    done = subprocess.run([str(program)], env=os.environ, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.split() for line in done.stdout.splitlines()]


# Writers of the data set 'first', which alone is on the list 'tiles'


def written_by_our_fortran(fortran: Fortran, store: StoreClient) -> None:
    run(fortran["ours"].program(OURS / "datasets.f90"))
    store.connection.rpop("tiles")  # the program has one more


def written_by_stock_fortran(fortran: Fortran, store: StoreClient) -> None:
    run(fortran["stock"].program(PROGRAMS / "stock_writer.f90"))


def written_by_our_python(fortran: Fortran, store: StoreClient) -> None:
    store.put_dataset(Dataset("first", TENSORS, METADATA), "tiles")


def written_by_stock_python(fortran: Fortran, store: StoreClient) -> None:
    made = smartredis.Dataset("first")
    for name, array in TENSORS.items():
        made.add_tensor(name, np.ascontiguousarray(array))  # it sends memory as it lies
    for name, value in METADATA.items():
        for one in value:
            if isinstance(one, str):
                made.add_meta_string(name, one)
            else:
                made.add_meta_scalar(name, one)
    client = smartredis.Client(logger_name="writer")
    client.put_dataset(made)
    client.append_to_list("tiles", made)


# Readers: its tensors, and what metadata they can read


def read_by_our_fortran(fortran: Fortran, store: StoreClient) -> Found:
    tensors = {}
    for name, *elements in run(fortran["ours"].program(PROGRAMS / "our_reader.f90")):
        like = TENSORS[name]  # the program asks for its type and shape
        array = np.array([float(one) for one in elements]).astype(like.dtype)
        tensors[name] = array.reshape(like.shape, order="F")
    return tensors, {}


def read_by_stock_fortran(fortran: Fortran, store: StoreClient) -> Found:
    tensors, metadata = {}, {}
    for name, *words in run(fortran["stock"].program(PROGRAMS / "stock_reader.f90")):
        if name in TENSORS:
            kind, rank = int(words[0]), int(words[1])
            shape = [int(one) for one in words[2 : 2 + rank]]
            array = np.array([float(one) for one in words[2 + rank :]]).astype(KINDS[kind])
            tensors[name] = array.reshape(shape, order="F")
        else:
            metadata[name] = [float(one) for one in words]
    return tensors, metadata


def read_by_our_python(fortran: Fortran, store: StoreClient) -> Found:
    assert store.drain_list("tiles") == ["first"]
    found = store.get_dataset("first")
    return found.tensors, dict(found.metadata)


def read_by_stock_python(fortran: Fortran, store: StoreClient) -> Found:
    client = smartredis.Client(logger_name="reader")
    [raw] = client.get_datasets_from_list("tiles")
    found = smartredis.Dataset.from_pybind(raw)
    assert found.get_name() == "first"
    tensors = {name: found.get_tensor(name) for name in found.get_tensor_names()}
    metadata = {}
    for name in found.get_metadata_field_names():
        if found.get_metadata_field_type(name) is str:
            metadata[name] = found.get_meta_strings(name)
        else:
            metadata[name] = found.get_meta_scalars(name).copy()  # its memory is the data set's
    return tensors, metadata


WRITERS = [
    written_by_our_fortran, written_by_stock_fortran, written_by_our_python,
    written_by_stock_python,
]  # fmt: skip
READERS = [read_by_our_fortran, read_by_stock_fortran, read_by_our_python, read_by_stock_python]


@pytest.mark.parametrize("place", ["standalone"], indirect=True)
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
def test_what_one_writes_the_other_reads(
    place: Place,
    store: StoreClient,
    fortran: Fortran,
    writer: Callable[[Fortran, StoreClient], None],
    reader: Callable[[Fortran, StoreClient], Found],
) -> None:
    writer(fortran, store)
    tensors, metadata = reader(fortran, store)
    for name, expected in TENSORS.items():
        assert tensors[name].dtype == expected.dtype
        np.testing.assert_array_equal(tensors[name], expected)
    unreadable = {
        read_by_our_fortran: set(METADATA),
        read_by_stock_fortran: {"run"},
    }.get(reader, set())
    for name, value in METADATA.items():
        if name not in unreadable:
            assert list(metadata[name]) == list(value)
    if writer is written_by_stock_fortran and not unreadable:
        for name, number, dtype in (("i8", -8, "i1"), ("i16", -16, "i2"), ("i64", -64, "i8")):
            assert tensors[name].dtype == dtype
            assert tensors[name].tolist() == [number]
        assert list(metadata["single"]) == [0.5]
        assert list(metadata["large"]) == [2**40]
