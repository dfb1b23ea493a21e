"""Events: what a stage says about one execution, as JSON lines in a file of its own.

A stage never waits for CMF and never imports it. Each event is one line, written with one
``os.write`` on a file opened for appending, so that a killed process leaves whole lines and at
worst one cut line at the end. The format is that of :mod:`parslflow.provenance.schema`. This
module needs nothing but the standard library, so it costs a worker no import time.

A program that an execution starts, such as each rank of a simulation, adds to it with a file of its
own beside the execution's: :func:`environment` tells it where, :mod:`parslflow.provenance.journal`
puts them together.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import resource
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import Any
from typing import Literal

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError

SCHEMA = 2
"""Version of the event format; a reader refuses others."""

JOURNAL_VARIABLE = "PARSLFLOW_JOURNAL"
EXECUTION_VARIABLE = "PARSLFLOW_EXECUTION"

Value = str | int | float
Content = Value | list[str] | list[int] | list[float]
"""What a value of an event can be; an array is of one type and one dimension."""
Kind = Literal["dataset", "model"]

_CHUNK = 1 << 20
_LONGEST_ERROR = 2000
_SCHEDULERS = {
    "slurm": ("SLURM_JOB_ID", "SLURM_STEP_ID"),
    "pbs": ("PBS_JOBID",),
    "lsf": ("LSB_JOBID",),
    "flux": ("FLUX_JOB_ID",),
    "cobalt": ("COBALT_JOBID",),
}
"""In which variables a scheduler says the job, and the step of it."""
_digests: dict[tuple[str, int, int], str] = {}
_running: ContextVar[Execution | None] = ContextVar("_running", default=None)


@contextmanager
def execution(
    journal: Path,
    *,
    pipeline: str,
    context: str,
    name: str,
    properties: Mapping[str, Content] | None = None,
) -> Iterator[Execution]:
    """Journal what happens in the block as one execution of a pipeline's context.

    The block's end, an error too, is an event with the status and what the execution cost. An
    error propagates.

    Args:
        journal: the folder of the run's events, directly inside the run directory.
        pipeline: the experiment's name.
        context: the stage, such as ``train``.
        name: the execution's name, such as ``train-EKE-ResNet-0``; it becomes part of a file name.
        properties: what distinguishes this execution from others of its context.

    Raises:
        UsageError: ``name`` cannot be part of a file name.
    """
    _check_name("execution", name)
    identity = f"{name}-{uuid.uuid4().hex[:8]}"
    path = journal / f"{identity}.jsonl"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        run = Execution(identity, descriptor, Path(os.path.abspath(journal)))
        try:
            run._write(
                "started",
                pipeline=pipeline,
                context=context,
                name=name,
                properties=dict(properties or {}),
                host=socket.gethostname(),
                pid=os.getpid(),
                command=[sys.executable, *sys.orig_argv[1:]],
                job=_job(),
                **_run_environment(run.root),
            )
        except ParslflowError:
            # What could not begin was not.
            path.unlink()
            raise
        began, cpu_before = time.monotonic(), _cpu_seconds()
        token = _running.set(run)
        error = ""
        try:
            yield run
        except BaseException as problem:
            error = f"{type(problem).__name__}: {problem}"[:_LONGEST_ERROR]
            raise
        finally:
            _running.reset(token)
            run._write(
                "ended",
                status="failed" if error else "completed",
                error=error,
                wall_seconds=time.monotonic() - began,
                cpu_seconds=_cpu_seconds() - cpu_before,
                peak_memory_bytes=_peak_memory_bytes(),
            )
    finally:
        os.close(descriptor)


def environment() -> dict[str, str]:
    """The variables by which a program that the running execution starts adds events to it."""
    run = _running.get()
    if run is None:
        return {}
    return {JOURNAL_VARIABLE: str(run.journal), EXECUTION_VARIABLE: run.id}


class Execution:
    """One running execution; :func:`execution` makes it. Its methods can be called by threads."""

    def __init__(self, identity: str, descriptor: int, journal: Path) -> None:
        self.id = identity
        self.journal = journal
        self.root = journal.parent
        self._descriptor = descriptor
        self._sequence = itertools.count()
        self._lock = threading.Lock()
        self._cut = False

    def used(self, path: Path, kind: Kind, properties: Mapping[str, Content] | None = None) -> None:
        """Say that this execution read the file ``path``; the file is hashed.

        Raises:
            ParslflowError: there is no such file.
        """
        self._artifact("used", path, kind, properties)

    def produced(
        self, path: Path, kind: Kind, properties: Mapping[str, Content] | None = None
    ) -> None:
        """Say that this execution wrote the file ``path``; the file is hashed.

        Raises:
            ParslflowError: there is no such file.
        """
        self._artifact("produced", path, kind, properties)

    def properties(self, values: Mapping[str, Content]) -> None:
        """Add to what distinguishes this execution, or change it."""
        self._write("properties", values=dict(values))

    def metric(self, series: str, values: Mapping[str, Content]) -> None:
        """Add one row, such as an epoch or a model day, to a series of metrics.

        Raises:
            UsageError: ``series`` cannot be part of a file name.
        """
        _check_name("series", series)
        self._write("metric", series=series, values=dict(values))

    def result(self, values: Mapping[str, Content]) -> None:
        """Give metrics of the execution as a whole, such as the final losses."""
        self._write("result", values=dict(values))

    def decision(self, values: Mapping[str, Content]) -> None:
        """Say what a driver saw, and what it chose."""
        self._write("decision", values=dict(values))

    def _artifact(
        self, event: str, path: Path, kind: Kind, properties: Mapping[str, Content] | None
    ) -> None:
        absolute = Path(os.path.abspath(path))
        if not absolute.is_file():
            raise ParslflowError(f"{self.id} {event} {path}, but there is no such file.")
        # Relative inside the run directory, so that a run can be moved and still be read.
        inside = absolute.is_relative_to(self.root)
        self._write(
            event,
            path=str(absolute.relative_to(self.root) if inside else absolute),
            kind=kind,
            size=absolute.stat().st_size,
            sha256=sha256(absolute),
            properties=dict(properties or {}),
        )

    def _write(self, event: str, **fields: object) -> None:
        head = {
            "schema": SCHEMA,
            "event": event,
            "execution": self.id,
            "sequence": next(self._sequence),
            "time": datetime.now(UTC).isoformat(timespec="microseconds"),
        }
        line = json.dumps(head | fields, default=_plain).encode() + b"\n"
        with self._lock:
            self._append(line)

    def _append(self, line: bytes) -> None:
        # A line that was cut, as by a full disk, must not swallow the next one.
        line = b"\n" + line if self._cut else line
        reason = ""
        written = 0
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            reason = f" ({error.strerror})"
        if written > 0:
            self._cut = written < len(line)
        if written != len(line):
            raise ParslflowError(
                f"{self.journal / self.id}.jsonl: an event cannot be written{reason}: is the disk "
                "full? Free some space, then 'parslflow resume' goes on."
            )


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal digits, remembered while size and time stay the same."""
    status = path.stat()
    key = (str(path.absolute()), status.st_size, status.st_mtime_ns)
    if key not in _digests:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        _digests[key] = digest.hexdigest()
    return _digests[key]


def has_content(path: Path, digest: str) -> bool:
    """Whether a file is there with the SHA-256 ``digest``."""
    return path.is_file() and sha256(path) == digest


def _check_name(what: str, name: str) -> None:
    if not re.fullmatch(r"\w[\w.-]*", name, re.ASCII):
        raise UsageError(
            f"The {what} name {name!r} cannot be part of a file name: use letters, digits, "
            "'.', '_' and '-' only."
        )


def _plain(value: Any) -> Value:  # noqa: ANN401 - any object that json cannot write
    """NumPy and PyTorch scalars as Python's."""
    if not hasattr(value, "item"):
        raise TypeError(f"{value!r} is neither a string nor a number, so no event can hold it.")
    item: Value = value.item()
    return item


def _job() -> str:
    """The scheduler's job that this process runs in, such as ``slurm 1234.0``; empty if none."""
    for scheduler, names in _SCHEDULERS.items():
        parts = [os.environ[name] for name in names if os.environ.get(name)]
        if parts:
            return f"{scheduler} {'.'.join(parts)}"
    return ""


def _run_environment(root: Path) -> dict[str, str]:
    """The software that a run uses, as its driver wrote it down; empty where there is no driver."""
    try:
        found = json.loads((root / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    return {"commit": found.get("commit", ""), "environment": found.get("environment", "")}


def _cpu_seconds() -> float:
    usages = (
        resource.getrusage(resource.RUSAGE_SELF),
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak_memory_bytes() -> int:
    """The most that this process, or the largest of its finished children, ever held."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(own, children) * 1024
