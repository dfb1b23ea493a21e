"""What a user calls an artifact, an execution or a model version, and which node that is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

from parslflow.errors import UsageError
from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import Execution
from parslflow.provenance.graph import Graph

VERSION_MARK = "@"
"""Between a path and the beginning of a SHA-256: one version of the file."""

_DIGITS = re.compile(r"[0-9a-f]{4,64}")
_SUGGESTIONS = 3


def trainings(graph: Graph) -> dict[str, Execution]:
    """The training that made each model version, in the order of their starts.

    Of several trainings of one version the last counts.
    """
    return {
        str(execution.properties.get("version", execution.name)): execution
        for execution in graph.completed("train")
    }


def find(graph: Graph, name: str) -> str:
    """The id of the one node that is called ``name``.

    Args:
        graph: the run's metadata.
        name: a model version (its script is meant); an execution's name, of several the last, or
            its name in the journal; or what :func:`find_artifact` knows.

    Raises:
        UsageError: nothing is called so, or several artifacts are.
    """
    training = trainings(graph).get(name)
    if training is not None and (model := graph.script(graph.after[training.id])) is not None:
        return model
    called = [one for one in graph.executions.values() if name in (one.name, one.journal, one.id)]
    if called:
        return max(called, key=_started).id
    found = _artifacts(graph, name)
    if not found:
        known = [*trainings(graph), *(one.name for one in graph.executions.values())]
        raise UsageError(
            f"Nothing in this run is called '{name}'{_suggest(name, [*known, *_names(graph)])}: "
            "give a path in the run directory, the beginning of a SHA-256, an execution's name or "
            "a model version."
        )
    return _one(graph, name, found)


def find_artifact(graph: Graph, name: str) -> Artifact:
    """The one artifact that is called ``name``.

    Args:
        graph: the run's metadata.
        name: a path in the run directory or the end of one, whose newest version is meant; the
            beginning of a SHA-256; or both as ``PATH@SHA256``.

    Raises:
        UsageError: no artifact is called so, or several are.
    """
    found = _artifacts(graph, name)
    if not found:
        raise UsageError(
            f"No artifact of this run is called '{name}'{_suggest(name, _names(graph))}: give its "
            "path in the run directory, the beginning of its SHA-256, or PATH@SHA256."
        )
    return graph.artifacts[_one(graph, name, found)]


def find_version(graph: Graph, name: str) -> str:
    """The model version that ``name`` is, or whose weights or script it is.

    Raises:
        UsageError: it is no model of this run.
    """
    versions = trainings(graph)
    if name in versions:
        return name
    made = _artifacts(graph, name)
    found = [
        version
        for version, training in versions.items()
        if any(key in graph.after[training.id] for key in made)
    ]
    if len(found) != 1:
        raise UsageError(
            f"'{name}' could be {' or '.join(found)}: give one of them."
            if found
            else f"No model version of this run is called '{name}'{_suggest(name, versions)}: see "
            "'parslflow models'."
        )
    return found[0]


def version_of(graph: Graph, model: str) -> str:
    """The version that an artifact is the weights or the script of; its path if it is none's."""
    for version, training in reversed(trainings(graph).items()):
        if model in graph.after[training.id]:
            return version
    return graph.artifacts[model].path


def latest(graph: Graph, artifacts: Iterable[str]) -> str:
    """The artifact that was produced last, or else used last."""

    def last(key: str) -> tuple[bool, str]:
        executions = graph.before[key] or graph.after[key]
        started = [_started(graph.executions[execution]) for execution in executions]
        return bool(graph.before[key]), max(started, default="")

    return max(artifacts, key=last)


def closest(name: str, known: Iterable[str]) -> list[str]:
    """The known names that are most like ``name``, whole or in their last part."""
    names: dict[str, str] = {}
    for one in known:
        names[one] = one
        names.setdefault(Path(one).name, one)
    matches = difflib.get_close_matches(name, names, n=_SUGGESTIONS)
    return list(dict.fromkeys(names[match] for match in matches))


def _artifacts(graph: Graph, name: str) -> list[str]:
    """The artifacts whose path ends so, or if there are none, whose SHA-256 begins so."""
    path, mark, digest = name.rpartition(VERSION_MARK)
    if mark and _DIGITS.fullmatch(digest):
        return [key for key in _at(graph, path) if graph.artifacts[key].sha256.startswith(digest)]
    found = _at(graph, name)
    if not found and _DIGITS.fullmatch(name):
        return [key for key, one in graph.artifacts.items() if one.sha256.startswith(name)]
    return found


def _at(graph: Graph, name: str) -> list[str]:
    """The artifacts at the very path ``name``, or else those whose paths end with it."""
    name = name.removeprefix("./")
    exact = [key for key, one in graph.artifacts.items() if name in one.paths]
    return exact or [
        key
        for key, one in graph.artifacts.items()
        if any(path.endswith(f"/{name}") for path in one.paths)
    ]


def _one(graph: Graph, name: str, found: list[str]) -> str:
    """The newest of several versions of one file.

    Raises:
        UsageError: they are of several files.
    """
    if len(found) == 1:
        return found[0]
    common = set.intersection(*(set(graph.artifacts[key].paths) for key in found))
    if not common:
        some = ", ".join(
            f"{graph.artifacts[key].path}{VERSION_MARK}{graph.artifacts[key].sha256[:8]}"
            for key in found[:_SUGGESTIONS]
        )
        more = f" and {len(found) - _SUGGESTIONS} more" if len(found) > _SUGGESTIONS else ""
        raise UsageError(
            f"{len(found)} artifacts are called '{name}' ({some}{more}): give more of the path, "
            "or of the SHA-256."
        )
    return latest(graph, found)


def _names(graph: Graph) -> list[str]:
    return [path for one in graph.artifacts.values() for path in one.paths]


def _started(execution: Execution) -> str:
    return str(execution.properties.get("started", ""))


def _suggest(name: str, known: Iterable[str]) -> str:
    close = closest(name, known)
    return f" (did you mean {' or '.join(close)}?)" if close else ""
