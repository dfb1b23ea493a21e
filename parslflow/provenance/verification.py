"""Whether all that a run logged is still there: files, their versions in DVC, CMF's records.

The journal says what there was. The newest ``produced`` of a path is what the file in the run
directory must be; every version must be in DVC. Files of the run are hard links to DVC's objects
where the file system has links, so a program that overwrites one in place, as root can, changes
both: then the version is lost.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from parslflow.provenance import remote
from parslflow.provenance.checkout import cache
from parslflow.provenance.checkout import cache_path
from parslflow.provenance.checkout import digests
from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import Execution
from parslflow.provenance.graph import Graph
from parslflow.provenance.graph import read
from parslflow.provenance.journal import files
from parslflow.provenance.journal import read_execution
from parslflow.provenance.schema import ArtifactEvent
from parslflow.provenance.schema import Ended
from parslflow.provenance.schema import Event
from parslflow.provenance.schema import Metric
from parslflow.rundir import RunDir

Progress = Callable[[int, int], None]
"""Is told how many bytes of how many were hashed."""

_Inode = tuple[int, int]
_OBJECT = re.compile(r"[0-9a-f]{30}(\.dir)?")
"""The name of an object in DVC's cache; others are being written."""


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was logged."""

    about: str
    """``file``, ``version`` (in DVC), ``journal`` or ``cmf``."""
    name: str
    """The file's path, DVC's object or the execution."""
    state: str
    """``changed``, ``missing``, ``damaged``, ``lost``, ``unreadable``, ``not logged`` or
    ``doubled``."""
    sentence: str


@dataclass(frozen=True)
class Verification:
    """What was looked at, and what is wrong."""

    files: int
    """Paths that the journal names."""
    versions: int
    """Different contents that these had."""
    objects: int
    """Objects in DVC's cache."""
    executions: int
    """Executions in the journal that have ended."""
    bytes: int
    """What was hashed."""
    problems: tuple[Problem, ...]


def verify(run_root: Path, progress: Progress = lambda done, total: None) -> Verification:
    """Hash again all that a run logged, and compare it with the journal, DVC and CMF.

    Args:
        run_root: the run directory.
        progress: is called while files are hashed.

    Raises:
        ParslflowError: the run has no metadata, or a version is missing in DVC's cache and the
            remote cannot be reached.
    """
    run = RunDir(run_root)
    graph = read(run_root)
    journal: dict[str, list[Event]] = {}
    problems: list[Problem] = []
    for name, paths in files(run.journal).items():
        journal[name], unread = read_execution(paths)
        problems += [Problem("journal", name, "unreadable", sentence) for sentence in unread]
    events = [one for each in journal.values() for one in each if isinstance(one, ArtifactEvent)]
    newest = _newest(events)
    objects = sorted(path for path in cache(run).glob("??/*") if _OBJECT.fullmatch(path.name))
    hashed = _Hashed(
        [*(path for path in (run.root / one for one in newest) if path.is_file()), *objects],
        progress,
    )
    damaged = {path for path in objects if hashed.md5(path) != _name(path)}
    problems += _content_problems(run, graph, events, newest, hashed, damaged)
    problems += _cmf_problems(graph, journal)
    return Verification(
        files=len(newest),
        versions=len({event.sha256 for event in events}),
        objects=len(objects),
        executions=sum(bool(each) and isinstance(each[-1], Ended) for each in journal.values()),
        bytes=hashed.total,
        problems=tuple(problems),
    )


class _Hashed:
    """The hashes of files, each content read once however many names it has."""

    def __init__(self, paths: Iterable[Path], progress: Progress) -> None:
        sizes: dict[_Inode, tuple[int, Path]] = {}
        for path in paths:
            status = path.stat()
            sizes[(status.st_dev, status.st_ino)] = status.st_size, path
        self.total = sum(size for size, _ in sizes.values())
        self._digests: dict[_Inode, tuple[str, str]] = {}
        done = 0
        progress(0, self.total)
        # Hashing gives up the interpreter's lock, so threads hash at once.
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            found = pool.map(digests, (path for _, path in sizes.values()))
            for (inode, (size, _)), both in zip(sizes.items(), found, strict=True):
                self._digests[inode] = both
                done += size
                progress(done, self.total)

    def sha256(self, path: Path) -> str:
        return self._digests[inode(path)][0]

    def md5(self, path: Path) -> str:
        return self._digests[inode(path)][1]


def inode(path: Path) -> _Inode:
    """What a file is on its file system, whatever its names."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _newest(events: Iterable[ArtifactEvent]) -> dict[str, ArtifactEvent]:
    """What each path must be: what was produced there last, or else what was used there last."""
    newest: dict[str, ArtifactEvent] = {}
    for event in sorted(events, key=_precedence):
        newest[event.path] = event
    return dict(sorted(newest.items()))


def _precedence(event: ArtifactEvent) -> tuple[bool, datetime]:
    """What was produced counts more than what was used, then what was later."""
    return event.event == "produced", event.time


def _name(cached: Path) -> str:
    """The MD5 that an object's name in DVC's cache says; a folder's has an ending."""
    return cached.parent.name + cached.name.removesuffix(".dir")


def _content_problems(
    run: RunDir,
    graph: Graph,
    events: Iterable[ArtifactEvent],
    newest: dict[str, ArtifactEvent],
    hashed: _Hashed,
    damaged: set[Path],
) -> list[Problem]:
    """What is wrong with the files of the run, and with their versions in DVC."""
    problems: list[Problem] = []
    known: dict[str, Artifact] = {one.sha256: one for one in graph.artifacts.values()}
    versions = {one.sha256: one for one in sorted(events, key=_precedence)}
    objects = {digest: cache_path(run, known[digest].md5) for digest in versions if digest in known}
    absent = {digest for digest, cached in objects.items() if not cached.is_file()}
    remotely = remote.find(run, {known[one].md5 for one in absent}) if absent else set()
    safe = {
        digest
        for digest, cached in objects.items()
        if (
            known[digest].md5 in remotely
            if digest in absent
            else cached not in damaged and hashed.sha256(cached) == digest
        )
    }
    right: set[str] = set()
    wrong: dict[str, tuple[str, str]] = {}
    for path, event in newest.items():
        file = run.root / path
        if not file.is_file():
            wrong[path] = event.sha256, "missing"
        elif hashed.sha256(file) != event.sha256:
            wrong[path] = event.sha256, "changed"
        else:
            right.add(event.sha256)

    told: set[str] = set()
    for path, (digest, state) in wrong.items():
        verb = "is missing" if state == "missing" else "has changed"
        since = f"{path} {verb} since {newest[path].execution} {newest[path].event} it"
        to = " --to FILE" if state == "changed" or Path(path).is_absolute() else ""
        again = f"'parslflow checkout {run.root} {path}@{digest[:8]}{to}'"
        if digest in safe or digest not in objects:
            cure = f": {again} brings it back." if digest in safe else "."
            problems.append(Problem("file", path, state, since + cure))
            continue
        told.add(digest)
        cached = objects[digest]
        if digest in right:
            problems.append(Problem("file", path, state, f"{since}, and DVC has no copy."))
        elif state == "changed" and cached.is_file() and inode(cached) == inode(run.root / path):
            problems.append(
                Problem(
                    "file",
                    path,
                    "lost",
                    f"{since}: it was overwritten in place, and DVC's copy, which is the same file "
                    "on the disk, with it, so this version is lost.",
                )
            )
        else:
            problems.append(
                Problem("file", path, "lost", f"{since}, and {_unsafe(cached, damaged)}: lost.")
            )
    for digest, cached in objects.items():
        if digest in safe or digest in told:
            continue
        event = versions[digest]
        what = f"{event.path}@{digest[:8]}, which {event.execution} {event.event}"
        if digest in right:
            state, rest = "damaged", "the file in the run is right: keep a copy of it."
            if cached not in damaged:
                state = "missing"
        else:
            state, rest = "lost", "no other copy is known, so this version is lost."
        problems.append(
            Problem("version", event.path, state, f"{what}: {_unsafe(cached, damaged)}; {rest}")
        )
    mine = set(objects.values())
    problems += [
        Problem(
            "version",
            _name(cached),
            "damaged",
            f"{cached} is damaged: its MD5 is {hashed.md5(cached)}; remove it and see whether "
            "'dvc pull' brings it back.",
        )
        for cached in sorted(damaged - mine)
    ]
    return problems


def _unsafe(cached: Path, damaged: set[Path]) -> str:
    """What is wrong with DVC's copy of a version."""
    if cached in damaged:
        return f"DVC's copy {cached} is damaged"
    if not cached.is_file():
        return "DVC has it neither in its cache nor in its remote"
    return "it had changed or was gone before DVC got it"


def _cmf_problems(graph: Graph, journal: dict[str, list[Event]]) -> list[Problem]:
    """What CMF lacks of the executions that have ended, or has twice."""
    problems: list[Problem] = []
    counted = Counter(one.journal for one in graph.executions.values())
    by_name = {one.journal: one for one in graph.executions.values()}
    for name, events in journal.items():
        if not events or not isinstance(events[-1], Ended):
            continue
        if counted[name] == 0:
            problems.append(
                Problem(
                    "cmf",
                    name,
                    "not logged",
                    f"CMF does not have the execution {name}: wait for the writer, or start it "
                    "again.",
                )
            )
        else:
            if counted[name] > 1:
                problems.append(
                    Problem("cmf", name, "doubled", f"CMF has the execution {name} twice.")
                )
            problems += _execution_problems(graph, by_name[name], events)
    contents = Counter(one.sha256 for one in graph.artifacts.values() if one.sha256)
    problems += [
        Problem("cmf", digest, "doubled", f"CMF has the artifact {digest[:8]} {times} times.")
        for digest, times in contents.items()
        if times > 1
    ]
    return problems


def _execution_problems(
    graph: Graph, execution: Execution, events: Iterable[Event]
) -> list[Problem]:
    """What CMF lacks of one execution, or has twice."""
    linked = Counter(graph.artifacts[key].sha256 for key in graph.before[execution.id])
    made = Counter(graph.artifacts[key].sha256 for key in graph.after[execution.id])
    name = execution.journal
    problems = [
        Problem(
            "cmf", name, "not logged", f"CMF does not have that {name} {event.event} {event.path}."
        )
        for event in events
        if isinstance(event, ArtifactEvent)
        # CMF has one link between an execution and a content, whatever it did with it.
        and not (linked[event.sha256] or made[event.sha256])
    ]
    problems += [
        Problem("cmf", name, "doubled", f"CMF has {times} links of {name} with {digest[:8]}.")
        for counts in (linked, made)
        for digest, times in counts.items()
        if times > 1
    ]
    series = dict.fromkeys(event.series for event in events if isinstance(event, Metric))
    problems += [
        Problem("cmf", name, "not logged", f"CMF does not have the metrics {one} of {name}.")
        for one in series
        if one not in execution.series
    ]
    return problems
