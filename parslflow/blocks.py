"""The executors of a site with a batch scheduler, each in blocks of nodes of its own.

A site's file says how a block is asked for; what it is used for is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from parsl.addresses import address_by_hostname
from parsl.addresses import address_by_interface
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.launchers import SimpleLauncher
from parsl.launchers.base import Launcher
from parsl.providers.base import ExecutionProvider

from parslflow import retries

Block = Callable[[int, Launcher], ExecutionProvider]
"""Asks for blocks of so many nodes whose workers this launcher starts."""

IDLE_SECONDS = 60.0
"""A block without work is given back after so long."""

DRAIN_SECONDS = 120
"""So long before its wall time a block takes no more work; half of it, where that is less."""

HEARTBEAT_SECONDS = 5
LOST_SECONDS = 30
"""A block that was not heard of for so long is lost; so is the driver, for a block."""


def config(
    run_dir: Path,
    block: Block,
    launcher: Launcher,
    *,
    walltime: str,
    nodes: int,
    simulations: int = 1,
    trainings: int = 2,
    interface: str = "",
    accelerators: int = 0,
    cpu_affinity: str = "none",
) -> Config:
    """Parsl's configuration with all of `parslflow.sites.EXECUTORS`.

    Args:
        run_dir: the run's directory, on a file system that the nodes share.
        block: how this site's scheduler is asked.
        launcher: starts workers on the node of a training, sampling or store block. A simulation's
            worker stays on the first node of its block, from where it starts ranks on all.
        walltime: of a block, HH:MM:SS.
        nodes: of a simulation's block.
        simulations: how many run at a time, each in a block of its own.
        trainings: how many run at a time.
        interface: the network interface of this host by which nodes reach it; its host name's by
            default.
        accelerators: of a node, each for one training; 0 if there are none.
        cpu_affinity: how Parsl places trainings on cores.
    """
    address = address_by_interface(interface) if interface else address_by_hostname()

    def executor(
        label: str,
        workers: int,
        provider: ExecutionProvider,
        accelerators: int = 0,
        cpu_affinity: str = "none",
    ) -> HighThroughputExecutor:
        return HighThroughputExecutor(
            label=label,
            address=address,
            # Others may be on the network.
            encrypted=True,
            max_workers_per_node=workers,
            cores_per_worker=1e-3,
            heartbeat_period=HEARTBEAT_SECONDS,
            heartbeat_threshold=LOST_SECONDS,
            drain_period=max(_seconds(walltime) - DRAIN_SECONDS, _seconds(walltime) // 2),
            provider=provider,
            available_accelerators=accelerators,
            cpu_affinity=cpu_affinity,
        )

    simulation = block(nodes, SimpleLauncher())
    simulation.max_blocks = simulations
    # Parsl counts a worker for each of the nodes, where there is one for all of them.
    simulation.parallelism = nodes
    return Config(
        executors=[
            executor("simulation", 1, simulation),
            executor("training", trainings, block(1, launcher), accelerators, cpu_affinity),
            executor("sampling", 2 * simulations, block(1, launcher)),
            executor("store", 1, block(1, launcher)),
        ],
        run_dir=str(run_dir / "logs" / "parsl"),
        retries=retries.RETRIES,
        retry_handler=retries.cost,
        # Gives a block back when its executor has no task. htex_auto_scale would cancel one that is
        # still starting whenever it has more workers than there are tasks.
        strategy="simple",
        strategy_period=1,
        max_idletime=IDLE_SECONDS,
        usage_tracking=0,
    )


def _seconds(walltime: str) -> int:
    """The seconds of HH:MM:SS."""
    hours, minutes, seconds = (int(part) for part in walltime.split(":"))
    return (hours * 60 + minutes) * 60 + seconds
