"""This machine, with every stage in the driver's own process: for a debugger."""

from __future__ import annotations

from pathlib import Path

from parsl.config import Config
from parsl.executors import ThreadPoolExecutor

from parslflow import sites
from parslflow.sites import EXECUTORS
from parslflow.sites import Choice
from parslflow.sites import Site


def site(run_dir: Path) -> Site:
    """One stage of each executor at a time, and two trainings."""
    local = sites.load(Choice("local"), run_dir)
    return Site(
        parsl=Config(
            executors=[
                ThreadPoolExecutor(label=label, max_threads=2 if label == "training" else 1)
                for label in EXECUTORS
            ],
            run_dir=str(run_dir / "logs" / "parsl"),
            strategy="none",
            usage_tracking=0,
        ),
        launch=local.launch,
        environment=local.environment,
        device=local.device,
        threads=local.threads,
    )
