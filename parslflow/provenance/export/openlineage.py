"""OpenLineage: a pair of run events for each execution, as JSON lines in the order of their times.

A context is a job, an execution one run of it. The first event has the inputs, the last one the
outputs; consumers join the two. What OpenLineage has no words for, a network's losses above all, is
in facets of ours, ``parslflow_execution`` and ``parslflow_artifact``.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from parslflow import __version__
from parslflow.provenance.events import Value
from parslflow.provenance.export import description
from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import Edge
from parslflow.provenance.graph import Execution
from parslflow.provenance.graph import Graph
from parslflow.rundir import atomic_path

_PRODUCER = f"{description.VOCABULARY}{__version__}"
_SPECIFICATION = "https://openlineage.io/spec"
_END = {"completed": "COMPLETE", "failed": "FAIL", "lost": "ABORT"}


def write(graph: Graph, run_root: Path, path: Path) -> None:
    """Write the graph of a run as run events, one a line.

    An execution that was lost is said to be aborted when the last that is known of the run
    happened, since OpenLineage wants an end of everything.

    Raises:
        ParslflowError: an execution has no start.
    """
    root = run_root.resolve()
    namespace = description.name_of(root).rstrip(":")
    last = description.last_time(graph)
    events: list[tuple[datetime, dict[str, Any]]] = []
    for execution in graph.executions.values():
        began = description.started(execution)
        ended = description.ended(execution) or max(began, last or began)
        inputs, outputs = (
            [
                _dataset(graph.artifacts[key], root, statistics)
                for key in dict.fromkeys(neighbours[execution.id])
            ]
            for neighbours, statistics in ((graph.before, "input"), (graph.after, "output"))
        )
        run = {"runId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{namespace}:{execution.id}"))}
        job = {
            "namespace": namespace,
            "name": execution.context,
            "facets": {
                "jobType": _facet(
                    "2-0-4/JobTypeJobFacet",
                    processingType="BATCH",
                    integration="PARSLFLOW",
                    jobType="TASK",
                )
            },
        }
        facets = {
            "processing_engine": _facet(
                "1-1-1/ProcessingEngineRunFacet", name="parslflow", version=__version__
            ),
            "parslflow_execution": _own_facet(
                "execution",
                id=execution.id,
                name=execution.name,
                status=execution.status,
                properties=_encoded(execution.properties),
                metrics=_encoded(execution.metrics),
                journal=execution.journal,
                command=execution.command,
                series=execution.series,
            ),
        }
        if execution.status == "failed":
            facets["errorMessage"] = _facet(
                "1-0-1/ErrorMessageRunFacet",
                message=str(execution.properties.get("error", "")),
                programmingLanguage="Python",
            )
        whole = run | {"facets": facets}
        events += [
            (began, _event("START", began, run, job, inputs, [])),
            (ended, _event(_END[execution.status], ended, whole, job, [], outputs)),
        ]
    events.sort(key=lambda event: event[0])
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for _, event in events:
            file.write(json.dumps(event, allow_nan=False) + "\n")


def read(path: Path) -> Graph:
    """The graph in a file that :func:`write` wrote."""
    executions: dict[str, Execution] = {}
    artifacts: dict[str, Artifact] = {}
    links: list[tuple[str, str, bool]] = []
    ids: dict[str, str] = {}
    with path.open(encoding="utf-8") as file:
        for event in map(json.loads, file):
            run = event["run"]["runId"]
            if found := event["run"].get("facets", {}).get("parslflow_execution"):
                ids[run] = found["id"]
                executions[found["id"]] = Execution(
                    id=found["id"],
                    context=event["job"]["name"],
                    name=found["name"],
                    status=found["status"],
                    properties=_decoded(found["properties"]),
                    metrics=_decoded(found["metrics"]),
                    journal=found["journal"],
                    command=found["command"],
                    series=found["series"],
                )
            for direction in ("inputs", "outputs"):
                for dataset in event[direction]:
                    facet = dataset["facets"]["parslflow_artifact"]
                    artifacts[facet["id"]] = Artifact(
                        id=facet["id"],
                        kind=facet["kind"],
                        path=facet["path"],
                        sha256=dataset["facets"]["version"]["datasetVersion"],
                        properties=_decoded(facet["properties"]),
                        md5=facet["md5"],
                        other_paths=tuple(facet["other_paths"]),
                    )
                    links.append((run, facet["id"], direction == "outputs"))
    return description.connect(
        executions.values(),
        artifacts.values(),
        (
            Edge(ids[run], artifact) if produced else Edge(artifact, ids[run])
            for run, artifact, produced in links
        ),
    )


def _event(
    kind: str,
    time: datetime,
    run: dict[str, Any],
    job: dict[str, Any],
    inputs: list[dict[str, Any]],
    outputs: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "eventType": kind,
        "eventTime": time.isoformat(),
        "run": run,
        "job": job,
        "inputs": inputs,
        "outputs": outputs,
        "producer": _PRODUCER,
        "schemaURL": f"{_SPECIFICATION}/2-0-2/OpenLineage.json#/$defs/RunEvent",
    }


def _dataset(artifact: Artifact, root: Path, direction: str) -> dict[str, Any]:
    dataset: dict[str, Any] = {
        "namespace": "file",
        "name": str(root / artifact.path),
        "facets": {
            "version": _facet("1-0-1/DatasetVersionDatasetFacet", datasetVersion=artifact.sha256),
            "parslflow_artifact": _own_facet(
                "artifact",
                id=artifact.id,
                kind=artifact.kind,
                path=artifact.path,
                properties=_encoded(artifact.properties),
                md5=artifact.md5,
                other_paths=artifact.other_paths,
            ),
        },
    }
    if isinstance(size := artifact.properties.get("size"), int):
        version = {"input": "1-0-0", "output": "1-0-2"}[direction]
        name = f"{direction.capitalize()}Statistics{direction.capitalize()}DatasetFacet"
        dataset[f"{direction}Facets"] = {
            f"{direction}Statistics": _facet(f"{version}/{name}", size=size, fileCount=1)
        }
    return dataset


def _facet(schema: str, /, **fields: object) -> dict[str, Any]:
    name = schema.rsplit("/", maxsplit=1)[-1]
    url = f"{_SPECIFICATION}/facets/{schema}.json#/$defs/{name}"
    return {"_producer": _PRODUCER, "_schemaURL": url, **fields}


def _own_facet(name: str, /, **fields: object) -> dict[str, Any]:
    url = f"{description.VOCABULARY}facet:{name}:1"
    return {"_producer": _PRODUCER, "_schemaURL": url, **fields}


def _encoded(values: Mapping[str, Value]) -> dict[str, Any]:
    return {
        key: value if (text := description.non_finite(value)) is None else {"float": text}
        for key, value in values.items()
    }


def _decoded(values: Mapping[str, Any]) -> dict[str, Value]:
    return {
        key: float(value["float"]) if isinstance(value, dict) else value
        for key, value in values.items()
    }
