"""The server outlives whatever it is sent.

With ``--long`` 100,000 commands under AddressSanitizer, in Debian's Redis: it takes its memory from
malloc, which the sanitizer watches.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import hiredis
import pytest
import torch
from torch.utils.cpp_extension import include_paths

from parslflow.store.packing import packed
from parslflow.store.server import module_path
from tests.store.conftest import DEBIAN_REDIS
from tests.store.conftest import Scripted
from tests.store.fuzzing import Fuzzer
from tests.store.fuzzing import Words

SOURCES = Path(__file__).parents[2] / "_ext" / "tensorstore"
COMMANDS = {False: 5000, True: 100_000}
AT_ONCE = 50
CONNECTIONS = 4
SANITIZER = "detect_leaks=0:abort_on_error=1:handle_abort=1:alloc_dealloc_mismatch=0"


class Line(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.float())


class Remembers(torch.nn.Module):
    """Keeps what it was given, and hands it out again."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.zeros(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = self.last
        self.last = x
        return before


class Several(torch.nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.add_(1), y


def sanitized_module(folder: Path) -> Path:
    """The module, built with AddressSanitizer."""
    libraries = Path(torch.__file__).parent / "lib"
    module = folder / "tensorstore.so"
    flags = ["-std=c++20", "-O1", "-g1", "-fPIC", "-fsanitize=address", "-fvisibility=hidden"]
    found = [part for path in include_paths() for part in ("-isystem", path)]
    jobs = [
        subprocess.Popen(
            ["g++", *flags, *found, "-c", str(source), "-o", f"{folder}/{source.stem}.o"]
        )
        for source in SOURCES.glob("*.cpp")
    ]
    assert [job.wait() for job in jobs] == [0] * len(jobs)
    objects = [str(path) for path in folder.glob("*.o")]
    found = [f"-L{libraries}", "-ltorch", "-ltorch_cpu", "-lc10", f"-Wl,-rpath,{libraries}"]
    link = ["g++", "-shared", "-fsanitize=address", "-o", str(module), *objects, *found]
    subprocess.run(link, check=True)
    return module


class Target:
    """A server with the module, on a socket in ``folder``."""

    def __init__(self, folder: Path, module: Path, environment: dict[str, str]) -> None:
        self.log = folder / "server.log"
        self._socket = folder / "store.sock"
        settings = ["--port", "0", "--unixsocket", self._socket, "--dir", folder, "--save", "",
                    "--maxmemory", "200mb", "--loadmodule", module]  # fmt: skip
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(word) for word in (DEBIAN_REDIS, *settings)],
                env=os.environ | environment,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 60
        while not self._socket.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(2)  # a batch that nobody completes is not waited for
        connection.connect(str(self._socket))
        return connection


def send(connection: socket.socket, commands: list[Words]) -> None:
    with suppress(OSError):  # it has ended: there will be no replies
        connection.sendall(b"".join(packed(words) for words in commands))


def receive(connection: socket.socket, wanted: int) -> int:
    """How many replies came before the server hung up, if it did."""
    reader = hiredis.Reader()
    answered = 0
    with suppress(OSError):
        while answered < wanted:
            received = connection.recv(1 << 16)
            if not received:
                break
            reader.feed(received)
            while reader.gets() is not False:
                answered += 1
    return answered


@pytest.fixture
def target(tmp_path: Path, long: bool) -> Iterator[Target]:
    module, environment = module_path(), {}
    if long:
        module = sanitized_module(tmp_path)
        command = ["g++", "-print-file-name=libasan.so"]
        library = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        environment = {"LD_PRELOAD": library, "ASAN_OPTIONS": SANITIZER}
    target = Target(tmp_path, module, environment)
    yield target
    target.process.terminate()
    target.process.wait(20)


@pytest.mark.timeout(1800)
def test_server_outlives_any_command(target: Target, scripted: Scripted, long: bool) -> None:
    models = [scripted(module) for module in (Line(), Remembers(), Several())]
    seed = int(os.environ.get("FUZZ_SEED", "0")) or int(time.time())
    fuzzer = Fuzzer(seed, models)
    commands = iter(fuzzer)
    connections = [target.connect() for _ in range(CONNECTIONS)]
    sent = answered = 0
    began = time.monotonic()
    while sent < COMMANDS[long]:
        batches = [[*fuzzer.useful(), *islice(commands, AT_ONCE)] for _ in connections]
        for connection, batch in zip(connections, batches, strict=True):
            send(connection, batch)
        for number, batch in enumerate(batches):
            sent += len(batch)
            done = receive(connections[number], len(batch))
            answered += done
            if done < len(batch):  # one of the words ended the connection, or the server
                connections[number].close()
                time.sleep(0.01)
                assert target.process.poll() is None, (
                    f"FUZZ_SEED={seed}, after {sent} commands: {batch[done]!r:.500}\n"
                    + target.log.read_text(errors="replace")[-5000:]
                )
                connections[number] = target.connect()
        if long and sent % 5000 < CONNECTIONS * AT_ONCE:
            print(f"{sent} commands, {time.monotonic() - began:.0f} s", file=sys.stderr)
    for connection in connections:
        send(connection, [[b"DISCARD"], [b"PING"]])
        assert receive(connection, 2) == 2
        connection.close()
    assert target.process.poll() is None
    assert answered > 0.8 * sent
