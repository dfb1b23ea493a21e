"""The one process that logs to CMF, and the driver's handle on it.

``python -m parslflow.provenance.writer RUN PIPELINE`` follows the journal and logs every execution
once, in the order of their starts, when it has ended. What it has done it writes to
``RUN/provenance/state.json``; killed and started again it goes on from there.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.provenance import repository
from parslflow.provenance.journal import files
from parslflow.provenance.journal import has_ended
from parslflow.provenance.journal import read_execution
from parslflow.provenance.schema import Event
from parslflow.rundir import RunDir
from parslflow.rundir import atomic_path

_POLL_SECONDS = 0.2
_NICENESS = 5


class Writer:
    """The driver's handle on the writer of one run.

    As a context manager it starts the process, and at the end of the block has it log what is
    left and end.
    """

    def __init__(self, run_root: Path, pipeline: str) -> None:
        self._run = RunDir(run_root.resolve())
        self._pipeline = pipeline
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except ParslflowError:
            # What ended the block says more than what the writer then did.
            if error is None:
                raise

    def start(self) -> None:
        """Start the process; it finishes the journal when this process is gone."""
        _stop_file(self._run).unlink(missing_ok=True)
        self._run.logs.mkdir(parents=True, exist_ok=True)
        with _log_file(self._run).open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(self._run.root), self._pipeline],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C in the driver's terminal must not keep the writer from finishing.
                start_new_session=True,
            )

    def flush(self, timeout_s: float) -> None:
        """Wait until every execution that has ended by now is in CMF.

        Raises:
            ParslflowError: the writer died, or it took longer than ``timeout_s``.
        """
        ended = {name for name, paths in files(self._run.journal).items() if has_ended(paths)}
        deadline = time.monotonic() + timeout_s
        while True:
            alive = self._process is not None and self._process.poll() is None
            left = ended - _read_state(self._run).keys()
            if not left:
                return
            if not alive:
                raise ParslflowError(f"The provenance writer ended early: {self._last_line()}")
            if time.monotonic() > deadline:
                raise ParslflowError(
                    f"The provenance writer has {len(left)} executions still to log after "
                    f"{timeout_s:g} s: see {_log_file(self._run)}."
                )
            time.sleep(_POLL_SECONDS / 2)

    def close(self) -> None:
        """Have the process log what is left, and wait for its end.

        Raises:
            ParslflowError: it failed; the journal is whole, and a new writer can go on.
        """
        if self._process is None:
            return
        _stop_file(self._run).touch()
        if self._process.wait() != 0:
            raise ParslflowError(f"The provenance writer failed: {self._last_line()}")
        self._process = None

    def _last_line(self) -> str:
        lines = _log_file(self._run).read_text(errors="replace").split("\n")
        said = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        return f"{said} ({_log_file(self._run)})"


def _follow(run: RunDir, pipeline: str) -> None:
    """Log the journal's executions until told to stop, or until the parent is gone."""
    parent = os.getppid()
    repository.enter(run.provenance)
    from parslflow.provenance.cmf import Cmf

    cmf = Cmf(run)
    cmf.open_pipeline(pipeline)
    state = _read_state(run)
    pending: dict[str, list[Event]] = {}
    while True:
        # Asked before the journal is read, so that nothing that was there by then is missed.
        stopped = _stop_file(run).exists()
        orphaned = os.getppid() != parent
        for name, paths in files(run.journal).items():
            # Once told to stop nobody runs any more: what has not ended never will.
            if name not in state and name not in pending and (stopped or has_ended(paths)):
                events, problems = read_execution(paths)
                for problem in problems:
                    _say(problem)
                if events:
                    pending[name] = events
                else:
                    state[name] = None
        if pending:
            name = min(pending, key=lambda name: (pending[name][0].time, name))
            state[name] = cmf.log(pending.pop(name))
            _write_state(run, state)
        elif stopped or orphaned:
            return
        else:
            time.sleep(_POLL_SECONDS)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _stop_file(run: RunDir) -> Path:
    return run.provenance.parent / "stop"


def _state_file(run: RunDir) -> Path:
    return run.provenance.parent / "state.json"


def _log_file(run: RunDir) -> Path:
    return run.logs / "writer.log"


def _read_state(run: RunDir) -> dict[str, int | None]:
    """The id in CMF of every execution that was dealt with, None if it could not be read."""
    try:
        text = _state_file(run).read_text()
    except FileNotFoundError:
        return {}
    executions: dict[str, int | None] = json.loads(text)["executions"]
    return executions


def _write_state(run: RunDir, executions: dict[str, int | None]) -> None:
    with atomic_path(_state_file(run)) as temporary:
        temporary.write_text(json.dumps({"executions": executions}, indent=1) + "\n")


@contextmanager
def _alone(run: RunDir) -> Iterator[None]:
    """Wait until no other writer logs this run, and keep others waiting during the block."""
    path = run.provenance.parent / "writer.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main(arguments: list[str]) -> int:
    """The command: ``python -m parslflow.provenance.writer RUN PIPELINE``."""
    if len(arguments) != 2:
        _say("Give a run directory and the experiment's name: writer RUN PIPELINE.")
        return UsageError.exit_code
    run = RunDir(Path(arguments[0]).resolve())
    os.nice(_NICENESS)
    try:
        with _alone(run):
            _follow(run, pipeline=arguments[1])
    except ParslflowError as error:
        _say(str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
