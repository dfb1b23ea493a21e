"""Starts a site's executors in Parsl, each when a task first needs it.

An executor is an interchange, and where its blocks are on this machine a pool and its workers: a
dozen processes that would keep the first simulation waiting if all started at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy

import parsl
from parsl.dataflow.dflow import DataFlowKernel
from parsl.executors import HighThroughputExecutor
from parsl.executors.base import ParslExecutor

from parslflow import sites
from parslflow.sites import Site
from parslflow.watch import bound_waiting

_ALONE = ("simulation", "store")
"""The executors that a run begins with; the others start together, when one of them is needed."""


@contextmanager
def loaded(site: Site) -> Iterator[DataFlowKernel]:
    """Parsl with the site's configuration, and so far the executor of the simulations alone."""
    config = copy(site.parsl)
    config._executors = (_eager(sites.executor(site, "simulation")),)
    with parsl.load(config) as kernel:
        yield kernel


def start(site: Site, label: str) -> None:
    """See that the executor ``label`` is started."""
    kernel = parsl.dfk()
    labels = [label] if label in _ALONE else [one for one in sites.EXECUTORS if one not in _ALONE]
    missing = [sites.executor(site, one) for one in labels if one not in kernel.executors]
    if not missing:
        return
    kernel.add_executors([_eager(executor) for executor in missing])
    for executor in missing:
        bound_waiting(executor)


def _eager(executor: ParslExecutor) -> ParslExecutor:
    """The executor, which asks for its first blocks when it starts: Parsl looks a second later."""
    if not isinstance(executor, HighThroughputExecutor) or executor.provider is None:
        return executor
    blocks, executor.provider.init_blocks = executor.provider.init_blocks, 0
    initialise = executor.initialize_scaling

    def initialise_and_begin() -> None:
        initialise()  # type: ignore[no-untyped-call]
        executor.scale_out_facade(blocks)

    executor.initialize_scaling = initialise_and_begin  # type: ignore[method-assign]
    return executor
