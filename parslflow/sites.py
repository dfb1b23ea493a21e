"""A site: where the stages run. One Python file a machine, with one function ``site(run_dir)``."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from parsl.config import Config
from parsl.executors import HighThroughputExecutor

from parslflow.errors import UsageError

EXECUTORS = ("simulation", "training", "sampling", "store")
"""The labels of the Parsl executors that every site has."""

FOLDER = Path(__file__).resolve().parents[1] / "configs" / "sites"


@dataclass(frozen=True)
class Site:
    """Parsl's configuration of a machine, and the machine's own commands beside it."""

    parsl: Config
    """Executors labelled as in ``EXECUTORS``."""
    launch: tuple[str, ...]
    """How an MPI program starts; ``{ranks}`` stands for the number of ranks."""
    environment: dict[str, str] = field(default_factory=dict)
    """Environment variables of the simulations."""
    device: str = "cpu"
    """Where networks are trained and run, as torch names it."""
    threads: int = 1
    """Threads of one training, and of the sampler's work on a time."""


def find(name: str) -> Path:
    """The file of the site ``name``: a known name, or a path to a file of one's own.

    Raises:
        UsageError: there is no such site.
    """
    path = Path(name) if name.endswith(".py") else FOLDER / f"{name}.py"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.py")))
        raise UsageError(f"--site {name}: no such site; choose from {known}, or give a .py file.")
    return path


def load(name: str, run_dir: Path) -> Site:
    """Build the site ``name`` for the run in ``run_dir``.

    A Parsl configuration serves one run, so each call builds a new one.

    Raises:
        UsageError: the file has no function ``site``, or what it returns is not a whole ``Site``.
    """
    path = find(name)
    spec = importlib.util.spec_from_file_location(f"parslflow_site_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"--site {name}: {path} cannot be loaded as a Python file.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    build: Callable[[Path], Site] | None = getattr(module, "site", None)
    if build is None:
        raise UsageError(f"{path}: add a function site(run_dir) that returns a Site.")
    site = build(run_dir)
    if not isinstance(site, Site):
        raise UsageError(f"{path}: site() returned {type(site).__name__}: return a Site.")
    labels = {executor.label for executor in site.parsl.executors}
    missing = [label for label in EXECUTORS if label not in labels]
    if missing:
        raise UsageError(f"{path}: no executor is labelled '{missing[0]}': add one.")
    return site


def demand_workers(name: str, site: Site, label: str, count: int) -> None:
    """See that an executor can run so many stages at once, as far as Parsl says.

    Raises:
        UsageError: it cannot, and stages that need one another would wait for ever.
    """
    [executor] = [executor for executor in site.parsl.executors if executor.label == label]
    if not isinstance(executor, HighThroughputExecutor) or executor.provider is None:
        return
    nodes = executor.provider.nodes_per_block * executor.provider.max_blocks
    workers = executor.max_workers_per_node * nodes
    if workers < count:
        raise UsageError(
            f"--site {name}: the executor '{label}' has {workers} workers where {count} are needed "
            "at once: give it more, or ask for fewer in the experiment."
        )


def prepare_process() -> None:
    """Make this process one that Parsl can be loaded in."""
    # Parsl has a log of its own in the run directory; the terminal is for the run's progress.
    logging.getLogger("parsl").propagate = False
    # Parsl's interchange and workers, DVC and pip are started by name.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.prefix) / "bin"), os.environ["PATH"]])
