"""Polaris (ALCF): PBS Professional, four A100 a node."""

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
    queue: str = "debug",
    walltime: str = "00:30:00",
    nodes: int = 2,
    simulations: int = 1,
    ranks_per_node: int = 32,
    worker_init: str = "",
    device: str = "cpu",
) -> Site:
    """Ranks and workers start with mpiexec; a worker has all of its node's threads."""

    def block(size: int, launcher: Launcher) -> PBSProProvider:
        return PBSProProvider(
            queue=queue,
            account=account,
            cpus_per_node=64,
            select_options="ngpus=4",
            scheduler_options="#PBS -l filesystems=home:eagle",
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
            MpiExecLauncher(bind_cmd="--cpu-bind", overrides="--depth=64 --ppn 1"),
            walltime=walltime,
            nodes=nodes,
            simulations=simulations,
            trainings=4,
            interface="",
            accelerators=4,
            cpu_affinity="alternating",
        ),
        launch=("mpiexec", "-n", "{ranks}", "--ppn", str(ranks_per_node)),
        environment={"OMP_NUM_THREADS": "1"},
        device=device,
    )
