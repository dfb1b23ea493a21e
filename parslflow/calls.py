"""The JSON file of each stage of a run, as far as several steps of the workflow share it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parslflow import stages
from parslflow.experiment import Experiment
from parslflow.experiment import Grid
from parslflow.records import Inputs
from parslflow.records import Value
from parslflow.rundir import RunDir
from parslflow.simulation.checkpoints import DAILY
from parslflow.simulation.phillips import Network
from parslflow.simulation.phillips import SimulateInputs
from parslflow.simulation.phillips import namelist
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
        kept: tuple[Path, ...] = (),
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
            kept=kept,
            network=network,
            cache=cache,
        )
        return self._call("simulate", context, name, inputs, **properties)

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
