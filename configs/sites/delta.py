"""Delta (NCSA): Slurm, four A100 a GPU node."""

from __future__ import annotations

from pathlib import Path

from parsl.launchers import SrunLauncher
from parsl.launchers.base import Launcher
from parsl.providers import SlurmProvider

from parslflow.blocks import config
from parslflow.sites import Site


def site(
    run_dir: Path,
    account: str,
    partition: str = "gpuA100x4",
    walltime: str = "00:30:00",
    nodes: int = 2,
    simulations: int = 1,
    worker_init: str = "",
    device: str = "cpu",
) -> Site:
    """Shared nodes of the GPU partition; the scratch file system is asked for."""

    def block(size: int, launcher: Launcher) -> SlurmProvider:
        return SlurmProvider(
            partition=partition,
            account=account,
            constraint="scratch",
            gpus_per_node=4,
            scheduler_options="#SBATCH --gpu-bind=closest",
            exclusive=False,
            cmd_timeout=60,
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
            SrunLauncher(),
            walltime=walltime,
            nodes=nodes,
            simulations=simulations,
            trainings=4,
            interface="eth6.560",
            accelerators=4,
        ),
        launch=("srun", "--overlap", f"--nodes={nodes}", "--ntasks={ranks}"),
        environment={"OMP_NUM_THREADS": "1"},
        device=device,
    )
