"""TLS, where the client was built with a hiredis that has it, to Debian's server."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .running import Server
from .running import free_port
from .running import link_flags
from .running import run

Program = Callable[..., Path]
DEBIAN = Path("/usr/bin/redis-server")


@pytest.fixture(scope="session")
def has_tls(library: Path) -> bool:
    """Whether the client has TLS."""
    return "-lhiredis_ssl" in link_flags(library)


def certify(folder: Path, name: str) -> Path:
    """A certificate that vouches for itself, beside its key."""
    certificate = folder / f"{name}.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(folder / f"{name}.key"), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate


def test_a_client_without_tls_says_so(program: Program, tmp_path: Path, has_tls: bool) -> None:
    if has_tls:
        pytest.skip("this client has TLS")
    said = run("127.0.0.1:9", program("patience"), "2", PARSLFLOW_STORE_CA_FILE="ca.pem")
    assert "built with a hiredis that has none" in said.splitlines()[0]


def test_a_server_that_speaks_tls_alone(program: Program, tmp_path: Path, has_tls: bool) -> None:
    if not has_tls:
        pytest.skip("pkg-config finds no hiredis_ssl")
    ca, other = certify(tmp_path, "server"), certify(tmp_path, "other")
    port = free_port()
    settings = (
        *("--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(ca)),
        *("--tls-cert-file", str(ca), "--tls-key-file", str(tmp_path / "server.key")),
    )
    with Server(
        tmp_path / "server",
        *settings,
        port=port,
        binary=DEBIAN,
        tls={"ssl": True, "ssl_ca_certs": str(ca)},
    ) as server:
        run(server.address, program("tensors"), PARSLFLOW_STORE_CA_FILE=str(ca))
        # Two megabytes, so that a call takes many records.
        said = run(server.address, program("patience"), "5", PARSLFLOW_STORE_CA_FILE=str(ca))
        assert said.splitlines() == ["0 ", "0 "]
        assert server.connection.lrange("tiles", 0, -1) == [b"{late}"]
        for file, cause in ((other, "certificate verify failed"), ("/none", "/none")):
            said = run(server.address, program("patience"), "2", PARSLFLOW_STORE_CA_FILE=str(file))
            assert cause in said.splitlines()[0]
        said = run(server.address, program("patience"), "1")
        assert not said.startswith("0 ")
