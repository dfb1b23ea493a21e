"""A Provenance Run Crate 0.5: a folder with the run's files and the metadata that describe them.

The files are hard links where the file system has them, so a crate needs next to no space; they
have the names that they have in the run. A file whose content is nowhere to be found, since it was
overwritten or deleted, is described by its hash alone.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from parslflow.errors import UsageError
from parslflow.provenance.events import Value
from parslflow.provenance.export import description
from parslflow.provenance.export.crate import DOUBLE
from parslflow.provenance.export.crate import METADATA
from parslflow.provenance.export.crate import STATUS
from parslflow.provenance.export.crate import Crate
from parslflow.provenance.export.crate import Entity
from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import Edge
from parslflow.provenance.graph import Execution
from parslflow.provenance.graph import Graph
from parslflow.rundir import RunDir


def write(graph: Graph, run_root: Path, path: Path) -> None:
    """Write the crate of a run as the folder ``path``; an older crate there is replaced.

    Raises:
        UsageError: there is something else at ``path``.
        ParslflowError: an execution has no start.
    """
    if path.exists() and not (path / METADATA).is_file():
        raise UsageError(f"{path} is there and is no RO-Crate: give another --output.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir()
        crate = Crate(RunDir(run_root.resolve()), graph, temporary)
        crate.describe()
        with (temporary / METADATA).open("w", encoding="utf-8") as file:
            json.dump(crate.metadata(), file, indent=1, allow_nan=False)
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read(path: Path) -> Graph:
    """The graph in a crate that :func:`write` wrote."""
    content = json.loads((path / METADATA).read_text(encoding="utf-8"))
    entities: dict[str, Entity] = {entity["@id"]: entity for entity in content["@graph"]}
    statuses = {status: name for name, status in STATUS.items()}
    artifacts = {
        key: Artifact(
            id=entity["identifier"],
            kind=entity["additionalType"],
            path=entity["name"],
            sha256=entity["sha256"],
            properties=dict(_values(entities, entity, "additionalProperty", "property")),
            md5=str(dict(_values(entities, entity, "additionalProperty", "known"))["md5"]),
            other_paths=tuple(_listed(entity["alternateName"])),
        )
        for key, entity in entities.items()
        if entity["@type"] == "File" and "identifier" in entity
    }
    executions = []
    links = []
    for entity in entities.values():
        if entity["@type"] != "CreateAction" or "identifier" not in entity:
            continue
        key = entity["identifier"]
        known = dict(_values(entities, entity, "additionalProperty", "known"))
        executions.append(
            Execution(
                id=key,
                context=entities[entity["instrument"]["@id"]]["name"],
                name=entity["name"],
                status=statuses.get(entity.get("actionStatus", ""), "lost"),
                properties={
                    name: value
                    for place in ("object", "additionalProperty", "resourceUsage")
                    for name, value in _values(entities, entity, place, "property")
                },
                metrics=dict(_values(entities, entity, "result", "metric")),
                journal=str(known["journal"]),
                command=str(known["command"]),
                series={
                    name: str(path)
                    for name, path in _values(entities, entity, "additionalProperty", "series")
                },
            )
        )
        links += [
            Edge(artifacts[one["@id"]].id, key)
            for one in _listed(entity["object"])
            if one["@id"] in artifacts
        ]
        links += [
            Edge(key, artifacts[one["@id"]].id)
            for one in _listed(entity["result"])
            if one["@id"] in artifacts
        ]
    return description.connect(executions, artifacts.values(), links)


def _values(
    entities: dict[str, Entity], entity: Entity, place: str, category: str
) -> Iterator[tuple[str, Value]]:
    """What of the values that an entity refers to are of a category."""
    for reference in _listed(entity[place]):
        found = entities[reference["@id"]]
        if found["@type"] == "PropertyValue" and found["additionalType"] == category:
            value = found["value"]
            number = found.get("valueReference") == DOUBLE
            yield found["name"], float(value) if number else value


def _listed(value: Any) -> list[Any]:  # noqa: ANN401
    return value if isinstance(value, list) else [value]
