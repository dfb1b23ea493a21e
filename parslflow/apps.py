"""The Parsl apps, one a stage: the only module that knows Parsl's decorators.

``Stages`` turns each step of the workflow into the JSON file of one stage, and sends the file's
path to the executor that the step belongs to.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import ParamSpec
from typing import TypeVar

from parsl import python_app

from parslflow import executors
from parslflow import sites
from parslflow import stages
from parslflow import workflow
from parslflow.bench import measure
from parslflow.calls import Calls
from parslflow.calls import file_of
from parslflow.experiment import Experiment
from parslflow.experiment import Grid
from parslflow.finished import Finished
from parslflow.members import Generated
from parslflow.records import Record
from parslflow.rundir import RunDir
from parslflow.rundir import atomic_path
from parslflow.serving import Serving
from parslflow.simulation.settings import DAILY
from parslflow.simulation.settings import RESTART
from parslflow.simulation.settings import STREAM
from parslflow.simulation.settings import Network
from parslflow.sites import Site
from parslflow.store.stream import Stream
from parslflow.store.stream import begin
from parslflow.store.stream import give_up

P = ParamSpec("P")
T = TypeVar("T")

simulate = python_app(stages.run, executors=["simulation"])
interpolate = python_app(stages.run, executors=["sampling"])
perturb = python_app(stages.run, executors=["sampling"])
train = python_app(stages.run, executors=["training"])
prepare = python_app(stages.run, executors=["training"])
assemble = python_app(stages.run, executors=["training"])
baselines = python_app(stages.run, executors=["training"])
draw_random = python_app(stages.run, executors=["training"])
sample = python_app(stages.run, executors=["sampling"])
deploy = python_app(stages.run, executors=["sampling"])
draw = python_app(stages.run, executors=["sampling"])
serve = python_app(stages.run, executors=["store"])
bench = python_app(measure, executors=["sampling"])


def at(label: str, function: Callable[P, T]) -> Callable[P, Future[T]]:
    """``function`` as an app of one executor."""
    app: Callable[P, Future[T]] = python_app(function, executors=[label])
    return app


class Stages(Calls):
    """The steps of the workflow as Parsl apps; see :class:`parslflow.workflow.Stages`."""

    def __init__(
        self,
        experiment: Experiment,
        site: Site,
        run: RunDir,
        executable: Path,
        cache: Path,
        finished: Finished,
    ) -> None:
        super().__init__(experiment, site, run, executable, cache)
        self._finished = finished
        self._serving: Serving | None = None

    def serve(self) -> Serving:
        """Start the store, or use the one that runs."""
        settings = self._experiment.store
        inputs = {
            "folder": self._run.store,
            **settings.model_dump(
                include={"launcher", "listen", "memory_mb", "shards", "password"}
            ),
            "running": settings.running,
            "stop_file": self._run.store / "stop",
            "owner_pid": os.getpid(),
            "owner_host": platform.node(),
        }
        call = self._call("serve", "store", "store", inputs)
        self._serving = Serving(self._run, lambda: self._send(serve, call))
        return self._serving

    def try_launch(self) -> Future[Record]:
        """Run High for a day from the jet."""
        return self._send(
            simulate, self._simulation("doctor", "launch", self._experiment.high, days=1)
        )

    def spin_up(self, case: str, grid: Grid, start: Record | None) -> Future[Record]:
        """Run ``case`` ("high" or "low") into turbulence on ``grid``, from ``start`` or the jet."""
        own = grid == (self._experiment.high if case == "high" else self._experiment.low)
        return self._once(
            simulate,
            self._simulation(
                "spinup",
                f"spinup-{case}" if own else f"spinup-{case}-{_cells(grid)}",
                grid,
                days=grid.spinup_days,
                restart=file_of(start, RESTART) if start else None,
                meke="prognostic" if own and case == "low" else "none",
                cache=self._cache,
            ),
        )

    def interpolate(self, case: str, grid: Grid, start: Record) -> Future[Record]:
        """Take the state of ``start`` to ``grid``."""
        name = f"interpolate-{case}-{_cells(grid)}"
        inputs = {
            "restart": file_of(start, RESTART),
            "grid": grid.grid,
            "output": self._run.simulations / name / RESTART,
        }
        return self._once(interpolate, self._call("interpolate", "interpolate", name, inputs))

    def run_base(self, start: Record) -> Future[Record]:
        """Run High from ``start`` with daily output: the base data."""
        high = self._experiment.high
        return self._once(
            simulate,
            self._simulation(
                "base",
                "base",
                high,
                days=high.base_days,
                restart=file_of(start, RESTART),
                daily=True,
            ),
        )

    def prepare(self, base: Record) -> Future[Record]:
        """Make samples, scaler and clusters of the base data."""
        inputs = {
            "daily": file_of(base, DAILY),
            "run": "base",
            "filter_scale": self._experiment.features.filter_scale,
            "wall_rows": self._experiment.features.wall_rows,
            "clusters": self._experiment.sampling.clusters,
            "seed": self._experiment.seed,
            "samples": self._run.samples / "base.h5",
            "clusters_file": self._clusters,
        }
        return self._once(prepare, self._call("prepare", "prepare", "prepare", inputs))

    def assemble(self, iteration: int, prepared: Record, batches: list[Record]) -> Future[Record]:
        """Make the training set of ``iteration`` of the base samples and all ``batches``."""
        call = self._assembly(
            "assemble", str(iteration), iteration, prepared, batches, iteration=iteration
        )
        return self._once(assemble, call)

    def assemble_control(
        self, rows: str, seed: int, prepared: Record, batches: list[Record]
    ) -> Future[Record]:
        """Make a control's training set of the base samples and ``batches`` of these ``rows``."""
        call = self._assembly(
            "control", f"{rows}-{seed}", seed, prepared, batches, rows=rows, control_seed=seed
        )
        return self._once(assemble, call)

    def train(
        self, network: str, iteration: int, training_set: Record, before: Record | None
    ) -> Future[Record]:
        """Train ``network``, from the weights of ``before`` if there are any."""
        version = workflow.version(network, iteration)
        call = self._training(
            "train", version, network, iteration, iteration, training_set, before,
            iteration=iteration, version=version,
        )  # fmt: skip
        return self._once(train, call)

    def train_control(
        self,
        network: str,
        rows: str,
        seed: int,
        iteration: int,
        training_set: Record,
        before: Record,
    ) -> Future[Record]:
        """Train ``network`` for a control, from the weights of ``before``."""
        call = self._training(
            "control", f"{network}-{rows}-{seed}", network, iteration, seed, training_set, before,
            rows=rows, control_seed=seed,
        )  # fmt: skip
        return self._once(train, call)

    def baselines(self, iteration: int, training_set: Record) -> Future[Record]:
        """Fit the plain regressions to the training set of ``iteration``."""
        inputs = {
            "training_set": training_set.wrote[0].path,
            "clusters_file": self._clusters,
            "seed": self._experiment.seed + iteration,
        }
        name = f"baselines-{iteration}"
        call = self._call("baselines", "baselines", name, inputs, iteration=iteration)
        return self._once(baselines, call)

    def perturb(self, member: int, start: Record) -> Future[Record]:
        """Put noise on the state of ``start``, from which a member of High goes on."""
        name = f"perturb-m{member}"
        inputs = {
            "restart": file_of(start, RESTART),
            "scale": self._experiment.high.member_noise,
            "seed": self._experiment.seed + member,
            "output": self._run.simulations / name / RESTART,
        }
        return self._once(perturb, self._call("perturb", "perturb", name, inputs, member=member))

    def draw_random(self, seed: int, run: Generated, prepared: Record) -> Future[Record]:
        """Draw as many rows of a run of High as its batches have, with the seed's number."""
        label = self._experiment.high.label(run.iteration, run.member)
        name = f"random-{seed}-{label}"
        inputs = {
            "daily": file_of(run.high, DAILY),
            "run": f"generate-{label}",
            "batches": [batch.wrote[0].path for batch in run.batches],
            "clusters_file": file_of(prepared, self._clusters.name),
            "seed": self._experiment.seed + seed,
            "output": self._run.samples / f"{name}.h5",
        }
        call = self._call(
            "draw-random", "control", f"draw-{name}", inputs,
            iteration=run.iteration, control_seed=seed,
        )  # fmt: skip
        return self._once(draw_random, call)

    @property
    def members_at_once(self) -> int:
        """How many members of High can run at once."""
        return sites.simulations(self._site)

    def stream(
        self, iteration: int, member: int, start: Record, prepared: Record
    ) -> tuple[Future[Record], list[Future[Record]]]:
        """Run a member of High from ``start``, and keep what is new of its tiles in batches."""
        high = self._experiment.high
        label = high.label(iteration, member)
        name = f"generate-{label}"
        samplers = self._experiment.sampling.labels(label)
        batches = [self._run.samples / f"batch-{sampler}.h5" for sampler in samplers]
        stream_file = self._run.simulations / name / STREAM
        keyspace = f"member-{member}" if high.members > 1 else ""
        generating = self._simulation(
            "generate",
            name,
            high,
            days=high.generate_days,
            restart=file_of(start, RESTART),
            daily=True,
            stream=Stream(list=f"{name}-tiles", run=name, keyspace=keyspace),
            batches=tuple(batches),
            iteration=iteration,
            member=member,
        )
        inputs = {
            "address_file": self._address,
            "stream": stream_file,
            "clusters": file_of(prepared, self._clusters.name),
            "outputs": batches,
            "time_limit_s": self._experiment.sampling.time_limit,
            "threads": self._site.threads,
        }
        samplings = [
            self._call(
                "sample",
                "sample",
                f"sample-{sampler}",
                inputs | {"sampler": number},
                iteration=iteration,
                member=member,
            )
            for number, sampler in enumerate(samplers)
        ]
        # Tiles that were sampled are gone, and a simulation without samplers would send to nobody:
        # all are done, or none.
        if all(self._done(call) for call in (generating, *samplings)):
            sampled = [self._once(sample, sampling) for sampling in samplings]
            return self._once(simulate, generating), sampled
        self._wait_for_store()
        # The samplers wait until this simulation, and no earlier one, says what it sends.
        begin(stream_file)
        # The samplers are there before the tiles come.
        sampled = [self._send(sample, sampling) for sampling in samplings]
        generated = self._send(simulate, generating)

        def tell(future: Future[Record]) -> None:
            if (error := future.exception()) is not None:
                give_up(stream_file, str(error))

        # None of them goes on without the others.
        for future in (generated, *sampled):
            future.add_done_callback(tell)
        return generated, sampled

    def deploy(self, version: str, model: Record) -> Future[Record]:
        """Put the network of ``model`` where the simulation asks it."""
        inputs = {
            "address_file": None if self._in_process else self._address,
            "script": model.wrote[1].path,
            "model": version,
            # As RedisAI's commands call it.
            "device": "CPU" if self._site.device == "cpu" else "GPU",
        }
        if not self._in_process:
            self._wait_for_store()
        name = f"deploy-{version}"
        # Not once: the store of a run that is resumed is a new one.
        return self._send(deploy, self._call("deploy", "deploy", name, inputs, version=version))

    def run_low(self, start: Record, version: str | None, model: Record | None) -> Future[Record]:
        """Run Low from ``start`` with the deployed ``model``, or with prognostic MEKE if None."""
        network = None
        if version is not None and model is not None:
            network = Network(key=version, script=model.wrote[1].path, in_process=self._in_process)
        return self._once(
            simulate,
            self._simulation(
                "simulate-low",
                f"low-{version or 'meke'}",
                self._experiment.low,
                days=self._experiment.low.days,
                restart=file_of(start, RESTART),
                daily=True,
                meke="network" if network else "prognostic",
                network=network,
            ),
        )

    def draw(
        self,
        prepared: Record,
        base: Record,
        high: Record,
        model: Record,
        meke: Record,
        network: Record,
    ) -> Future[Record]:
        """Draw the figures of the report."""
        inputs = {
            "base_daily": file_of(base, DAILY),
            "high_daily": file_of(high, DAILY),
            "low_meke_daily": file_of(meke, DAILY),
            "low_network_daily": file_of(network, DAILY),
            "script": model.wrote[1].path,
            "clusters_file": file_of(prepared, self._clusters.name),
            "journal": self._run.journal,
            "folder": self._run.report,
        }
        return self._once(draw, self._call("draw", "report", "figures", inputs))

    def _wait_for_store(self) -> None:
        """What needs the store is sent when it can be reached: it may still be in a queue."""
        if self._serving is not None:
            self._serving.wait()

    def _done(self, call: stages.Call) -> Record | None:
        return self._finished.record(call.name, stages.digest(call))

    def _once(self, app: Callable[[Path], Future[Record]], call: stages.Call) -> Future[Record]:
        """The record of a stage that is done already, or else the stage sent."""
        record = self._done(call)
        if record is None:
            return self._send(app, call)
        known: Future[Record] = Future()
        known.set_result(record)
        return known

    def _send(self, app: Callable[[Path], Future[Record]], call: stages.Call) -> Future[Record]:
        """Write the stage's file and send its path to the app's executor."""
        path = self._run.stages / f"{call.name}.json"
        with atomic_path(path) as temporary:
            temporary.write_text(stages.to_text(call), encoding="utf-8")
        [label] = app.executors  # type: ignore[attr-defined]
        executors.start(self._site, label)
        return app(path)


def _cells(grid: Grid) -> str:
    """What a grid is called by: its cells, such as 60x80."""
    return "{}x{}".format(*grid.grid)
