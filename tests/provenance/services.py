"""Real services that CMF speaks to: PostgreSQL, S3, and CMF's own server."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from http.server import HTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

USER = "parslflow"
PASSWORD = "wordpass"  # noqa: S105 - of a server that lives for a test
KEY, SECRET = "some-key", "some/secret+key"


@dataclass(frozen=True)
class Postgresql:
    """A server on a socket of its own."""

    folder: Path
    port: int

    def settings(self, database: str, password_file: Path) -> str:
        """The table of an experiment that keeps its metadata there."""
        password_file.touch(mode=0o600)
        password_file.write_text(f"{PASSWORD}\n")
        return (
            f'[provenance]\npostgresql = "{self.folder}:{self.port}/{database}"\n'
            f'user = "{USER}"\npassword_file = "{password_file}"\n'
        )

    def environment(self, database: str) -> dict[str, str]:
        """The variables by which cmflib finds a database there."""
        return os.environ | {
            "POSTGRES_HOST": str(self.folder),
            "POSTGRES_PORT": str(self.port),
            "POSTGRES_USER": USER,
            "POSTGRES_PASSWORD": PASSWORD,
            "POSTGRES_DB": database,
        }


@contextmanager
def postgresql() -> Iterator[Postgresql]:
    """A PostgreSQL server, run by its own user where this one is root."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    binary = programs[-1] if programs else Path(shutil.which("postgres") or "")
    assert binary.is_file(), "install postgresql"
    # A socket's path must be short.
    with TemporaryDirectory(prefix="pg-") as name:
        folder = Path(name)
        secret = folder / "secret"
        secret.write_text(PASSWORD)
        command: list[str] = []
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            for path in (folder, secret):
                os.chown(path, owner.pw_uid, owner.pw_gid)
            command = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}"]
            command.append("--clear-groups")
        port = 5432
        subprocess.run(
            [*command, binary.with_name("initdb"), "--pgdata", folder / "data", "--auth=md5",
             f"--username={USER}", f"--pwfile={secret}", "--no-sync"],
            check=True, cwd=folder, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        server = subprocess.Popen(
            [*command, binary, "-D", folder / "data", "-k", folder, "-p", str(port),
             "-c", "listen_addresses=", "-c", "fsync=off"],
            cwd=folder, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait(folder / f".s.PGSQL.{port}", server)
            yield Postgresql(folder, port)
        finally:
            server.terminate()
            server.wait()


@contextmanager
def s3(bucket: str) -> Iterator[str]:
    """A server that speaks S3, with an empty bucket; its address."""
    with TemporaryDirectory() as folder, socket.socket() as free:
        Path(folder, bucket).mkdir()
        free.bind(("127.0.0.1", 0))
        address = "{}:{}".format(*free.getsockname())
        free.close()
        server = subprocess.Popen(
            [Path(sys.executable).with_name("rclone"), "serve", "s3", "--addr", address,
             "--auth-key", f"{KEY},{SECRET}", "--config", os.devnull, folder],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait(address, server)
            yield f"http://{address}"
        finally:
            server.terminate()
            server.wait()


@contextmanager
def cmf_server(database: dict[str, str]) -> Iterator[str]:
    """A server that does with a push what CMF's own does, into a PostgreSQL database; its address.

    Args:
        database: the variables by which cmflib finds it.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = {"status": "success"}
            if self.path == "/api/mlmd_push":
                pushed = subprocess.run(
                    [sys.executable, "-c", MERGE], input=body, env=database, stdout=subprocess.PIPE
                )
                answer["status"] = pushed.stdout.decode().splitlines()[-1]
            text = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# cmflib's own, which its server calls.
MERGE = """
import json, sys
from cmflib.cmf_federation import update_mlmd
from cmflib.cmfquery import CmfQuery
sent = json.load(sys.stdin)
query = CmfQuery(is_server=True)
print(update_mlmd(query, sent["json_payload"], sent["pipeline_name"], "push", sent["exec_uuid"]))
"""


def _wait(place: Path | str, server: subprocess.Popen[bytes]) -> None:
    """Wait until a file is there, or an address answers."""
    deadline = time.monotonic() + 60
    while True:
        assert server.poll() is None, f"{server.args} ended early"
        assert time.monotonic() < deadline, f"{server.args} does not start"
        if isinstance(place, Path) and place.exists():
            return
        if isinstance(place, str):
            host, _, port = place.partition(":")
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    return
        time.sleep(0.05)
