"""One small run, logged to a real CMF by a writer that was killed three times."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from parslflow.provenance import events
from parslflow.provenance.events import Value
from parslflow.provenance.writer import Writer

from .loop import write_loop

PIPELINE = "small"
EPOCHS = 300


@dataclass(frozen=True)
class LoggedRun:
    root: Path
    contents: dict[Path, bytes]
    """What every artifact held before the writer saw it."""
    repository_before: dict[str, str]
    """The user's repository around the run, before and after."""
    repository_after: dict[str, str]
    states: list[list[str]]
    """The executions that were logged each time that the writer was killed."""


@pytest.fixture(scope="session")
def logged_run(tmp_path_factory: pytest.TempPathFactory) -> LoggedRun:
    repository = tmp_path_factory.mktemp("users-repository")
    _make_repository(repository)
    root = repository / "runs" / "one"
    contents = write_small_run(root, outside=repository / "topography.nc")
    before = _repository_state(repository)
    states = []
    with pytest.MonkeyPatch.context() as environment:
        # As under a git hook: CMF's git must still not touch this repository.
        environment.setenv("GIT_DIR", str(repository / ".git"))
        environment.setenv("GIT_INDEX_FILE", str(repository / ".git" / "index"))
        for logged in range(3):
            states.append(_kill_writer(root, logged, extra_seconds=0.1 + 0.05 * logged))
        with Writer(root, PIPELINE) as writer:
            writer.flush(timeout_s=200)
    return LoggedRun(root, contents, before, _repository_state(repository), states)


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
                run.metric("epoch", {"epoch": epoch, "train_loss": 1 / (1 + epoch)})
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


def _kill_writer(root: Path, logged: int, extra_seconds: float) -> list[str]:
    """Start a writer and kill it in the middle of the execution after ``logged`` ones."""
    process = subprocess.Popen(
        [sys.executable, "-m", "parslflow.provenance.writer", str(root), PIPELINE]
    )
    state = root / "provenance" / "state.json"
    mlmd = root / "provenance" / "cmf" / "mlmd"

    def executions() -> list[str]:
        return list(json.loads(state.read_text())["executions"]) if state.exists() else []

    deadline = time.monotonic() + 60
    while len(executions()) < logged or not mlmd.exists():
        assert process.poll() is None, "the writer ended early"
        assert time.monotonic() < deadline, "the writer logs nothing"
        time.sleep(0.05)
    time.sleep(extra_seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return executions()


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
