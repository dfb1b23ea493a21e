"""Logs executions to CMF: the same records as cmflib's, in a few transactions for many executions.

cmflib writes an artifact in several transactions and after several processes. Here an execution is
first created with all others that wait; then all their files go to DVC and git at once; then each
execution gets its artifacts in one transaction. Names, types and properties are cmflib's, so that
its queries and commands read them.
"""

from __future__ import annotations

import shlex
import sqlite3
import time
import uuid
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from cmflib import metadata_helper
from cmflib.metadata_helper import value_to_mlmd_value
from dvc.exceptions import DvcException  # type: ignore[import-untyped]

from parslflow.provenance import repository
from parslflow.provenance import tables
from parslflow.provenance import values
from parslflow.provenance.mlmd import AbortedError
from parslflow.provenance.mlmd import AlreadyExistsError
from parslflow.provenance.mlmd import MetadataStore
from parslflow.provenance.mlmd import NotFoundError
from parslflow.provenance.mlmd import StatusError
from parslflow.provenance.mlmd import records as mlmd
from parslflow.provenance.schema import ArtifactEvent
from parslflow.provenance.schema import Event
from parslflow.provenance.schema import Started
from parslflow.provenance.versions import Version
from parslflow.provenance.versions import Versions

FAILURES = (OSError, sqlite3.Error, StatusError, DvcException)
"""What logging raises when CMF, DVC or the disk refuses."""

_STRING, _INT = mlmd.STRING, mlmd.INT
_EXECUTION_TYPE = {
    metadata_helper.EXECUTION_UNIQUE_ID: _STRING,
    metadata_helper.EXECUTION_CONTEXT_NAME_PROPERTY_NAME: _STRING,
    metadata_helper.EXECUTION_CONTEXT_ID: _INT,
    metadata_helper.EXECUTION_EXECUTION: _STRING,
    metadata_helper.EXECUTION_EXECUTION_TYPE_NAME: _STRING,
    metadata_helper.EXECUTION_PIPELINE_TYPE: _STRING,
    metadata_helper.EXECUTION_PIPELINE_ID: _INT,
    metadata_helper.EXECUTION_REPO: _STRING,
    metadata_helper.EXECUTION_START_COMMIT: _STRING,
    metadata_helper.EXECUTION_END_COMMIT: _STRING,
}
_ARTIFACT_TYPES = {
    "Dataset": ("git_repo", "Commit", "url"),
    "Environment": ("git_repo", "Commit", "url"),
    "Model": ("model_framework", "model_type", "model_name", "Commit", "url"),
    "Step_Metrics": ("Commit", "url"),
    "Metrics": ("metrics_name",),
}
_GIT_REPOSITORY = "file:///dev/null"
_ATTEMPTS = 5
_MOST_PARAMETERS = 500
"""How many keys are asked for at once; a database has a limit."""


@dataclass
class _Entry:
    """An execution that is being logged."""

    events: Sequence[Event]
    pipeline: Any
    context: Any
    stored: Any
    """MLMD's record of it."""
    series: dict[str, str] = field(default_factory=dict)
    """The parquet file of each series of metrics."""

    @property
    def started(self) -> Started:
        """Its first event."""
        first = self.events[0]
        assert isinstance(first, Started)  # noqa: S101 - the promise of who calls Cmf.log
        return first

    @property
    def artifacts(self) -> list[ArtifactEvent]:
        """What it used and produced."""
        return [event for event in self.events if isinstance(event, ArtifactEvent)]


class Cmf:
    """CMF's metadata of one run. Its process stands in the folder of that run's CMF."""

    def __init__(self, store: MetadataStore, versions: Versions) -> None:
        self._store = store
        self._versions = versions
        self._contexts: dict[tuple[str, str], tuple[Any, Any]] = {}
        self._types: dict[str, int] = {}
        self._environment = tables.write_environment()

    def log(self, executions: Iterable[Sequence[Event]]) -> dict[str, int]:
        """Log executions with all that belongs to them, and return their ids in CMF by their names.

        What a killed process already logged of them is found and kept, so that logging the same
        events again changes nothing.

        Args:
            executions: the events of each, the first of them ``started``. Without an ``ended`` its
                status is ``lost``.
        """
        waiting = list(executions)
        for _ in range(_ATTEMPTS - 1):
            # Another run's writer may make the same record in the same database.
            with suppress(AlreadyExistsError, AbortedError):
                return self._log(waiting)
        return self._log(waiting)

    def _log(self, executions: Iterable[Sequence[Event]]) -> dict[str, int]:
        entries = self._begin(executions)
        # The status comes with the last transaction of an execution.
        new = [entry for entry in entries if "status" not in entry.stored.custom_properties]
        if new:
            known = self._known(new)
            kept = self._keep(new, known)
            for entry in new:
                self._finish(entry, known, kept)
        return {entry.started.execution: int(entry.stored.id) for entry in entries}

    def _begin(self, executions: Iterable[Sequence[Event]]) -> list[_Entry]:
        """Create the executions that CMF does not have, all in one transaction."""
        commit = repository.head()
        entries = []
        for events in executions:
            started = events[0]
            assert isinstance(started, Started)  # noqa: S101 - see log
            pipeline, context = self._context(started)
            # The name by which an execution is found that CMF already has.
            stored = self._store.get_execution_by_type_and_name(context.name, started.execution)
            if stored is None:
                stored = mlmd.Execution(
                    type_id=self._execution_type(context.name),
                    name=started.execution,
                    properties={
                        key: value_to_mlmd_value(value)
                        for key, value in {
                            metadata_helper.EXECUTION_UNIQUE_ID: str(uuid.uuid1()),
                            metadata_helper.EXECUTION_CONTEXT_NAME_PROPERTY_NAME: context.name,
                            metadata_helper.EXECUTION_CONTEXT_ID: context.id,
                            metadata_helper.EXECUTION_EXECUTION: shlex.join(started.command),
                            metadata_helper.EXECUTION_EXECUTION_TYPE_NAME: context.name,
                            metadata_helper.EXECUTION_PIPELINE_TYPE: pipeline.name,
                            metadata_helper.EXECUTION_PIPELINE_ID: pipeline.id,
                            metadata_helper.EXECUTION_REPO: _GIT_REPOSITORY,
                            metadata_helper.EXECUTION_START_COMMIT: commit,
                            metadata_helper.EXECUTION_END_COMMIT: "",
                        }.items()
                    },
                )
            entries.append(_Entry(events, pipeline, context, stored))
        created = [entry.stored for entry in entries if not entry.stored.id]
        if created:
            for stored, key in zip(created, self._store.put_executions(created), strict=True):
                stored.id = key
        return entries

    def _known(self, entries: Sequence[_Entry]) -> dict[str, Any]:
        """The artifacts that CMF already has, by the SHA-256 that is their external id."""
        digests = sorted(
            {event.sha256 for entry in entries for event in entry.artifacts}
            | {self._environment.sha256}
        )
        known = {}
        for start in range(0, len(digests), _MOST_PARAMETERS):
            asked = digests[start : start + _MOST_PARAMETERS]
            with suppress(NotFoundError):  # so it says that it has none of them
                for artifact in self._store.get_artifacts_by_external_ids(asked):
                    known[artifact.external_id] = artifact
        return known

    def _keep(self, entries: Sequence[_Entry], known: Mapping[str, Any]) -> dict[str, Version]:
        """Give all files that are new to DVC and git; the versions by SHA-256 or name."""

        def is_kept(digest: str) -> bool:
            # A database of several runs knows versions that this run's DVC does not have.
            return digest in known and Path(f"{known[digest].name.split(':')[0]}.dvc").exists()

        places: dict[str, str] = {}
        if not is_kept(self._environment.sha256):
            places[self._environment.sha256] = self._environment.path
        for entry in entries:
            for file in entry.artifacts:
                if file.sha256 not in places and not is_kept(file.sha256):
                    places[file.sha256] = self._versions.place(file)
            folder = entry.stored.properties[metadata_helper.EXECUTION_UNIQUE_ID].string_value
            for name, rows in values.series(entry.events).items():
                entry.series[name] = tables.write_series(folder, name, rows)
                places[entry.series[name]] = entry.series[name]
        kept = self._versions.keep(list(places.values()))
        repository.commit(
            [f"{path}.dvc" for path in places.values()],
            "Log " + ", ".join(entry.started.execution for entry in entries),
        )
        return {key: kept[path] for key, path in places.items()}

    def _finish(self, entry: _Entry, known: dict[str, Any], kept: Mapping[str, Version]) -> None:
        """Link an execution to the artifacts that CMF has, then add all that is new at once."""
        stored = entry.stored
        linked = {
            event.artifact_id for event in self._store.get_events_by_execution_ids([stored.id])
        }
        links: list[Any] = []
        changed: dict[int, Any] = {}
        new: dict[str, tuple[Any, Any]] = {}

        def link(artifact: Any, event_type: int, name: str, seconds: float) -> None:  # noqa: ANN401
            if artifact.id not in linked:
                linked.add(artifact.id)
                links.append(_link(artifact.id, stored.id, event_type, seconds, name))

        for event in entry.artifacts:
            direction = mlmd.Event.INPUT if event.event == "used" else mlmd.Event.OUTPUT
            seconds = event.time.timestamp()
            if event.sha256 in known:
                artifact = known[event.sha256]
                link(artifact, direction, event.path, seconds)
            elif event.sha256 in new:
                artifact, _ = new[event.sha256]
            else:
                artifact = self._artifact(event, kept[event.sha256], entry)
                new[event.sha256] = (artifact, _link(None, stored.id, direction, seconds))
            url = f"{entry.pipeline.name}:{self._versions.url(artifact.uri)}"
            added = _add_to(artifact, event, url)
            if added and artifact.id:
                changed[artifact.id] = artifact
        environment = self._environment.sha256
        began = entry.started.time.timestamp()
        if environment in known:
            link(known[environment], mlmd.Event.INPUT, known[environment].name, began)
        else:
            repository_of = {"git_repo": _GIT_REPOSITORY}
            artifact = self._new(
                "Environment", kept[environment], entry, repository_of, environment
            )
            new[environment] = (artifact, _link(None, stored.id, mlmd.Event.INPUT, began))
        pairs = [*new.values(), *self._metrics(entry, kept)]
        values.put(stored.custom_properties, values.properties(entry.events))
        values.put(stored.custom_properties, {"Python_Env": self._environment.path})
        if changed:
            self._store.put_artifacts(list(changed.values()))
        if links:
            self._store.put_events(links)
        _, ids, _ = self._store.put_execution(
            stored, pairs, [entry.context], force_reuse_context=True
        )
        for (artifact, _), key in zip(pairs, ids, strict=True):
            artifact.id = key
        known.update({digest: artifact for digest, (artifact, _) in new.items()})

    def _artifact(self, event: ArtifactEvent, version: Version, entry: _Entry) -> Any:  # noqa: ANN401
        if event.kind == "dataset":
            return self._new("Dataset", version, entry, {"git_repo": _GIT_REPOSITORY}, event.sha256)
        properties = {
            "model_framework": "PyTorch",
            "model_type": str(event.properties.get("network", "network")),
            "model_name": Path(event.path).name,
        }
        artifact = self._new("Model", version, entry, properties, event.sha256)
        artifact.name = f"{artifact.name}:{entry.stored.id}"
        return artifact

    def _new(
        self,
        kind: str,
        version: Version,
        entry: _Entry,
        properties: Mapping[str, str],
        digest: str | None = None,
    ) -> Any:  # noqa: ANN401
        """An artifact of a version of a file; its uri is DVC's MD5, as cmflib's."""
        artifact = mlmd.Artifact(
            type_id=self._artifact_type(kind),
            name=f"{version.path}:{version.md5}",
            uri=version.md5,
            external_id=digest,
        )
        values.put(
            artifact.properties,
            {
                **properties,
                "Commit": version.md5,
                "url": f"{entry.pipeline.name}:{version.url}",
            },
        )
        return artifact

    def _metrics(self, entry: _Entry, kept: Mapping[str, Version]) -> list[tuple[Any, Any]]:
        """The artifacts of an execution's metrics, with their links."""
        pairs = []
        now = time.time()
        for path in entry.series.values():
            artifact = self._new("Step_Metrics", kept[path], entry, {})
            artifact.name = f"{artifact.name}:{entry.stored.id}:{uuid.uuid1()}"
            pairs.append(artifact)
        for name, result in values.results(entry.events).items():
            uri = str(uuid.uuid1())
            artifact = mlmd.Artifact(
                type_id=self._artifact_type("Metrics"),
                name=f"{name}:{uri}:{entry.stored.id}",
                uri=uri,
            )
            values.put(artifact.properties, {"metrics_name": artifact.name})
            values.put(artifact.custom_properties, result)
            pairs.append(artifact)
        return [
            (artifact, _link(None, entry.stored.id, mlmd.Event.OUTPUT, now)) for artifact in pairs
        ]

    def _context(self, started: Started) -> tuple[Any, Any]:
        """The pipeline of an execution, and its stage."""
        key = (started.pipeline, started.context)
        if key not in self._contexts:
            pipeline = metadata_helper.get_or_create_parent_context(self._store, started.pipeline)
            context = metadata_helper.get_or_create_run_context(
                self._store, f"{started.pipeline}/{started.context}"
            )
            metadata_helper.associate_child_to_parent_context(self._store, pipeline, context)
            self._contexts[key] = (pipeline, context)
        return self._contexts[key]

    def _execution_type(self, name: str) -> int:
        if name not in self._types:
            self._types[name] = metadata_helper.get_or_create_execution_type(
                self._store, name, _EXECUTION_TYPE
            ).id
        return self._types[name]

    def _artifact_type(self, name: str) -> int:
        if name not in self._types:
            self._types[name] = metadata_helper.get_or_create_artifact_type(
                self._store, name, dict.fromkeys(_ARTIFACT_TYPES[name], _STRING)
            ).id
        return self._types[name]


def _link(
    artifact: int | None, execution: int, direction: int, seconds: float, name: str | None = None
) -> Any:  # noqa: ANN401
    """MLMD's event between an execution and an artifact, None if that has no id yet."""
    path = None
    if name is not None:
        path = mlmd.Event.Path(steps=[mlmd.Event.Path.Step(key=name)])
    return mlmd.Event(
        artifact_id=artifact,
        execution_id=execution,
        type=direction,
        path=path,
        milliseconds_since_epoch=round(seconds * 1000),
    )


def _add_to(artifact: Any, event: ArtifactEvent, url: str) -> bool:  # noqa: ANN401
    """Give an artifact the properties and the place that it lacks; whether there were any."""
    said = {
        **event.properties,
        "path": event.path,
        "sha256": event.sha256,
        "size": event.size,
    }
    missing = {key: said[key] for key in said if key not in artifact.custom_properties}
    values.put(artifact.custom_properties, missing)
    urls = artifact.properties["url"].string_value.split(",")
    if url in urls:
        return bool(missing)
    # Another pipeline, or another run of the same database, has it elsewhere.
    artifact.properties["url"].string_value = ",".join([*urls, url])
    return True
