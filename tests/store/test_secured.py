"""TLS and ACL users, on Debian's server, whose TLS Valkey's wheel lacks."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from parslflow.errors import ParslflowError
from parslflow.records import Record
from parslflow.store import wire
from parslflow.store.address import Address
from parslflow.store.client import StoreClient
from parslflow.store.errors import ConnectionLost
from parslflow.store.errors import StoreError
from parslflow.store.packing import packed
from parslflow.store.pipeline import Pipeline
from parslflow.store.pipeline import Replies
from parslflow.store.running import RunningStore
from parslflow.store.serve import ServeInputs
from parslflow.store.serve import serve
from parslflow.store.server import StoreServer
from parslflow.store.server import module_path
from parslflow.store.wire import Dataset
from tests.store.conftest import DEBIAN_REDIS
from tests.store.test_server import ignore


def openssl(*arguments: str | Path, folder: Path) -> None:
    subprocess.run(
        ["openssl", *map(str, arguments)], cwd=folder, check=True, capture_output=True, timeout=30
    )


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A server with a certificate for 127.0.0.1, and a user 'ranks' who may not put models."""
    folder = tmp_path_factory.mktemp("tls")
    subject = ["-subj", "/CN=store", "-addext", "subjectAltName=IP:127.0.0.1"]
    new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    openssl(*new, "-keyout", "key.pem", "-out", "cert.pem", folder=folder)
    (folder / "password").write_text("secret\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = [
        "port 0",
        f"tls-port {port}",
        f"tls-cert-file {folder}/cert.pem",
        f"tls-key-file {folder}/key.pem",
        f"tls-ca-cert-file {folder}/cert.pem",
        "tls-auth-clients no",
        'save ""',
        f"loadmodule {module_path()}",
        "user default off",
        "user ranks on >secret ~* +@all -ai.modelstore",
    ]
    with subprocess.Popen([DEBIAN_REDIS, "-"], stdin=subprocess.PIPE, cwd=folder) as process:
        assert process.stdin is not None
        process.stdin.write("\n".join([*settings, ""]).encode())
        process.stdin.close()
        published = Address(
            f"127.0.0.1:{port}", str(folder / "password"), "ranks", str(folder / "cert.pem")
        )
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    with StoreClient.at(published) as store:
                        store.ping()
                    break
                except StoreError:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            yield published
        finally:
            process.terminate()


def test_everything_goes_over_tls(secured: Address) -> None:
    big = np.random.default_rng(0).normal(size=100_000)
    with StoreClient.at(secured) as store:
        store.put_tensor("big", big)
        np.testing.assert_array_equal(store.get_tensor("big"), big)
        store.put_dataset(Dataset("d", {"h": big}, {"a": 1}), "list")
        assert store.drain_list("list") == ["d"]
        np.testing.assert_array_equal(store.get_dataset("d").tensors["h"], big)
        with pytest.raises(StoreError, match="no permissions"):
            store.set_model("m", b"")


@pytest.mark.parametrize("capacity", [1, 1 << 20])
def test_a_pipeline_over_tls(secured: Address, capacity: int) -> None:
    with StoreClient.at(secured) as store:
        for number in range(20):
            store.put_tensor(f"x{number}", np.full(2000, float(number)))
    pipeline = Pipeline(secured)
    replies = Replies(capacity)
    requests = [packed(wire.tensor_get(f"x{number}")) for number in range(20)]
    pipeline.request(requests, 1, [packed(["PING"])])
    pipeline.receive(replies)
    text = replies.data[replies.start : replies.end].tobytes()
    assert text.startswith(b"*6")
    places = [text.index(np.full(2000, float(number)).tobytes()) for number in range(20)]
    assert places == sorted(places)
    pipeline.close()


def test_a_certificate_of_another_authority_is_refused(secured: Address, tmp_path: Path) -> None:
    new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=other"]
    openssl(*new, "-keyout", "key.pem", "-out", "cert.pem", folder=tmp_path)
    other = replace(secured, ca_file=str(tmp_path / "cert.pem"))
    with StoreClient.at(other) as store, pytest.raises(ConnectionLost, match="CERTIFICATE_VERIFY"):
        store.ping()
    with pytest.raises(ParslflowError, match="CERTIFICATE_VERIFY"):
        Pipeline(other)


def test_another_user_is_refused(secured: Address) -> None:
    other = replace(secured, user=None)
    with StoreClient.at(other) as store, pytest.raises(StoreError, match="another password"):
        store.ping()
    with pytest.raises(ParslflowError, match="another password"):
        Pipeline(other)


def test_the_environment_carries_the_address(secured: Address) -> None:
    assert Address.of_environment(secured.environment()) == secured


def test_a_run_uses_a_store_that_runs_already(secured: Address, tmp_path: Path) -> None:
    (tmp_path / "stop").touch()
    inputs = ServeInputs(folder=tmp_path, running=secured, stop_file=tmp_path / "stop")
    record = serve(ServeInputs.model_validate_json(inputs.model_dump_json()), ignore)
    assert isinstance(record, Record)
    assert record.metrics.keys() == {"seconds", "peak_memory_mb", "commands", "connections"}
    with RunningStore(tmp_path, secured) as running:
        assert Address.load(running.address_file) == secured
        running.check()
    assert not running.address_file.exists()
    with StoreClient.at(secured) as store:  # it is left as it was
        store.ping()


def test_a_cluster_that_runs_already_is_found_to_be_one(tmp_path: Path) -> None:
    with StoreServer(tmp_path / "cluster", shards=3) as server:
        one = replace(server.published, address=server.address.split(",")[1], clustered=False)
        with RunningStore(tmp_path, one) as running, running.client() as store:
            assert running.published.clustered
            store.put_tensor("x", np.ones(3))


def test_a_server_without_the_module_is_told(tmp_path: Path) -> None:
    path = tmp_path / "plain.sock"
    command = [DEBIAN_REDIS, "--port", "0", "--unixsocket", str(path), "--save", ""]
    with subprocess.Popen(command, cwd=tmp_path) as process:
        try:
            while not path.exists():
                time.sleep(0.02)
            plain = RunningStore(tmp_path, Address(f"unix://{path}"))
            with pytest.raises(ParslflowError, match=r"does not know the AI\.\* commands"):
                plain.__enter__()
        finally:
            process.terminate()


def test_a_store_that_does_not_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost, match="it cannot be reached"):
        RunningStore(tmp_path, Address(f"unix://{tmp_path}/none")).__enter__()
    assert not (tmp_path / "address.json").exists()
