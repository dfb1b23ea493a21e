"""What the module puts into the server's files and sends to its replicas is all that is needed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from parslflow.store.client import StoreClient
from parslflow.store.server import StoreServer
from tests.conftest import wait_until
from tests.store.conftest import DEBIAN_REDIS
from tests.store.conftest import Scripted

BINARIES = [pytest.param(None, id="valkey"), pytest.param(DEBIAN_REDIS, id="redis")]

SCRIPT = "def double(x):\n    return 2 * x\n"


class Twice(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


def fill(store: StoreClient, blob: bytes) -> None:
    """Every kind of change: put, put again, made by a model, a script, a transaction, deleted."""
    run = store.connection.execute_command
    for dtype in ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2"):
        store.put_tensor(dtype, np.arange(6).reshape(2, 3).astype(dtype))
    store.put_tensor("empty", np.zeros((0, 4)))
    store.put_tensor("scalar", np.array(7.5))
    store.put_tensor("large", np.arange(100_000.0))
    settings = "TAG v1 BATCHSIZE 8 MINBATCHSIZE 4 MINBATCHTIMEOUT 10 INPUTS 1 x OUTPUTS 1 y"
    half = len(blob) // 2
    run("AI.MODELSTORE", "m", "TORCH", "CPU", *settings.split(), "BLOB", blob[:half], blob[half:])
    run("AI.MODELSTORE", "plain", "TORCH", "CPU", "BLOB", blob)
    run("AI.MODELSTORE", "gone", "TORCH", "CPU", "BLOB", blob)
    run("AI.MODELDEL", "gone")
    run("AI.SCRIPTSET", "s", "CPU", "TAG", "v2", "SOURCE", SCRIPT)
    run("AI.SCRIPTSET", "none", "CPU", "SOURCE", SCRIPT)
    run("AI.SCRIPTDEL", "none")
    store.run_model("m", ["f8"], ["by model"])
    run("AI.SCRIPTRUN", "s", "double", "INPUTS", "f4", "OUTPUTS", "by script")
    transaction = store.connection.pipeline(transaction=True)
    transaction.execute_command("AI.MODELEXECUTE", "m", "INPUTS", 1, "f8", "OUTPUTS", 1, "in one")
    transaction.set("plain text", "x")
    transaction.execute()
    store.put_tensor("changed", np.zeros(3))
    store.put_tensor("changed", np.ones(3))
    store.put_tensor("deleted", np.zeros(3))
    store.delete("deleted")


def contents(store: StoreClient) -> dict[str, object]:
    """All that is under every key, as clients get it."""
    found: dict[str, object] = {}
    for key in sorted(store.connection.keys()):
        name = key.decode()
        kind = store.connection.type(key).decode()
        run = store.connection.execute_command
        if kind == "string":
            found[name] = store.connection.get(key)
        elif kind == "pf-tensor":
            array = store.get_tensor(name)
            found[name] = (array.dtype, array.shape, array.tobytes())
        elif kind == "pfl-model":
            found[name] = run("AI.MODELGET", name, "META", "BLOB")
        else:
            found[name] = run("AI.SCRIPTGET", name)
    return found


def crc64(data: bytes) -> int:
    """The checksum at the end of a DUMP, CRC-64 of Jones's polynomial."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x95AC9329AC4BC9B5 if crc & 1 else 0)
    return crc


def works(store: StoreClient) -> None:
    store.put_tensor("x", np.arange(4.0))
    store.run_model("m", ["x"], ["y"])
    store.connection.execute_command("AI.SCRIPTRUN", "s", "double", "INPUTS", "y", "OUTPUTS", "z")
    np.testing.assert_array_equal(store.get_tensor("z"), 4 * np.arange(4.0))


@pytest.mark.parametrize("binary", BINARIES)
def test_snapshot_holds_everything(tmp_path: Path, scripted: Scripted, binary: Path | None) -> None:
    with StoreServer(tmp_path, binary=binary) as server, server.client() as store:
        fill(store, scripted(Twice()))
        expected = contents(store)
        assert len(expected) == 19
        store.connection.save()
    with StoreServer(tmp_path, binary=binary) as server, server.client() as store:
        assert contents(store) == expected
        works(store)


@pytest.mark.parametrize("binary", BINARIES)
@pytest.mark.parametrize("rewritten", ["no", "to commands", "to a snapshot"])
def test_append_only_file_holds_everything(
    tmp_path: Path, scripted: Scripted, binary: Path | None, rewritten: str
) -> None:
    with StoreServer(tmp_path, binary=binary, persist=True) as server, server.client() as store:
        fill(store, scripted(Twice()))
        expected = contents(store)
        if rewritten != "no":
            preamble = "yes" if rewritten == "to a snapshot" else "no"
            store.connection.config_set("aof-use-rdb-preamble", preamble)
            wait_until(lambda: not store.connection.info()["aof_rewrite_in_progress"])
            store.connection.bgrewriteaof()
            wait_until(
                lambda: (
                    not store.connection.info()["aof_rewrite_in_progress"]
                    and not store.connection.info()["aof_rewrite_scheduled"]
                )
            )
            assert store.connection.info()["aof_last_bgrewrite_status"] == "ok"
        os.kill(server.pid, signal.SIGKILL)
    with StoreServer(tmp_path, binary=binary, persist=True) as server, server.client() as store:
        assert contents(store) == expected
        works(store)


@pytest.mark.parametrize("binary", BINARIES)
@pytest.mark.parametrize("first", [True, False], ids=["copied", "told"])
def test_replica_holds_everything(
    tmp_path: Path, scripted: Scripted, binary: Path | None, first: bool
) -> None:
    with (
        StoreServer(tmp_path / "a", "loopback", binary=binary) as one,
        StoreServer(tmp_path / "b", "loopback", binary=binary) as other,
        one.client() as master,
        other.client() as replica,
    ):
        if first:
            fill(master, scripted(Twice()))
        assert one.password_file is not None
        master.connection.config_set("repl-diskless-sync-delay", 0)
        replica.connection.config_set("masterauth", one.password_file.read_text())
        replica.connection.config_set("repl-diskless-load", "disabled")
        replica.connection.replicaof(*one.address.split(":"))
        wait_until(lambda: replica.connection.info()["master_link_status"] == "up")
        if not first:
            fill(master, scripted(Twice()))
        assert master.connection.wait(1, 10_000) == 1
        assert contents(replica) == contents(master)
        replica.connection.replicaof("NO", "ONE")
        works(replica)


def test_model_of_a_gpu_waits_in_the_file_for_a_server_with_one(
    tmp_path: Path, scripted: Scripted
) -> None:
    """A snapshot taken where there is a GPU is read where there is none."""
    assert not torch.cuda.is_available(), "this is a test for machines without a GPU"
    with StoreServer(tmp_path) as server, server.client() as store:
        store.set_model("m", scripted(Twice()))
        store.put_tensor("x", np.ones(2))
        dumped = store.connection.dump("m")
        changed = dumped[:-8].replace(b"\x03CPU", b"\x03GPU", 1)
        store.connection.restore("gpu", 0, changed + crc64(changed).to_bytes(8, "little"))
        assert store.connection.execute_command("AI.MODELGET", "gpu", "META")[3] == b"GPU"
        store.connection.save()
    with StoreServer(tmp_path) as server, server.client() as store:
        with pytest.raises(Exception, match="has no device 'GPU'"):
            store.run_model("gpu", ["x"], ["y"])
        store.run_model("m", ["x"], ["y"])
        assert store.connection.execute_command("AI.INFO", "gpu")[17] == 1
