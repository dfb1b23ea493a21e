"""The one process that logs to CMF, and the driver's handle on it.

``python -m parslflow.provenance.writer RUN`` follows the journal and logs every execution once, in
the order of their starts, when it has ended. What it has done it writes to
``RUN/provenance/state.json``; killed and started again it goes on from there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from typing import Self

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.provenance import repository
from parslflow.provenance import settings
from parslflow.provenance.journal import files
from parslflow.provenance.journal import has_ended
from parslflow.provenance.journal import read_execution
from parslflow.provenance.progress import logged
from parslflow.provenance.progress import state_file
from parslflow.provenance.schema import Event
from parslflow.provenance.settings import ProvenanceSettings
from parslflow.rundir import RunDir
from parslflow.rundir import atomic_path
from parslflow.rundir import lock

if TYPE_CHECKING:
    from parslflow.provenance.versions import Versions

_POLL_SECONDS = 0.05
_IDLE_SHARE = 20
"""A look at the journal costs at most one part of so many of the time."""
_BATCH = 50
"""The most executions that are logged together."""
_NICENESS = 5
_FULL_BYTES = 1 << 20


class NotPushedError(ParslflowError):
    """All is logged, and not all versions are where they shall be kept."""

    exit_code = 3


class Writer:
    """The driver's handle on the writer of one run.

    As a context manager it starts the process, and at the end of the block has it log what is
    left and end.
    """

    def __init__(self, run_root: Path) -> None:
        self._run = RunDir(run_root.resolve())
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
        _stop_file(self._run).parent.mkdir(parents=True, exist_ok=True)
        _stop_file(self._run).unlink(missing_ok=True)
        self._run.logs.mkdir(parents=True, exist_ok=True)
        with _log_file(self._run).open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(self._run.root)],
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
            left = ended - logged(self._run).keys()
            if not left:
                return
            if not alive:
                raise ParslflowError(f"The provenance writer ended early: {self._last_line()}")
            if time.monotonic() > deadline:
                raise ParslflowError(
                    f"The provenance writer has {len(left)} executions still to log after "
                    f"{timeout_s:g} s: see {_log_file(self._run)}."
                )
            time.sleep(_POLL_SECONDS / 5)

    def close(self) -> None:
        """Have the process log what is left, and wait for its end.

        Raises:
            ParslflowError: it failed; the journal is whole, and a new writer can go on.
        """
        if self._process is None:
            return
        _stop_file(self._run).touch()
        code = self._process.wait()
        self._process = None
        if code == NotPushedError.exit_code:
            # The run itself is whole.
            print(f"parslflow: {self._last_line()}", file=sys.stderr)
        elif code != 0:
            raise ParslflowError(f"The provenance writer failed: {self._last_line()}")

    def _last_line(self) -> str:
        lines = _log_file(self._run).read_text(errors="replace").split("\n")
        said = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        # On a full disk it could not say so.
        full = shutil.disk_usage(self._run.root).free < _FULL_BYTES
        return f"{said} ({_log_file(self._run)}){'; the disk is full' if full else ''}"


def _follow(run: RunDir, chosen: ProvenanceSettings) -> None:
    """Log the journal's executions until told to stop, or until the parent is gone."""
    parent = os.getppid()
    repository.enter(run.provenance, chosen)
    from parslflow.provenance.cmf import FAILURES
    from parslflow.provenance.cmf import Cmf
    from parslflow.provenance.database import connect
    from parslflow.provenance.versions import Versions

    versions = Versions(run)
    log = Cmf(connect(run, chosen), versions).log
    state = logged(run)
    sizes: dict[Path, int] = {}
    pending: dict[str, list[Event]] = {}
    while True:
        began = time.monotonic()
        # Asked before the journal is read, so that nothing that was there by then is missed.
        stopped = _stop_file(run).exists()
        orphaned = os.getppid() != parent
        before = len(state)
        for name, paths in files(run.journal).items():
            # Once told to stop nobody runs any more: what has not ended never will.
            if name in state or name in pending:
                continue
            if not (stopped or (_grew(paths, sizes) and has_ended(paths))):
                continue
            events, problems = read_execution(paths)
            for problem in problems:
                _say(problem)
            if events:
                pending[name] = events
            else:
                state[name] = None
        batch = sorted(pending, key=lambda name: (pending[name][0].time, name))[:_BATCH]
        try:
            if batch:
                state |= log([pending.pop(name) for name in batch])
            if len(state) > before:
                _write_state(run, state)
        except FAILURES as error:
            said = " ".join(str(error).split())
            raise ParslflowError(
                f"CMF could not log {batch[0] if batch else 'the journal'} and what follows: "
                f"{said} Is the disk full? The journal is whole: 'parslflow record RUN' goes on "
                "from here."
            ) from None
        if len(state) > before:
            continue
        if stopped or orphaned:
            break
        until = time.monotonic() + _IDLE_SHARE * (time.monotonic() - began)
        while True:
            time.sleep(_POLL_SECONDS)
            if time.monotonic() > until or _stop_file(run).exists():
                break
    if chosen.remote is not None:
        _push(versions, chosen.remote)


def _grew(paths: list[Path], sizes: dict[Path, int]) -> bool:
    """Whether files have grown since they were last looked at, so that reading them tells more."""
    found = {path: path.stat().st_size for path in paths}
    if all(sizes.get(path) == size for path, size in found.items()):
        return False
    sizes |= found
    return True


def _push(versions: Versions, remote: str) -> None:
    """Send the versions to where they shall be kept.

    Raises:
        ParslflowError: it failed; the versions are in the run directory.
    """
    try:
        _say(f"Sent {versions.push()} files to {remote}.")
    except Exception as error:  # DVC's, the network's, or the remote's library's
        said = " ".join(str(error).split())
        raise NotPushedError(
            f"All executions are logged, but not all files are at {remote}: {said} Mend it, then "
            "'parslflow record RUN' sends the rest."
        ) from None


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _stop_file(run: RunDir) -> Path:
    return run.provenance.parent / "stop"


def _log_file(run: RunDir) -> Path:
    return run.logs / "writer.log"


def _write_state(run: RunDir, executions: dict[str, int | None]) -> None:
    with atomic_path(state_file(run)) as temporary:
        temporary.write_text(json.dumps({"executions": executions}, indent=1) + "\n")


@contextmanager
def _alone(run: RunDir) -> Iterator[None]:
    """Wait until no other writer logs this run, and keep others waiting during the block."""
    path = run.provenance.parent / "writer.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        lock(file, wait=True)
        yield


def main(arguments: list[str]) -> int:
    """The command: ``python -m parslflow.provenance.writer RUN``."""
    if len(arguments) != 1:
        _say("Give a run directory: writer RUN.")
        return UsageError.exit_code
    run = RunDir(Path(arguments[0]).resolve())
    os.nice(_NICENESS)
    try:
        with _alone(run):
            _follow(run, settings.of_run(run))
    except ParslflowError as error:
        _say(str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    # Freeing what CMF's libraries hold takes a third of a second, and the driver waits.
    os._exit(code)
