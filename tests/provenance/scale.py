"""A run's metadata with thousands of artifacts, as the writer would have made them.

They go into ML Metadata directly, in batches, since CMF would take minutes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_metadata.metadata_store.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from parslflow.learning.samples import Samples
from parslflow.learning.samples import write_samples
from parslflow.provenance.events import Value

NETWORKS = ("EKE-ResNet", "EKE-Bottleneck")
ITERATIONS = 100
FILES = 95
"""That each simulation writes."""
BATCH = 5
FIELDS = {int: "int_value", float: "double_value", str: "string_value"}


def write_large_run(root: Path, iterations: int = ITERATIONS, files: int = FILES) -> int:
    """Make a run of the loop, and return how many artifacts it has.

    Of its files only the batch ``BATCH`` is there, and the input of the simulation that it is of.
    """
    (root / "provenance" / "cmf").mkdir(parents=True)
    (root / "stages").mkdir()
    (root / "experiment.toml").write_text('name = "large"\n')
    large = _Large(root)
    large.loop(iterations, files, batch_size=write_batch(root, BATCH, rows=300))
    return large.write()


class _Large:
    def __init__(self, root: Path) -> None:
        self._root = root
        config = mlmd.ConnectionConfig()
        config.sqlite.filename_uri = str(root / "provenance" / "cmf" / "mlmd")
        config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self._store = MetadataStore(config)
        texts = dict.fromkeys(("Commit", "url", "git_repo"), mlmd.STRING)
        self._artifact_types = {
            name: self._store.put_artifact_type(mlmd.ArtifactType(name=name, properties=texts))
            for name in ("Dataset", "Model", "Metrics", "Step_Metrics", "Environment")
        }
        texts = dict.fromkeys(("Execution", "Execution_uuid", "Git_Repo", "Context_Type"), 3)
        contexts = ("prepare", "generate", "sample", "assemble", "train", "evaluate", "deploy")
        self._execution_types = {
            name: self._store.put_execution_type(
                mlmd.ExecutionType(name=f"large/{name}", properties=texts)
            )
            for name in contexts
        }
        self._artifacts: list[Any] = []
        self._executions: list[Any] = []
        self._links: list[tuple[int, int, bool]] = []
        self._environment = self._artifact("Environment", "environment.txt", {})

    def _artifact(self, kind: str, path: str, values: Mapping[str, Value]) -> int:
        sha256 = hashlib.sha256(f"{kind} {path}".encode()).hexdigest()
        md5 = sha256[:32]
        artifact = mlmd.Artifact(type_id=self._artifact_types[kind], name=f"{path}:{md5}", uri=md5)
        url = f"large:/somewhere/runs/large/provenance/dvc-remote/files/md5/{md5}"
        _fill(artifact.properties, {"url": url, "Commit": md5, "git_repo": "file:///dev/null"})
        if kind in ("Dataset", "Model"):
            values = {"size": 12345, **values, "path": path, "sha256": sha256}
        _fill(artifact.custom_properties, values)
        self._artifacts.append(artifact)
        return len(self._artifacts) - 1

    def _execution(
        self,
        context: str,
        name: str,
        used: list[int],
        produced: list[int],
        metrics: Mapping[str, Value],
        **values: Value,
    ) -> None:
        number = len(self._executions)
        execution = mlmd.Execution(type_id=self._execution_types[context], name=f"{name}-01234567")
        command = "/somewhere/python3.11 -c 'from multiprocessing.spawn import spawn_main'"
        fixed = {"Execution": command, "Execution_uuid": f"{number:032x}", "Context_Type": context}
        _fill(execution.properties, fixed)
        properties: dict[str, Value] = {
            **values,
            "name": name,
            "status": "completed",
            "started": f"2026-11-25T19:56:10.{number:06}+00:00",
            "ended": "2026-11-25T21:56:10.000001+00:00",
            "host": "node",
            "pid": 123,
            "job": "slurm 123.0",
            "commit": "b" * 40,
            "environment": "c" * 64,
            "error": "",
            "wall_seconds": 1.5,
            "cpu_seconds": 1.5,
            "peak_memory_bytes": 123456789,
        }
        _fill(execution.custom_properties, properties)
        self._executions.append(execution)
        results = [
            self._artifact("Metrics", f"result:{name}", metrics),
            self._artifact("Step_Metrics", f"cmf_artifacts/{number}/metrics/epoch", {}),
        ]
        self._links += [(number, one, False) for one in (self._environment, *used)]
        self._links += [(number, one, True) for one in (*produced, *results)]

    def loop(self, iterations: int, files: int, batch_size: int) -> None:
        """The stages of the loop, whose training sets are made of all batches so far."""
        base, clusters = (self._artifact("Dataset", f"samples/{x}.h5", {}) for x in ("base", "c"))
        self._execution("prepare", "prepare", [], [base, clusters], {"samples": 1})
        batches: list[int] = []
        weights: dict[str, int] = {}
        losses: dict[str, float] = {}
        scripts: list[int] = []
        best = ""
        for iteration in range(iterations):
            where: dict[str, Value] = {"iteration": iteration}
            if iteration:
                name = f"generate-{iteration}"
                parts = [
                    self._artifact("Dataset", f"simulations/{name}/part-{n}.nc", {})
                    for n in range(files)
                ]
                energy = {"cfl": 0.1, "kinetic_energy": 0.2}
                self._execution("generate", name, [base], parts, energy, **where)
                properties = {"samples": 300, "size": batch_size, "clusters": "d" * 64}
                batches.append(
                    self._artifact("Dataset", f"samples/batch-{iteration}.h5", properties)
                )
                self._execution(
                    "sample", f"sample-{iteration}", parts[:1], batches[-1:], {"kept": 100}, **where
                )
            path = f"samples/training-{iteration}.h5"
            training_set = self._artifact("Dataset", path, {"rows": 48000})
            used = [base, clusters, *batches]
            self._execution(
                "assemble", f"assemble-{iteration}", used, [training_set], {"rows": 1}, **where
            )
            scripts = []
            for network in NETWORKS:
                version = f"{network}-{iteration}"
                losses[version] = round(0.5 + 1 / (iteration + 1) + 0.001 * len(network), 6)
                properties = {"network": network, "test_loss": losses[version], **where}
                models = [
                    self._artifact(
                        "Model", f"models/{version}{suffix}", properties | {"form": form}
                    )
                    for suffix, form in ((".pt", "weights"), (".script.pt", "TorchScript"))
                ]
                used = [training_set, clusters, *([weights[network]] if iteration else [])]
                metrics = {"test_loss": losses[version], "train_loss": 0.4, "known_loss": 0.4}
                self._execution(
                    "train", f"train-{version}", used, models, metrics, network=network,
                    version=version, **where,
                )  # fmt: skip
                stage = {"inputs": {"seed": iteration}, "journal": str(self._root / "journal")}
                file = self._root / "stages" / f"train-{version}.json"
                file.write_text(json.dumps(stage))
                weights[network] = models[0]
                scripts.append(models[1])
            best = min(losses, key=lambda version: losses[version])
            decision = {"best": best, "threshold": 0.1, "good_enough": 0, **where}
            seen = {f"test_loss {version}": loss for version, loss in losses.items()}
            name = f"evaluate-{iteration}"
            self._execution("evaluate", name, scripts, [], decision | seen, **where)
        self._execution("deploy", "deploy", [scripts[0]], [], {"bytes": 1}, version=best)

    def write(self) -> int:
        """Put everything into the database."""
        artifacts = self._store.put_artifacts(self._artifacts)
        executions = self._store.put_executions(self._executions)
        events = [
            mlmd.Event(
                execution_id=executions[execution],
                artifact_id=artifacts[artifact],
                type=mlmd.Event.OUTPUT if produced else mlmd.Event.INPUT,
            )
            for execution, artifact, produced in self._links
        ]
        for start in range(0, len(events), 5000):
            self._store.put_events(events[start : start + 5000])
        wanted = {self._artifact_types[kind] for kind in ("Dataset", "Model")}
        return sum(artifact.type_id in wanted for artifact in self._artifacts)


def write_batch(root: Path, iteration: int, rows: int) -> int:
    """Make the file of one batch, and the input that says how its simulation's ranks lay.

    Returns:
        The size of the batch.
    """
    n = np.arange(rows)
    path = root / "samples" / f"batch-{iteration}.h5"
    samples = Samples(
        features=np.ones((rows, 4)),
        eke=np.ones(rows),
        cluster=np.zeros(rows, dtype=np.int32),
        day=(n % 20).astype(float),
        j=(n % 160).astype(np.int32),
        i=(n % 120).astype(np.int32),
        run=np.zeros(rows, dtype=np.int32),
        runs=(f"generate-{iteration}",),
    )
    write_samples(path, samples, {})
    folder = root / "simulations" / f"generate-{iteration}"
    folder.mkdir(parents=True)
    (folder / "input.nml").write_text("&domain\n nx = 120\n ny = 160\n px = 4\n py = 6\n/\n")
    return path.stat().st_size


def _fill(properties: Any, values: Mapping[str, Value]) -> None:  # noqa: ANN401 - MLMD's map
    for key, value in values.items():
        setattr(properties[key], FIELDS[type(value)], value)
