"""One small run, logged to a real CMF by a writer that was killed time and again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from parslflow.provenance import events
from parslflow.provenance.events import Value
from parslflow.provenance.writer import Writer

from .loop import write_loop
from .services import Postgresql
from .services import postgresql

PIPELINE = "small"
EPOCHS = 300
# At these of its steps the writer is killed, one after the other; the run has 364 in all.
KILLS = (9, 31, 60, 90, 120, 150, 200, 230)


@dataclass(frozen=True)
class LoggedRun:
    root: Path
    contents: dict[Path, bytes]
    """What every artifact held before the writer saw it."""
    repository_before: dict[str, str]
    """The user's repository around the run, before and after."""
    repository_after: dict[str, str]


@pytest.fixture(scope="session")
def logged_run(tmp_path_factory: pytest.TempPathFactory) -> LoggedRun:
    repository = tmp_path_factory.mktemp("users-repository")
    _make_repository(repository)
    root = repository / "runs" / "one"
    contents = write_small_run(root, outside=repository / "topography.nc")
    before = _repository_state(repository)
    with pytest.MonkeyPatch.context() as environment:
        # As under a git hook: CMF's git must still not touch this repository.
        environment.setenv("GIT_DIR", str(repository / ".git"))
        environment.setenv("GIT_INDEX_FILE", str(repository / ".git" / "index"))
        # Each goes on from the wreck that the former left.
        for step in KILLS:
            assert run_killed_writer(root, step) is None, step
        with Writer(root) as writer:
            writer.flush(timeout_s=200)
    return LoggedRun(root, contents, before, _repository_state(repository))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Postgresql]:
    """One real server for the session."""
    with postgresql() as server:
        yield server


def write_small_run(root: Path, outside: Path) -> dict[Path, bytes]:
    """Journal a run: base data, two networks, the decision, deployment, a failure, a lost one."""
    for folder in ("journal", "samples", "models", "simulations/base", "simulations/low"):
        (root / folder).mkdir(parents=True)
    contents: dict[Path, bytes] = {}

    def write(path: Path) -> Path:
        contents[path] = path.name.encode() * 1000
        path.write_bytes(contents[path])
        return path

    def execution(
        context: str, name: str, **properties: Value
    ) -> AbstractContextManager[events.Execution]:
        return events.execution(
            root / "journal", pipeline=PIPELINE, context=context, name=name, properties=properties
        )

    with execution("base", "base") as run:
        run.used(write(outside), kind="dataset")
        run.produced(write(root / "simulations/base/daily.nc"), kind="dataset")
    base = root / "simulations/base/daily.nc"
    networks = ("EKE-ResNet", "EKE-Bottleneck")
    for number, network in enumerate(networks):
        version = f"{network}-0"
        with execution(
            "train", f"train-{version}", network=network, iteration=0, version=version, rate=0.005
        ) as run:
            run.used(base, kind="dataset")
            for epoch in range(EPOCHS):
                run.metric(
                    "epoch", {"epoch": epoch, "train_loss": 1 / (1 + epoch), "number": number}
                )
            for suffix in (".pt", ".script.pt"):
                path = write(root / f"models/{version}{suffix}")
                run.produced(path, kind="model", properties={"network": network, "iteration": 0})
            run.result({"test_loss": 0.75 - 0.25 * number, "validation_loss": float("nan")})
    with execution("evaluate", "evaluate-0", iteration=0) as run:
        for network in networks:
            run.used(root / f"models/{network}-0.script.pt", kind="model")
        run.decision({"best": "EKE-Bottleneck-0", "threshold": 0.6, "good_enough": 1})
    with execution("deploy", "deploy") as run:
        run.used(root / "models/EKE-Bottleneck-0.script.pt", kind="model")
    with suppress(RuntimeError), execution("simulate-low", "low-network") as run:
        run.used(root / "models/EKE-Bottleneck-0.script.pt", kind="model")
        raise RuntimeError("blew up on day 3")
    with execution("simulate-low", "low-meke"):
        pass
    _cut_end(next((root / "journal").glob("low-meke-*.jsonl")))
    return contents


def _cut_end(path: Path) -> None:
    """Leave half of the last line, as a kill in the middle of a write would."""
    text = path.read_bytes()
    path.write_bytes(text[: text.rstrip().rfind(b"\n") + 40])


# Kills itself at one of its own steps: when it is about to write, rename, link or make something,
# to start a program, or to change the metadata.
KILLED = """
import collections, os, signal, sys
root, step = sys.argv[1:]
seen = collections.Counter()
def count(what):
    seen[what] += 1
    if step in (f"{seen.total()}", f"{what} {seen[what]}"):
        os.kill(os.getpid(), signal.SIGKILL)
def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        if str(path).startswith(root) and flags & (os.O_WRONLY | os.O_RDWR):
            count(event)
    elif event in ("os.rename", "os.link", "os.mkdir", "os.remove", "subprocess.Popen"):
        count(event)
sys.addaudithook(watch)
from parslflow.provenance.mlmd import MetadataStore
for name in dir(MetadataStore):
    if name.startswith("put_"):
        def counted(self, *arguments, call=getattr(MetadataStore, name), name=name, **named):
            count(name)
            answer = call(self, *arguments, **named)
            count(name)
            return answer
        setattr(MetadataStore, name, counted)
from parslflow.provenance import writer
code = writer.main([root])
print(seen.total())
sys.exit(code)
"""


def run_killed_writer(root: Path, step: int | str) -> int | None:
    """Run a writer that kills itself at one of its steps; how many it took if it ended.

    Args:
        root: the run.
        step: its number, or of what kind it is and its number among those; 0 for none.
    """
    (root / "provenance").mkdir(exist_ok=True)
    (root / "provenance" / "stop").touch()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(root), str(step)], stdout=subprocess.PIPE, text=True
    )
    if done.returncode == -signal.SIGKILL:
        return None
    assert done.returncode == 0
    return int(done.stdout.splitlines()[-1])


def _make_repository(folder: Path) -> None:
    (folder / "code.py").write_text("print(1)\n")
    for command in (
        ["init", "--quiet", "--initial-branch=work"],
        ["add", "code.py"],
        ["-c", "user.name=A", "-c", "user.email=a@b", "commit", "--quiet", "--message=Code"],
    ):
        _git(folder, *command)
    (folder / "code.py").write_text("print(2)\n")
    _git(folder, "add", "code.py")
    (folder / "code.py").write_text("print(3)\n")


def _repository_state(folder: Path) -> dict[str, str]:
    return {
        "branch": _git(folder, "symbolic-ref", "HEAD"),
        "head": _git(folder, "rev-parse", "HEAD"),
        "branches": _git(folder, "for-each-ref"),
        "index": _git(folder, "ls-files", "--stage"),
        "status": _git(folder, "status", "--porcelain"),
        "settings": (folder / ".git" / "config").read_text(),
    }


def _git(folder: Path, *arguments: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="session")
def loop_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the loop that no test may change."""
    root = tmp_path_factory.mktemp("loop") / "run"
    write_loop(root)
    return root


@pytest.fixture
def own_run(loop_run: Path, tmp_path: Path) -> Path:
    """A copy of that run, with its hard links, for a test to damage."""
    root = tmp_path / "run"
    subprocess.run(["cp", "--archive", str(loop_run), str(root)], check=True)
    return root
