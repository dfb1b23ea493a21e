from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from parslflow import serving
from parslflow.errors import ParslflowError
from parslflow.records import Record
from parslflow.rundir import RunDir
from parslflow.serving import Serving


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = RunDir.new(tmp_path, "run")
    run.create()
    (run.journal / "store-0.jsonl").touch()
    run.store.mkdir(exist_ok=True)
    for left in ("address.json", "stop"):
        (run.store / left).touch()
    return run


def test_a_store_is_waited_for_until_it_has_an_address(run: RunDir) -> None:
    store = Serving(run, Future[Record])
    # What an earlier one left is no address.
    publishing = threading.Timer(0.3, (run.store / "address.json").touch)
    began = time.monotonic()
    publishing.start()
    store.wait()
    assert time.monotonic() - began >= 0.3
    assert not (run.store / "stop").exists()


def test_a_store_that_ended_is_not_waited_for(run: RunDir) -> None:
    store = Serving(run, Future[Record])
    store.served.set_exception(ParslflowError("The store is full of bees."))
    with pytest.raises(ParslflowError, match="bees"):
        store.wait()
    with pytest.raises(ParslflowError, match="bees"):
        store.stop()


def test_a_store_that_began_has_to_publish_in_time(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "START_SECONDS", 0.2)
    store = Serving(run, Future[Record])
    (run.journal / "store-1.jsonl").touch()
    with pytest.raises(ParslflowError, match=r"no address in .*address.json within 0.2 s"):
        store.wait()


def test_the_end_of_a_store_is_waited_for(run: RunDir) -> None:
    store = Serving(run, Future[Record])
    (run.journal / "store-1.jsonl").touch()
    ending = threading.Timer(0.3, store.served.set_result, [Record()])
    ending.start()
    store.stop()
    assert store.served.done()
    assert (run.store / "stop").exists()


def test_a_store_that_never_began_is_not_waited_for(run: RunDir) -> None:
    store = Serving(run, Future[Record])
    store.stop()
    assert not store.served.done()
    # Should it begin yet, it ends.
    assert (run.store / "stop").exists()
