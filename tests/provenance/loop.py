"""A run of the loop in small: three iterations, deployed, taken back, a figure drawn twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from parslflow import workflow
from parslflow.learning.samples import Samples
from parslflow.learning.samples import write_samples
from parslflow.provenance import events
from parslflow.provenance.events import Value
from parslflow.provenance.writer import Writer

PIPELINE = "loop"
NETWORKS = ("EKE-ResNet", "EKE-Bottleneck")
NX, NY, PX, PY = 12, 10, 2, 3
"""Cells and ranks; the rows cannot be shared out evenly."""
LOSSES = {
    "EKE-ResNet-0": 0.9,
    "EKE-Bottleneck-0": 0.8,
    "EKE-ResNet-1": 0.65,
    "EKE-Bottleneck-1": 0.85,
    "EKE-ResNet-2": 0.55,
    "EKE-Bottleneck-2": 0.75,
}
SAMPLES = (400, 300)
"""Of the two batches."""
REASON = "blew up on day 3"


def batch(iteration: int) -> Samples:
    """The samples of a batch, at random cells and days."""
    n = SAMPLES[iteration - 1]
    random = np.random.default_rng(iteration)
    return Samples(
        features=random.random((n, 4)),
        eke=random.random(n),
        cluster=np.full(n, 2, dtype=np.int32),
        day=random.integers(170, 174, n).astype(float),
        j=random.integers(0, NY, n, dtype=np.int32),
        i=random.integers(0, NX, n, dtype=np.int32),
        run=np.zeros(n, dtype=np.int32),
        runs=(f"generate-{iteration}",),
    )


def write_loop(root: Path) -> None:
    """Journal the run and log it to CMF."""
    for folder in ("journal", "samples", "models", "stages", "report"):
        (root / folder).mkdir(parents=True)
    (root / "experiment.toml").write_text('name = "loop"\n')
    with Writer(root) as writer:
        loop = _Loop(root)
        loop.learn()
        loop.deploy("deploy", "deploy", "EKE-ResNet-2")
        loop.draw("a first figure")
        writer.flush(timeout_s=200)
        # Like a stage that is done again: the file is another one, and the old version is in DVC.
        loop.draw("a second figure")
        loop.roll_back("EKE-ResNet-1", before="EKE-ResNet-2")
        writer.flush(timeout_s=200)


class _Loop:
    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def _execution(
        self, context: str, name: str, **properties: Value
    ) -> Iterator[events.Execution]:
        with events.execution(
            self._root / "journal",
            pipeline=PIPELINE,
            context=context,
            name=name,
            properties=properties,
        ) as run:
            yield run

    def _write(self, path: str, text: str | None = None) -> Path:
        file = self._root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_text(text or f"{path}\n" * 50)
        return file

    def learn(self) -> None:
        with self._execution("prepare", "prepare") as run:
            for name in ("base", "clusters"):
                run.produced(self._write(f"samples/{name}.h5"), "dataset")
        for iteration in range(3):
            if iteration:
                self._generate(iteration)
            self._assemble(iteration)
            for network in NETWORKS:
                self._train(network, iteration)
            self._evaluate(iteration)

    def _generate(self, iteration: int) -> None:
        folder = f"simulations/generate-{iteration}"
        with self._execution("generate", f"generate-{iteration}", iteration=iteration) as run:
            layout = f"&domain\n  nx = {NX}\n  ny = {NY}\n  px = {PX}\n  py = {PY}\n/\n"
            run.used(self._write(f"{folder}/input.nml", f"{layout}! {iteration}\n"), "dataset")
            run.produced(self._write(f"{folder}/stream.json"), "dataset")
        with self._execution("sample", f"sample-{iteration}", iteration=iteration) as run:
            run.used(self._root / folder / "stream.json", "dataset")
            path = self._root / f"samples/batch-{iteration}.h5"
            write_samples(path, batch(iteration), {"clusters": "c"})
            run.produced(path, "dataset", {"samples": SAMPLES[iteration - 1]})
            run.result({"kept": SAMPLES[iteration - 1]})

    def _assemble(self, iteration: int) -> None:
        with self._execution("assemble", f"assemble-{iteration}", iteration=iteration) as run:
            for name in ("base", "clusters", *(f"batch-{n + 1}" for n in range(iteration))):
                run.used(self._root / f"samples/{name}.h5", "dataset")
            run.produced(self._write(f"samples/training-{iteration}.h5"), "dataset")
            run.result({"rows": 48000, "withheld_rows": 1000 * iteration})

    def _train(self, network: str, iteration: int) -> None:
        version = workflow.version(network, iteration)
        name = f"train-{version}"
        before = f"models/{workflow.version(network, iteration - 1)}.pt" if iteration else None
        stage = {
            "stage": "train",
            "name": name,
            "journal": str(self._root / "journal"),
            "inputs": {
                "training_set": str(self._root / f"samples/training-{iteration}.h5"),
                "start_from": str(self._root / before) if before else None,
                "settings": {"epochs": 10 if iteration else 20, "learning_rate": 0.005},
            },
        }
        self._write(f"stages/{name}.json", json.dumps(stage))
        with self._execution(
            "train", name, network=network, iteration=iteration, version=version
        ) as run:
            run.metric("epoch", {"epoch": 1, "train_loss": 0.5})
            for path in (f"samples/training-{iteration}.h5", "samples/clusters.h5"):
                run.used(self._root / path, "dataset")
            if before:
                run.used(self._root / before, "model")
            for suffix, form in ((".pt", "weights"), (".script.pt", "TorchScript")):
                path = self._write(f"models/{version}{suffix}")
                run.produced(path, "model", {"form": form, "test_loss": LOSSES[version]})
            run.result({"test_loss": LOSSES[version], "train_loss": 0.4})

    def _evaluate(self, iteration: int) -> None:
        losses = {
            version: loss
            for version, loss in LOSSES.items()
            if int(version.rpartition("-")[2]) <= iteration
        }
        decision = workflow.decide(iteration, losses, threshold=0.6)
        with self._execution("evaluate", f"evaluate-{iteration}", iteration=iteration) as run:
            for network in NETWORKS:
                script = f"models/{workflow.version(network, iteration)}.script.pt"
                run.used(self._root / script, "model")
            run.decision(
                {
                    "iteration": iteration,
                    "threshold": decision.threshold,
                    "best": decision.best,
                    "good_enough": int(decision.good_enough),
                    **{f"test_loss {version}": loss for version, loss in losses.items()},
                }
            )

    def deploy(self, context: str, name: str, version: str) -> None:
        with self._execution(context, name, version=version) as run:
            run.used(self._root / f"models/{version}.script.pt", "model")

    def roll_back(self, version: str, before: str) -> None:
        with self._execution("rollback", "rollback-1", version=version) as run:
            for suffix in (".pt", ".script.pt"):
                run.used(self._root / f"models/{version}{suffix}", "model")
            run.decision({"best": version, "before": before, "reason": REASON})

    def draw(self, figure: str) -> None:
        with self._execution("report", "figures") as run:
            run.produced(self._write("report/losses.png", figure), "dataset")
            run.produced(self._write("report/twin.png", figure), "dataset")
        with self._execution("report", "copies") as run:
            run.produced(self._write("report/copy.png", figure), "dataset")
