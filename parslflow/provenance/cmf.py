"""Logs executions to CMF.

Importing this module imports cmflib, which reads its settings from where the process stands: enter
the run's :mod:`~parslflow.provenance.repository` first.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cmflib import cmf
from cmflib.metadata_helper import link_execution_to_artifact
from ml_metadata.proto.metadata_store_pb2 import Event as Link  # type: ignore[attr-defined]

from parslflow.errors import ParslflowError
from parslflow.provenance import versions
from parslflow.provenance.events import Content
from parslflow.provenance.events import Value
from parslflow.provenance.events import sha256
from parslflow.provenance.schema import ArtifactEvent
from parslflow.provenance.schema import Decision
from parslflow.provenance.schema import Ended
from parslflow.provenance.schema import Event
from parslflow.provenance.schema import Metric
from parslflow.provenance.schema import Properties
from parslflow.provenance.schema import Result
from parslflow.provenance.schema import Started
from parslflow.rundir import RunDir
from parslflow.rundir import atomic_path

_ATTEMPTS = 4


class _Pipeline(cmf.Cmf):  # type: ignore[misc]
    """CMF's own class, with one shortcut."""

    def log_python_env(self, url: str) -> Any:  # noqa: ANN401 - cmflib has no types
        """Link an execution to the environment; log it only if CMF does not have it yet."""
        known = [
            artifact
            for artifact in self.store.get_artifacts_by_type("Environment")
            if artifact.name.startswith(f"{url}:")
        ]
        if not known:
            return super().log_python_env(url)
        return link_execution_to_artifact(
            store=self.store,
            execution_id=self.execution.id,
            uri=known[0].uri,
            input_name=known[0].name,
            event_type=Link.INPUT,
        )


class Cmf:
    """CMF's metadata of one run. Its process stands in the folder of that run's CMF."""

    def __init__(self, run: RunDir) -> None:
        versions.take_over()
        self._run = run
        self._folder = run.provenance
        self._pipelines: dict[str, _Pipeline] = {}
        self._uris: dict[str, str] = {}
        """The key in CMF, DVC's MD5, of each artifact by its SHA-256."""

    def open_pipeline(self, name: str) -> _Pipeline:
        """The one object of cmflib for the pipeline ``name``."""
        if name not in self._pipelines:
            pipeline = _Pipeline(str(self._folder / "mlmd"), pipeline_name=name)
            os.chdir(self._folder)
            for artifact in pipeline.store.get_artifacts():
                if digest := artifact.custom_properties["sha256"].string_value:
                    self._uris[digest] = artifact.uri
            self._pipelines[name] = pipeline
        return self._pipelines[name]

    def log(self, events: Sequence[Event]) -> int:
        """Log one execution with all that belongs to it, and return its id in CMF.

        What a killed process already logged of it is found and kept, so that logging the same
        events again changes nothing.

        Args:
            events: the events of one execution, the first of them ``started``. Without an
                ``ended`` its status is ``lost``.

        Raises:
            ParslflowError: CMF, DVC or git failed several times.
        """
        started = events[0]
        assert isinstance(started, Started)  # noqa: S101 - the caller's promise
        pipeline = self.open_pipeline(started.pipeline)
        pipeline.create_context(started.context)
        execution = self._checked(
            lambda: pipeline.create_execution(
                # The name by which CMF finds an execution that it already has.
                started.execution,
                _storable(_properties(events)),
                cmd=shlex.join(started.command),
                create_new_execution=False,
            ),
            f"log the execution {started.execution}",
        )
        _restore_floats(pipeline, execution, _properties(events))
        present = self._outputs(pipeline, execution.id)

        for event in events:
            if isinstance(event, ArtifactEvent):
                self._log_artifact(pipeline, event)
        series: dict[str, list[Mapping[str, Content]]] = {}
        results: dict[str, dict[str, Content]] = {}
        for event in events:
            if isinstance(event, Metric):
                rank = {} if event.rank is None else {"rank": event.rank}
                series.setdefault(event.series, []).append(rank | event.values)
            elif isinstance(event, Result | Decision):
                results.setdefault(event.event, {}).update(event.values)
        for name, rows in series.items():
            if ("Step_Metrics", name) not in present:
                self._log_series(pipeline, execution, name, rows)
        for name, values in results.items():
            if ("Metrics", name) not in present:
                self._checked(
                    partial(pipeline.log_execution_metrics, name, _storable(values)),
                    f"log the {name} of {started.execution}",
                )
        pipeline.finalize()
        return int(execution.id)

    def _checked(self, call: Callable[[], Any], what: str) -> Any:  # noqa: ANN401
        """The result of a call into CMF, which answers a failure with None.

        Someone who looks at the versions with ``dvc`` holds its lock for a second: try again.
        """
        for attempt in range(_ATTEMPTS):
            time.sleep(attempt)
            result = call()
            os.chdir(self._folder)  # a failed call leaves the process elsewhere
            if result is not None:
                return result
        raise ParslflowError(
            f"CMF could not {what}: see the lines above, and whether the disk is full; the "
            "journal is whole, so the next writer goes on from here."
        )

    def _log_artifact(self, pipeline: _Pipeline, event: ArtifactEvent) -> None:
        used = event.event == "used"
        properties: dict[str, Content] = {
            **event.properties,
            "path": event.path,
            "sha256": event.sha256,
            "size": event.size,
        }
        if event.sha256 in self._uris:
            artifact = link_execution_to_artifact(
                store=pipeline.store,
                execution_id=pipeline.execution.id,
                uri=self._uris[event.sha256],
                input_name=event.path,
                event_type=Link.INPUT if used else Link.OUTPUT,
            )
            _add_properties(pipeline, artifact, properties)
            return
        name = self._place(event)
        direction = "input" if used else "output"

        def call() -> Any:  # noqa: ANN401
            if event.kind == "dataset":
                return pipeline.log_dataset(name, direction, _storable(properties))
            return pipeline.log_model(
                name,
                direction,
                model_framework="PyTorch",
                model_type=str(event.properties.get("network", "network")),
                model_name=Path(event.path).name,
                custom_properties=_storable(properties),
            )

        self._uris[event.sha256] = self._checked(call, f"log the {event.kind} {event.path}").uri

    def _place(self, event: ArtifactEvent) -> str:
        """Put this version of a file into CMF's folder, and return its name there.

        A file of the run is linked, so that it needs no space; DVC makes it read-only, which
        keeps the version from being overwritten. A file of the user's elsewhere is copied.
        """
        source = self._run.root / event.path
        inside = not Path(event.path).is_absolute()
        place = Path(event.path) if inside else Path("external", source.name)
        place = place.with_name(f"{place.stem}.{event.sha256[:8]}{place.suffix}")
        if not source.is_file() or sha256(source) != event.sha256:
            print(
                f"{source} is gone or has changed since {event.execution} {event.event} it: its "
                "hash is logged, its content is not.",
                file=sys.stderr,
            )
            place = place.with_name(f"{place.name}.missing")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(f"{event.path}\nsha256 {event.sha256}\n{event.size} bytes\n")
        elif not place.exists():
            with atomic_path(place) as temporary:
                _link_or_copy(source, temporary, link=inside)
        return str(place)

    def _log_series(
        self,
        pipeline: _Pipeline,
        execution: Any,  # noqa: ANN401
        series: str,
        rows: list[Mapping[str, Content]],
    ) -> None:
        texts = {key for row in rows for key, value in row.items() if isinstance(value, str)}
        for row in rows:
            # Parquet wants one type a column.
            pipeline.log_metric(
                series, {key: str(value) if key in texts else value for key, value in row.items()}
            )
        # What a killed writer left there may be a read-only link into DVC's cache.
        first_uuid = execution.properties["Execution_uuid"].string_value.split(",")[0]
        Path("cmf_artifacts", first_uuid, "metrics", series).unlink(missing_ok=True)
        self._checked(
            partial(pipeline.commit_metrics, series),
            f"log the metrics {series} of {execution.name}",
        )

    def _outputs(self, pipeline: _Pipeline, execution_id: int) -> set[tuple[str, str]]:
        """Type and short name of the metrics that CMF has of an execution."""
        events = pipeline.store.get_events_by_execution_ids([execution_id])
        artifacts = pipeline.store.get_artifacts_by_id([event.artifact_id for event in events])
        return {
            (artifact.type, Path(artifact.name.split(":")[0]).name)
            for artifact in artifacts
            if artifact.type in ("Metrics", "Step_Metrics")
        }


def _link_or_copy(source: Path, target: Path, *, link: bool) -> None:
    if link:
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                raise
        else:
            return
    shutil.copyfile(source, target)


def _properties(events: Sequence[Event]) -> dict[str, Content]:
    """What CMF keeps of an execution besides its artifacts and metrics."""
    started, ended = events[0], events[-1]
    assert isinstance(started, Started)  # noqa: S101 - see Cmf.log
    properties: dict[str, Content] = dict(started.properties)
    for event in events:
        if isinstance(event, Properties):
            properties |= event.values
    properties |= {
        "name": started.name,
        "started": started.time.isoformat(),
        "host": started.host,
        "pid": started.pid,
        "job": started.job,
        "commit": started.commit,
        "environment": started.environment,
        "status": "lost",
    }
    if isinstance(ended, Ended):
        properties |= {
            "status": ended.status,
            "error": ended.error,
            "ended": ended.time.isoformat(),
            "wall_seconds": ended.wall_seconds,
            "cpu_seconds": ended.cpu_seconds,
            "peak_memory_bytes": ended.peak_memory_bytes,
        }
    return properties


def _storable(values: Mapping[str, Content]) -> dict[str, Value]:
    """A copy, since CMF adds to what it is given; what MLMD cannot hold becomes a string."""
    return {
        key: json.dumps(value)
        if isinstance(value, list)
        else str(value)
        if (isinstance(value, float) and not math.isfinite(value))
        or (isinstance(value, int) and not -(2**63) <= value < 2**63)
        else value
        for key, value in values.items()
    }


def _restore_floats(
    pipeline: _Pipeline,
    execution: Any,  # noqa: ANN401
    properties: Mapping[str, Content],
) -> None:
    """Undo that CMF turns an execution's float properties into strings."""
    for key, value in _storable(properties).items():
        if isinstance(value, float):
            execution.custom_properties[key].double_value = value
    pipeline.store.put_executions([execution])


def _add_properties(
    pipeline: _Pipeline,
    artifact: Any,  # noqa: ANN401
    properties: Mapping[str, Content],
) -> None:
    """Give an artifact that CMF already has the properties that it lacks; the first stay."""
    missing = {
        key: value
        for key, value in _storable(properties).items()
        if key not in artifact.custom_properties
    }
    for key, value in missing.items():
        field = {int: "int_value", float: "double_value", str: "string_value"}[type(value)]
        setattr(artifact.custom_properties[key], field, value)
    if missing:
        pipeline.store.put_artifacts([artifact])
