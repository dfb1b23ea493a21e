"""Aurora (ALCF): PBS Professional, twelve GPU tiles a node."""

from __future__ import annotations

from pathlib import Path

from parsl.launchers import MpiExecLauncher
from parsl.launchers.base import Launcher
from parsl.providers import PBSProProvider

from parslflow.blocks import config
from parslflow.sites import Site

# The cores of each tile's side of its socket; core 0 and 52 are the system's.
AFFINITY = (
    "list:1-8,105-112:9-16,113-120:17-24,121-128:25-32,129-136:33-40,137-144:41-48,145-152"
    ":53-60,157-164:61-68,165-172:69-76,173-180:77-84,181-188:85-92,189-196:93-100,197-204"
)


def site(
    run_dir: Path,
    account: str,
    queue: str = "debug",
    walltime: str = "00:30:00",
    nodes: int = 2,
    simulations: int = 1,
    ranks_per_node: int = 96,
    worker_init: str = "",
    device: str = "cpu",
) -> Site:
    """Ranks and workers start with mpiexec; each training has a tile and the cores beside it."""

    def block(size: int, launcher: Launcher) -> PBSProProvider:
        return PBSProProvider(
            queue=queue,
            account=account,
            cpus_per_node=208,
            scheduler_options="#PBS -l filesystems=home:flare",
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
            trainings=12,
            interface="",
            accelerators=12,
            cpu_affinity=AFFINITY,
        ),
        launch=("mpiexec", "-n", "{ranks}", "--ppn", str(ranks_per_node)),
        environment={"OMP_NUM_THREADS": "1"},
        device=device,
    )
