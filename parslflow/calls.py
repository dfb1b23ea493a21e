"""The JSON file of each stage of a run, as far as several steps of the workflow share it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parslflow import stages
from parslflow.experiment import Experiment
from parslflow.experiment import Grid
from parslflow.learning.settings import TrainInputs
from parslflow.records import Inputs
from parslflow.records import Record
from parslflow.records import Value
from parslflow.rundir import RunDir
from parslflow.simulation.settings import DAILY
from parslflow.simulation.settings import Network
from parslflow.simulation.settings import SimulateInputs
from parslflow.simulation.settings import namelist
from parslflow.sites import Site
from parslflow.store.stream import Stream

RESTARTS = 10
"""How many restarts a simulation leaves on its way: no more than a tenth is to be done again."""


class Calls:
    """Makes the calls of stages for one experiment, site and run."""

    def __init__(
        self, experiment: Experiment, site: Site, run: RunDir, executable: Path, cache: Path
    ) -> None:
        self._experiment = experiment
        self._site = site
        self._run = run
        self._executable = executable
        self._cache = cache

    @property
    def _in_process(self) -> bool:
        return self._experiment.low.inference == "in-process"

    @property
    def _address(self) -> Path:
        return self._run.store / "address.json"

    @property
    def _clusters(self) -> Path:
        return self._run.samples / "clusters.h5"

    def _simulation(
        self,
        context: str,
        name: str,
        grid: Grid,
        *,
        days: int,
        restart: Path | None = None,
        daily: bool = False,
        meke: str = "none",
        stream: Stream | None = None,
        batches: tuple[Path, ...] = (),
        network: Network | None = None,
        cache: Path | None = None,
        **properties: Value,
    ) -> stages.Call:
        """One run of the Phillips model."""
        text = namelist(
            nx=grid.grid[0],
            ny=grid.grid[1],
            spacing=grid.spacing,
            px=grid.layout[0],
            py=grid.layout[1],
            time_step=grid.time_step,
            days=float(days),
            restart_interval=float(max(1, days // RESTARTS)),
            restart=str(restart or ""),
            perturbation=grid.perturbation,
            meke=meke,
            daily=DAILY if daily else "",
            stream_list=stream.list if stream else "",
            stream_run=stream.run if stream else "",
            model=network.key if network else "",
            label=network.key if network else "",
            filter_scale=self._experiment.features.filter_scale,
        )
        inputs = SimulateInputs(
            folder=self._run.simulations / name,
            namelist=text,
            executable=self._executable,
            launch=self._site.launch,
            ranks=grid.ranks,
            environment=self._site.environment,
            restart=restart,
            address_file=self._address if stream or (network and not network.in_process) else None,
            stream=stream,
            batches=batches,
            network=network,
            cache=cache,
        )
        return self._call("simulate", context, name, inputs, **properties)

    def _assembly(
        self,
        context: str,
        label: str,
        seed: int,
        prepared: Record,
        batches: list[Record],
        **properties: Value,
    ) -> stages.Call:
        """The making of a training set."""
        inputs = {
            "base": file_of(prepared, "base.h5"),
            "batches": [batch.wrote[0].path for batch in batches],
            "clusters_file": self._clusters,
            "rows": self._experiment.training.rows,
            "seed": self._experiment.seed + seed,
            "output": self._run.samples / f"training-{label}.h5",
        }
        return self._call("assemble", context, f"assemble-{label}", inputs, **properties)

    def _training(
        self,
        context: str,
        label: str,
        network: str,
        iterations: int,
        seed: int,
        training_set: Record,
        before: Record | None,
        **properties: Value,
    ) -> stages.Call:
        """A training, from the weights of ``before`` if there are any."""
        training = self._experiment.training
        inputs = TrainInputs(
            network=network,
            iteration=iterations,
            training_set=training_set.wrote[0].path,
            clusters_file=self._clusters,
            start_from=before.wrote[0].path if before else None,
            settings=training.again if before else training.first,
            seed=self._experiment.seed + seed,
            threads=self._site.threads,
            device=self._site.device,
            weights=self._run.models / f"{label}.pt",
            script=self._run.models / f"{label}.script.pt",
        )
        return self._call("train", context, f"train-{label}", inputs, network=network, **properties)

    def _call(
        self,
        stage: str,
        context: str,
        name: str,
        inputs: Inputs | dict[str, Any],
        **properties: Value,
    ) -> stages.Call:
        return stages.Call(
            stage=stage,
            pipeline=self._experiment.name,
            context=context,
            name=name,
            properties=properties,
            journal=self._run.journal,
            inputs=inputs.model_dump() if isinstance(inputs, Inputs) else inputs,
        )


def file_of(record: Record, name: str) -> Path:
    """The file called ``name`` that a stage wrote."""
    return next(artifact.path for artifact in record.wrote if artifact.path.name == name)
