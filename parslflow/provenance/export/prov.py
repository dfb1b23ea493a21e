"""PROV-JSON: executions as activities, artifacts as entities, and who was responsible.

What an execution produced was derived from all that it used: the metadata do not say more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from prov.identifier import Namespace
from prov.identifier import QualifiedName
from prov.model import PROV
from prov.model import ProvActivity
from prov.model import ProvDocument
from prov.model import ProvEntity
from prov.model import ProvGeneration
from prov.model import ProvRecord
from prov.model import ProvUsage

from parslflow import __version__
from parslflow.provenance.events import Value
from parslflow.provenance.export import description
from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import Edge
from parslflow.provenance.graph import Execution
from parslflow.provenance.graph import Graph
from parslflow.rundir import atomic_path

_OURS = Namespace("parslflow", description.VOCABULARY)
_PROPERTY = Namespace("property", f"{description.VOCABULARY}property:")
_METRIC = Namespace("metric", f"{description.VOCABULARY}metric:")
_SERIES = Namespace("series", f"{description.VOCABULARY}series:")
_TYPES = {"dataset": _OURS["Dataset"], "model": _OURS["Model"]}


def write(graph: Graph, run_root: Path, path: Path) -> None:
    """Write the graph of a run as a PROV-JSON file.

    Raises:
        ParslflowError: an execution has no start.
    """
    document = ProvDocument()
    for space in (_OURS, _PROPERTY, _METRIC, _SERIES):
        document.add_namespace(space)
    run = document.add_namespace("run", description.name_of(run_root))
    document.add_namespace("host", f"{description.VOCABULARY}host:")

    software, owner, plan = _OURS["parslflow"], run["owner"], run["experiment"]
    document.agent(
        software,
        {PROV["type"]: PROV["SoftwareAgent"], _OURS["version"]: __version__},
    )
    document.agent(
        owner,
        {PROV["type"]: PROV["Person"], PROV["label"]: description.owner(run_root)},
    )
    document.actedOnBehalfOf(software, owner)
    document.entity(plan, {PROV["type"]: PROV["Plan"], PROV["label"]: "experiment.toml"})

    for artifact in graph.artifacts.values():
        entity = document.entity(
            run[artifact.id],
            {
                PROV["type"]: _TYPES[artifact.kind],
                PROV["label"]: artifact.path,
                _OURS["sha256"]: artifact.sha256,
                _OURS["md5"]: artifact.md5,
                **_named(_PROPERTY, artifact.properties),
            },
        )
        entity.add_attributes([(_OURS["otherPath"], one) for one in artifact.other_paths])
    hosts: set[str] = set()
    for execution in graph.executions.values():
        activity = run[execution.id]
        document.activity(
            activity,
            description.started(execution),
            description.ended(execution),
            {
                PROV["type"]: _OURS["Execution"],
                PROV["label"]: execution.name,
                _OURS["context"]: execution.context,
                _OURS["status"]: execution.status,
                _OURS["journal"]: execution.journal,
                _OURS["command"]: execution.command,
                **_named(_SERIES, execution.series),
                **_named(_PROPERTY, execution.properties),
                **_named(_METRIC, execution.metrics),
            },
        )
        document.wasAssociatedWith(activity, software, plan)
        if host := str(execution.properties.get("host", "")):
            agent = f"host:{_local(host)}"
            if host not in hosts:
                hosts.add(host)
                document.agent(agent, {PROV["type"]: _OURS["Host"], PROV["label"]: host})
            document.wasAssociatedWith(activity, agent)
        used = dict.fromkeys(graph.before[execution.id])
        for key in used:
            document.used(activity, run[key])
        for key in dict.fromkeys(graph.after[execution.id]):
            document.wasGeneratedBy(run[key], activity)
            for source in used:
                document.wasDerivedFrom(run[key], run[source], activity)
    with atomic_path(path) as temporary:
        document.serialize(temporary, format="json")


def read(path: Path) -> Graph:
    """The graph in a file that :func:`write` wrote."""
    document = ProvDocument.deserialize(path, format="json")
    executions = [
        Execution(
            id=_id(record.identifier),
            context=str(_one(record, _OURS["context"])),
            name=str(_one(record, PROV["label"])),
            status=str(_one(record, _OURS["status"])),
            properties=_values(record, _PROPERTY),
            metrics=_values(record, _METRIC),
            journal=str(_one(record, _OURS["journal"])),
            command=str(_one(record, _OURS["command"])),
            series={name: str(path) for name, path in _values(record, _SERIES).items()},
        )
        for record in document.get_records(ProvActivity)
    ]
    artifacts = [
        Artifact(
            id=_id(record.identifier),
            kind="model" if kind == _TYPES["model"] else "dataset",
            path=str(_one(record, PROV["label"])),
            sha256=str(_one(record, _OURS["sha256"])),
            properties=_values(record, _PROPERTY),
            md5=str(_one(record, _OURS["md5"])),
            other_paths=tuple(sorted(map(str, record.get_attribute(_OURS["otherPath"])))),
        )
        for record in document.get_records(ProvEntity)
        if (kind := _one(record, PROV["type"])) in _TYPES.values()
    ]
    links = []
    for kind in (ProvUsage, ProvGeneration):
        for record in document.get_records(kind):
            # Both name first what depends: a usage its activity, a generation its entity.
            effect, cause = (_id(value) for _, value in record.formal_attributes[:2])
            links.append(Edge(cause, effect))
    return description.connect(executions, artifacts, links)


def _named(space: Namespace, values: Mapping[str, Value]) -> dict[Any, Any]:
    return {space[_local(key)]: value for key, value in values.items()}


def _local(text: str) -> str:
    """A name such as a qualified name may end with."""
    return re.sub(r"[^A-Za-z0-9_-]|^-", lambda found: _percent(found.group()), text)


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _values(record: ProvRecord, space: Namespace) -> dict[str, Value]:
    return {
        unquote(name.localpart): value
        for name, value in record.attributes
        if name.namespace.uri == space.uri
    }


def _one(record: ProvRecord, name: QualifiedName) -> object:
    return next(iter(record.get_attribute(name)))


def _id(name: QualifiedName | None) -> str:
    assert name is not None  # noqa: S101 - all that we write has names
    return unquote(name.localpart)
