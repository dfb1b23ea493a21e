"""A site: where the stages run. One Python file a machine, with one function ``site``."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.executors import ThreadPoolExecutor
from parsl.executors.base import ParslExecutor
from parsl.executors.status_handling import BlockProviderExecutor

from parslflow import pool
from parslflow.errors import UsageError
from parslflow.records import Value

EXECUTORS = ("simulation", "training", "sampling", "store")
"""The labels of the Parsl executors that every site has."""

ENTRY_POINTS = "parslflow.sites"
"""The group of entry points by which a package adds sites: a name and a function."""

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


SiteFunction = Callable[..., Site]
"""Takes the run directory, and options by name whose types are annotated."""

# It has the driver's terminal, where no log that cannot be written is to be told line by line.
_INTERCHANGE = """
import logging, runpy, shutil
logging.raiseExceptions = False
runpy.run_path(shutil.which("interchange.py"), run_name="__main__")
"""

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_WORDS = {int: "whole number", float: "number", bool: "true or false", str: "text"}


@dataclass(frozen=True)
class Choice:
    """A site and what its function is told."""

    name: str
    """A known name, or the path of a file of one's own."""
    options: dict[str, str] = field(default_factory=dict)
    """Values of the function's parameters, as they were written."""


def known() -> dict[str, SiteFunction]:
    """All sites by name: those that come with parslflow, and those of entry points.

    Raises:
        UsageError: an entry point cannot be loaded.
    """
    found = {path.stem: _function(path) for path in sorted(FOLDER.glob("*.py"))}
    for point in entry_points(group=ENTRY_POINTS):
        try:
            found[point.name] = point.load()
        except (ImportError, AttributeError) as error:
            raise UsageError(
                f"the site '{point.name}' ({point.value}) cannot be loaded ({error}): mend or "
                "remove its package."
            ) from None
    return found


def find(name: str) -> SiteFunction:
    """The function of the site ``name``: a known name, or a path to a file of one's own.

    Raises:
        UsageError: there is no such site, or its file has no function.
    """
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise UsageError(f"--site {name}: there is no such file.")
        return _function(Path(name))
    found = known()
    if name not in found:
        raise UsageError(
            f"--site {name}: no such site; choose from {', '.join(found)}, or give a .py file."
        )
    return found[name]


def options(function: SiteFunction) -> dict[str, inspect.Parameter]:
    """The parameters of a site's function after the run directory, with their types."""
    parameters = inspect.signature(function, eval_str=True).parameters
    return dict(list(parameters.items())[1:])


def load(choice: Choice, run_dir: Path) -> Site:
    """Build the site for the run in ``run_dir``.

    A Parsl configuration serves one run, so each call builds a new one.

    Raises:
        UsageError: the file has no function ``site``, an option is wrong or missing, or what the
            function returns is not a whole ``Site``.
    """
    function = find(choice.name)
    site = function(run_dir, **_arguments(choice, function))
    where = f"--site {choice.name}"
    if not isinstance(site, Site):
        raise UsageError(f"{where}: site() returned {type(site).__name__}: return a Site.")
    labels = {executor.label for executor in site.parsl.executors}
    missing = [label for label in EXECUTORS if label not in labels]
    if missing:
        raise UsageError(f"{where}: no executor is labelled '{missing[0]}': add one.")
    for executor in site.parsl.executors:
        if isinstance(executor, HighThroughputExecutor):
            executor.interchange_launch_cmd = [sys.executable, "-c", _INTERCHANGE]
            executor.launch_cmd = executor.launch_cmd.replace(pool.SCRIPT, "parslflow-workers", 1)
    return site


def _function(path: Path) -> SiteFunction:
    """The function in a site's file."""
    spec = importlib.util.spec_from_file_location(f"parslflow_site_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"--site {path}: it cannot be loaded as a Python file.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path} fails ({type(error).__name__}: {error}): mend it.") from error
    function: SiteFunction | None = getattr(module, "site", None)
    if function is None:
        raise UsageError(f"{path}: add a function site(run_dir) that returns a Site.")
    if function.__doc__ is None:
        function.__doc__ = module.__doc__
    return function


def _arguments(choice: Choice, function: SiteFunction) -> dict[str, Value]:
    """The options of a choice as the function's parameters take them."""
    where, there = f"--site {choice.name}", options(function)
    for name in choice.options:
        if name not in there:
            close = get_close_matches(name, there, n=1)
            cure = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(there)}."
            raise UsageError(f"{where}: there is no option '{name}': {cure if there else 'none.'}")
    for name, parameter in there.items():
        if parameter.default is inspect.Parameter.empty and name not in choice.options:
            raise UsageError(f"{where}: give --site-option {name}=…, which this site needs.")
    arguments: dict[str, Value] = {}
    for name, text in choice.options.items():
        kind = there[name].annotation
        try:
            arguments[name] = _BOOLEANS[text.lower()] if kind is bool else kind(text)
        except (KeyError, ValueError):
            raise UsageError(
                f"{where}: --site-option {name}={text} is no {_WORDS.get(kind, kind.__name__)}."
            ) from None
    return arguments


def simulations(site: Site) -> int:
    """How many simulations run at once: one in each block of the site, or in each thread."""
    found = executor(site, "simulation")
    if isinstance(found, ThreadPoolExecutor):
        return found.max_threads or 1
    if isinstance(found, BlockProviderExecutor) and found.provider is not None:
        return found.provider.max_blocks
    return 1


def demand_samplers(name: str, site: Site, count: int) -> None:
    """See that so many samplers can run at once, as far as Parsl says.

    Raises:
        UsageError: they cannot, and simulations would wait for them for ever.
    """
    found = executor(site, "sampling")
    if not isinstance(found, HighThroughputExecutor) or found.provider is None:
        return
    nodes = found.provider.nodes_per_block * found.provider.max_blocks
    workers = found.max_workers_per_node * nodes
    if workers < count:
        raise UsageError(
            f"--site {name}: the executor 'sampling' has {workers} workers where {count} samplers "
            "run at once: give it more, or lower sampling.samplers in the experiment."
        )


def executor(site: Site, label: str) -> ParslExecutor:
    """The site's executor with this label."""
    return next(one for one in site.parsl.executors if one.label == label)


def prepare_process() -> None:
    """Make this process one that Parsl can be loaded in."""
    # Parsl has a log of its own in the run directory; the terminal is for the run's progress.
    logging.getLogger("parsl").propagate = False
    # Where its log cannot be written, as on a full disk, other writers say so.
    logging.raiseExceptions = False
    # Parsl's interchange and workers, DVC and pip are started by name.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.prefix) / "bin"), os.environ["PATH"]])
