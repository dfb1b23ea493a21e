"""This machine alone: a laptop, a workstation or one node."""

from __future__ import annotations

import os
from pathlib import Path

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

from parslflow import retries
from parslflow.sites import Site


def _executor(label: str, workers: int) -> HighThroughputExecutor:
    """Some worker processes here. Encrypted, since other users share the loopback interface."""
    return HighThroughputExecutor(
        label=label,
        address="127.0.0.1",
        loopback_address="127.0.0.1",
        max_workers_per_node=workers,
        cores_per_worker=1e-3,
        cpu_affinity="none",
        encrypted=True,
        # A worker or a block that was killed is missed within seconds, and started again.
        heartbeat_period=2,
        heartbeat_threshold=15,
        provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
    )


def site(run_dir: Path) -> Site:
    """A simulation, two trainings and two light stages or samplers at a time, and the store."""
    ranks = {
        # Ranks that share a core with others must give it up while they wait.
        "OMPI_MCA_mpi_yield_when_idle": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        # A halo's message goes at once; a longer one would first wait for its receiver's turn.
        "OMPI_MCA_btl_vader_eager_limit": "32768",
        # What a failed rank says stays a sentence.
        "OMPI_MCA_orte_execute_quiet": "1",
        "OMPI_MCA_hwloc_base_binding_policy": "none",
        "OMP_NUM_THREADS": "1",
    }
    if os.geteuid() == 0:
        ranks |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return Site(
        parsl=Config(
            executors=[
                _executor("simulation", 1),
                _executor("training", 2),
                _executor("sampling", 2),
                _executor("store", 1),
            ],
            run_dir=str(run_dir / "logs" / "parsl"),
            retries=retries.RETRIES,
            retry_handler=retries.cost,
            strategy="simple",
            strategy_period=1,
            usage_tracking=0,
            initialize_logging=True,
        ),
        launch=("mpiexec", "-n", "{ranks}"),
        environment=ranks,
        device="cpu",
        threads=1,
    )
