"""Any cluster with Slurm, on the CPUs of its nodes."""

from __future__ import annotations

from pathlib import Path

from parsl.launchers import SingleNodeLauncher
from parsl.launchers.base import Launcher
from parsl.providers import SlurmProvider

from parslflow.blocks import config
from parslflow.sites import Site


def site(
    run_dir: Path,
    partition: str = "",
    account: str = "",
    walltime: str = "01:00:00",
    nodes: int = 1,
    simulations: int = 1,
    mpi: str = "",
    interface: str = "",
    worker_init: str = "",
    exclusive: bool = True,
) -> Site:
    """Blocks by sbatch; ranks start with srun on all nodes of a simulation's block."""

    def block(size: int, launcher: Launcher) -> SlurmProvider:
        return SlurmProvider(
            partition=partition or None,
            account=account or None,
            nodes_per_block=size,
            init_blocks=0,
            walltime=walltime,
            worker_init=worker_init,
            exclusive=exclusive,
            cmd_timeout=60,
            launcher=launcher,
        )

    return Site(
        parsl=config(
            run_dir,
            block,
            SingleNodeLauncher(),
            walltime=walltime,
            nodes=nodes,
            simulations=simulations,
            interface=interface,
        ),
        # The worker that starts it has a step of its own in the block.
        launch=(
            "srun",
            "--overlap",
            f"--nodes={nodes}",
            "--ntasks={ranks}",
            *((f"--mpi={mpi}",) if mpi else ()),
        ),
        environment={"OMP_NUM_THREADS": "1"},
    )
