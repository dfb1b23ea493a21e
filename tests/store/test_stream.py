from __future__ import annotations

import threading
from pathlib import Path

import pytest

from parslflow.errors import ParslflowError
from parslflow.store.stream import Stream
from parslflow.store.stream import begin
from parslflow.store.stream import give_up
from parslflow.store.stream import given_up


def test_the_file_is_waited_for(tmp_path: Path) -> None:
    stream = Stream(list="tiles", run="high-1", keyspace="m", inputs="a1")
    path = tmp_path / "stream.json"
    later = threading.Timer(0.3, stream.save, [path])
    later.start()
    assert Stream.load(path) == stream
    later.join()


def test_what_is_given_up_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "simulation" / "stream.json"
    later = threading.Timer(0.3, give_up, [path, "mpiexec is not there."])
    later.start()
    with pytest.raises(ParslflowError, match=r"did not start: mpiexec is not there\.$"):
        Stream.load(path)
    later.join()


def test_the_first_reason_is_kept_until_the_stream_begins_again(tmp_path: Path) -> None:
    path = tmp_path / "stream.json"
    assert given_up(path) == ""
    give_up(path, "a tile is wrong.")
    give_up(path, "the simulation died.")
    assert given_up(path) == "a tile is wrong."
    Stream(list="tiles", run="high-1").save(path)
    begin(path)
    assert given_up(path) == ""
    assert not path.exists()


def test_another_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "stream.json"
    path.write_text("{}")
    with pytest.raises(ParslflowError, match=r"stream\.json is not the file of a stream"):
        Stream.load(path)
