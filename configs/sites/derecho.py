"""Derecho (NCAR): PBS Professional, CPU nodes of 128 cores."""

from __future__ import annotations

from pathlib import Path

from parsl.launchers import MpiExecLauncher
from parsl.launchers.base import Launcher
from parsl.providers import PBSProProvider

from parslflow.blocks import config
from parslflow.sites import Site


def site(
    run_dir: Path,
    account: str,
    queue: str = "main",
    priority: str = "economy",
    walltime: str = "00:30:00",
    nodes: int = 2,
    simulations: int = 1,
    ranks_per_node: int = 128,
    worker_init: str = "",
    device: str = "cpu",
) -> Site:
    """CPU nodes with 235 GB; ranks and workers start with mpiexec."""

    def block(size: int, launcher: Launcher) -> PBSProProvider:
        return PBSProProvider(
            queue=queue,
            account=account,
            cpus_per_node=128,
            select_options="mpiprocs=128:mem=235GB",
            scheduler_options=f"#PBS -l job_priority={priority}",
            nodes_per_block=size,
            init_blocks=0,
            walltime=walltime,
            worker_init=worker_init,
            launcher=launcher,
        )

    return Site(
        parsl=config(
            run_dir,
            block,
            MpiExecLauncher(bind_cmd="--cpu-bind", overrides="--ppn 1"),
            walltime=walltime,
            nodes=nodes,
            simulations=simulations,
            interface="",
        ),
        launch=("mpiexec", "-n", "{ranks}", "--ppn", str(ranks_per_node)),
        environment={"OMP_NUM_THREADS": "1"},
        device=device,
    )
