"""The entities of an RO-Crate that describes a run, and the files beside them.

The workflow is ``parslflow/workflow.py``, each context a step and a tool, each execution an action
of that tool. Settings and properties are values of formal parameters of the workflow or the tool.
"""

from __future__ import annotations

import base64
import mimetypes
import os
import shutil
from collections.abc import Iterable
from collections.abc import Mapping
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import parslflow.workflow
from parslflow import __version__
from parslflow.provenance import inputs
from parslflow.provenance.checkout import cache_path
from parslflow.provenance.events import Value
from parslflow.provenance.events import has_content
from parslflow.provenance.events import sha256
from parslflow.provenance.export import description
from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import Execution
from parslflow.provenance.graph import Graph
from parslflow.rundir import RunDir

METADATA = "ro-crate-metadata.json"
STATUS = {
    "completed": "http://schema.org/CompletedActionStatus",
    "failed": "http://schema.org/FailedActionStatus",
}
DOUBLE = "http://www.w3.org/2001/XMLSchema#double"
"""What a text is to be read as, where a number is none that JSON can hold."""
Entity = dict[str, Any]

_CRATE = "https://w3id.org/ro/crate/1.1"
_MORE_TERMS = {
    "resourceUsage": "https://w3id.org/ro/terms/workflow-run#resourceUsage",
    "sha256": "http://schema.org/sha256",
}
"""What RO-Crate 1.1's context lacks; given here, so that a reader needs no other context."""
_BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
_UNITS = {
    "wall_seconds": "https://qudt.org/vocab/unit/SEC",
    "cpu_seconds": "https://qudt.org/vocab/unit/SEC",
    "peak_memory_bytes": "https://qudt.org/vocab/unit/BYTE",
}
"""What an execution needed, and in which units."""
_CIRCUMSTANCES = frozenset(
    ("Python_Env", "commit", "ended", "environment", "error", "host", "job", "pid", "started")
)
"""Properties that say where and when something ran; the others say what it did."""
_TYPES = {str: "Text", int: "Integer", float: "Float", bool: "Boolean"}
_FORMATS = {
    ".h5": "application/x-hdf5",
    ".nc": "application/x-netcdf",
    ".nml": "text/plain",
    ".pt": "application/zip",
    ".toml": "application/toml",
}
_WORKFLOW = "workflow/workflow.py"


class Crate:
    """The entities of one crate, and the files in its folder."""

    def __init__(self, run: RunDir, graph: Graph, folder: Path) -> None:
        self._run = run
        self._graph = graph
        self._folder = folder
        self._entities: dict[str, Entity] = {}
        self._files: dict[str, str] = {}
        """Names in the crate by the ids of artifacts."""

    def metadata(self) -> dict[str, object]:
        """The content of the metadata file."""
        return {
            "@context": [f"{_CRATE}/context", _MORE_TERMS],
            "@graph": [
                {name: _plain(value) for name, value in entity.items()}
                for entity in self._entities.values()
            ],
        }

    def describe(self) -> None:
        """Describe everything, and link the files into the folder."""
        root = self._add("./", "Dataset")
        profiles = [
            self._add(key, "CreativeWork", name=name, version=key.rsplit("/", maxsplit=1)[-1])
            for key, name in _PROFILES.items()
        ]
        self._add(METADATA, "CreativeWork", about=root, conformsTo=[{"@id": _CRATE}, profiles[-1]])
        self._add("#owner", "Person", name=description.owner(self._run.root))
        for artifact in self._graph.artifacts.values():
            self._describe_artifact(artifact)
        self._describe_workflow()
        for execution in self._graph.executions.values():
            self._describe_execution(execution)
        self._describe_orchestration()

        name = f"The run {self._run.root.name} of parslflow"
        about = "A continual learning run: its settings, data, models and their lineage."
        (self._folder / "README.md").write_text(f"# {name}\n\n{about}\n", encoding="utf-8")
        self._add("README.md", "File", name="Read me", about=root, encodingFormat="text/markdown")
        last = description.last_time(self._graph)
        actions = [key for key, one in self._entities.items() if one["@type"] == "CreateAction"]
        files = [key for key, one in self._entities.items() if "File" in one["@type"]]
        self._entities["./"].update(
            name=name,
            description=about,
            datePublished=_time(last or datetime.now(UTC)),
            license="The owner of this run has not said under which licence it may be used.",
            author={"@id": "#owner"},
            conformsTo=profiles,
            mainEntity={"@id": _WORKFLOW},
            hasPart=_references(files),
            mentions=_references(actions),
        )

    def _describe_artifact(self, artifact: Artifact) -> None:
        name, key = self._find(artifact), f"#{_part(artifact.id)}"
        self._files[artifact.id] = name
        size = artifact.properties.get("size")
        self._add(
            name,
            "File",
            name=artifact.path,
            identifier=artifact.id,
            additionalType=artifact.kind,
            sha256=artifact.sha256,
            contentSize=None if size is None else str(size),
            encodingFormat=_format(artifact.path),
            exampleOfWork=[],
            alternateName=list(artifact.other_paths),
            additionalProperty=[
                *self._values(key, artifact.properties),
                *self._values(f"{key}/known", {"md5": artifact.md5}, category="known"),
            ],
        )

    def _describe_workflow(self) -> None:
        source = Path(parslflow.workflow.__file__)
        (self._folder / _WORKFLOW).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, self._folder / _WORKFLOW)
        contexts = list(dict.fromkeys(one.context for one in self._graph.executions.values()))
        for position, context in enumerate(contexts):
            tool = self._add(
                _tool(context),
                "SoftwareApplication",
                name=context,
                description=f"The stage {context} of parslflow",
                softwareVersion=__version__,
                input=[],
                output=[],
            )
            self._add(
                _step(context), "HowToStep", name=context, position=str(position), workExample=tool
            )
        python = self._add(
            "#python", "ComputerLanguage", name="Python", url={"@id": "https://www.python.org"}
        )
        self._add(_BIOSCHEMAS, "CreativeWork", name="ComputationalWorkflow", version="1.0-RELEASE")
        self._add(
            _WORKFLOW,
            ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            name="The continual learning loop of parslflow",
            encodingFormat="text/x-python",
            version=__version__,
            programmingLanguage=python,
            conformsTo={"@id": _BIOSCHEMAS},
            input=[],
            output=[],
            hasPart=_references(map(_tool, contexts)),
            step=_references(map(_step, contexts)),
        )
        graph, last = self._graph, description.last_time(self._graph)
        given = [key for key in graph.artifacts if not graph.before[key]]
        made = [key for key in graph.artifacts if graph.before[key] and not graph.after[key]]
        times = [description.started(one) for one in graph.executions.values()]
        self._add(
            "#run",
            "CreateAction",
            name=self._run.root.name,
            description="The run of the whole workflow",
            instrument={"@id": _WORKFLOW},
            agent={"@id": "#owner"},
            startTime=_time(min(times, default=None)),
            endTime=_time(last),
            object=[*self._settings(), *self._arguments(_WORKFLOW, "input", given)],
            result=self._arguments(_WORKFLOW, "output", made),
        )

    def _settings(self) -> list[Entity]:
        """The experiment's file, each setting in it, and the software that it ran with."""
        files = []
        for path in (self._run.experiment, self._run.environment):
            if path.is_file():
                shutil.copyfile(path, self._folder / path.name)
                files.append(
                    self._add(
                        path.name,
                        "File",
                        name=path.name,
                        sha256=sha256(path),
                        contentSize=str(path.stat().st_size),
                        encodingFormat=_format(path.name),
                        exampleOfWork=self._parameter(_WORKFLOW, "input", path.stem, "File"),
                    )
                )
        values = inputs.of_experiment(self._run)
        return [*files, *self._values("#setting", values, _WORKFLOW, "input", "setting")]

    def _describe_execution(self, execution: Execution) -> None:
        key, tool = f"#{_part(execution.id)}", _tool(execution.context)
        circumstances: dict[str, Value] = {}
        needs: dict[str, Value] = {}
        others: dict[str, Value] = {}
        for name, value in execution.properties.items():
            kind = needs if name in _UNITS else circumstances if name in _CIRCUMSTANCES else others
            kind[name] = value
        known = {"journal": execution.journal, "command": execution.command}
        given = inputs.of_execution(self._run, execution)
        ended = description.ended(execution)
        action = self._add(
            key,
            "CreateAction",
            name=execution.name,
            description=f"An execution of the stage {execution.context}",
            identifier=execution.id,
            instrument={"@id": tool},
            agent={"@id": "#owner"},
            startTime=_time(description.started(execution)),
            endTime=_time(ended),
            actionStatus=STATUS.get(execution.status),
            error=execution.properties.get("error") if execution.status == "failed" else None,
            object=[
                *self._arguments(tool, "input", self._graph.before[execution.id]),
                *self._values(key, others, tool, "input"),
                *self._values(f"{key}/setting", given, tool, "input", "setting"),
            ],
            result=[
                *self._arguments(tool, "output", self._graph.after[execution.id]),
                *self._values(f"{key}/metric", execution.metrics, tool, "output", "metric"),
            ],
            additionalProperty=[
                *self._values(key, circumstances),
                *self._values(f"{key}/known", known, category="known"),
                *self._values(f"{key}/series", execution.series, category="series"),
            ],
            resourceUsage=self._values(key, needs),
        )
        self._add(
            f"#control/{_part(execution.id)}",
            "ControlAction",
            name=f"Orchestrate {execution.name}",
            instrument={"@id": _step(execution.context)},
            object=action,
        )

    def _describe_orchestration(self) -> None:
        controls = [key for key, one in self._entities.items() if one["@type"] == "ControlAction"]
        if controls:
            self._add(
                "#orchestration",
                "OrganizeAction",
                name="Orchestrate the run with Parsl",
                agent={"@id": "#owner"},
                instrument=self._add(
                    "#parslflow",
                    "SoftwareApplication",
                    name="parslflow",
                    softwareVersion=__version__,
                ),
                object=_references(controls),
                result={"@id": "#run"},
            )

    def _arguments(self, tool: str, direction: str, artifacts: Iterable[str]) -> list[Entity]:
        """Refer to files that a tool read or wrote."""
        found = [self._files[key] for key in dict.fromkeys(artifacts)]
        if found:
            parameter = self._parameter(tool, direction, "files", "File")
            for name in found:
                if parameter not in self._entities[name]["exampleOfWork"]:
                    self._entities[name]["exampleOfWork"].append(parameter)
        return _references(found)

    def _parameter(self, tool: str, direction: str, name: str, kind: str) -> Entity:
        """A formal parameter of a tool, which is made when it is first asked for."""
        key = f"#{direction}/{kind}/{_part(tool)}/{_part(name)}"
        if key not in self._entities:
            reference = self._add(key, "FormalParameter", name=name, additionalType=kind)
            self._entities[tool][direction].append(reference)
        return {"@id": key}

    def _values(
        self,
        owner: str,
        values: Mapping[str, Value],
        tool: str = "",
        direction: str = "",
        category: str = "property",
    ) -> list[Entity]:
        """Values of an owner; where a tool is named, as values of its formal parameters."""
        references = []
        for name, value in values.items():
            text = description.non_finite(value)
            parameter = (
                self._parameter(tool, direction, name, _TYPES[type(value)]) if tool else None
            )
            references.append(
                self._add(
                    f"{owner}/{_part(name)}",
                    "PropertyValue",
                    name=name,
                    additionalType=category,
                    propertyID=f"{description.VOCABULARY}{category}:{_part(name)}",
                    value=value if text is None else text,
                    valueReference=None if text is None else DOUBLE,
                    unitCode=_UNITS.get(name),
                    exampleOfWork=parameter,
                )
            )
        return references

    def _find(self, artifact: Artifact) -> str:
        """Link an artifact's file into the crate, and return its name there."""
        sources = [self._run.root / one for one in artifact.paths]
        for source in (*sources, cache_path(self._run, artifact.md5)):
            if has_content(source, artifact.sha256):
                path = Path(artifact.path)
                place = Path("external", path.name) if path.is_absolute() else path
                if (self._folder / place).exists():
                    place = place.with_name(f"{place.stem}.{artifact.sha256[:8]}{place.suffix}")
                self._place(source, str(place))
                return quote(str(place))
        digest = base64.urlsafe_b64encode(bytes.fromhex(artifact.sha256)).decode().rstrip("=")
        return f"ni:///sha-256;{digest}"

    def _place(self, source: Path, name: str) -> None:
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source.resolve(), target)
        except OSError:
            shutil.copyfile(source, target)

    def _add(self, key: str, kind: str | list[str], **fields: object) -> Entity:
        """Add an entity with those of the fields that are known, and return a reference to it."""
        known = {name: value for name, value in fields.items() if value is not None}
        self._entities[key] = {"@id": key, "@type": kind, **known}
        return {"@id": key}


def _plain(value: object) -> object:
    """A list of one as RO-Crate 1.1 wants it, which is without the list."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _references(keys: Iterable[str]) -> list[Entity]:
    return [{"@id": key} for key in keys]


def _time(time: datetime | None) -> str | None:
    """ISO 8601 in as many digits as the profile wants."""
    return time.isoformat(timespec="milliseconds") if time else None


def _part(text: str) -> str:
    """A part of an IRI."""
    return quote(text, safe="")


def _tool(context: str) -> str:
    return f"#tool/{_part(context)}"


def _step(context: str) -> str:
    return f"{_WORKFLOW}#{_part(context)}"


def _format(path: str) -> str:
    known = _FORMATS.get(Path(path).suffix)
    return known or mimetypes.guess_type(path)[0] or "application/octet-stream"
