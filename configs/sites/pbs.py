"""Any cluster with PBS Professional or OpenPBS, on the CPUs of its nodes."""

from __future__ import annotations

from pathlib import Path

from parsl.launchers import SingleNodeLauncher
from parsl.launchers.base import Launcher
from parsl.providers import PBSProProvider

from parslflow.blocks import config
from parslflow.sites import Site


def site(
    run_dir: Path,
    queue: str = "",
    account: str = "",
    walltime: str = "01:00:00",
    nodes: int = 1,
    simulations: int = 1,
    cpus_per_node: int = 1,
    interface: str = "",
    worker_init: str = "",
) -> Site:
    """Blocks by qsub; ranks start with an mpiexec that knows PBS's nodes."""

    def block(size: int, launcher: Launcher) -> PBSProProvider:
        return PBSProProvider(
            queue=queue or None,
            account=account or None,
            nodes_per_block=size,
            cpus_per_node=cpus_per_node,
            init_blocks=0,
            walltime=walltime,
            worker_init=worker_init,
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
        launch=("mpiexec", "-n", "{ranks}"),
        environment={"OMP_NUM_THREADS": "1"},
    )
