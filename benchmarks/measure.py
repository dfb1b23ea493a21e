"""How a figure is measured: both sides in turn, in one run, the median of each."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Work = Callable[[], object]


@dataclass(frozen=True)
class Figure:
    """A ratio or an amount that was measured.

    Attributes:
        figure: The ratio: against / ours for throughput, ours / against for time and memory; or
            the amount, in its unit.
        unit: What it is a ratio or an amount of.
        ours: Median of ours, in seconds or MiB.
        against: Median of the other side; 0 if there is none.
        runs: How many times each side was measured.
    """

    figure: float
    unit: Literal[
        "times the throughput",
        "times the time",
        "times the memory",
        "µs",
        "s",
        "s a model day",
        "MiB more",
        "lost or doubled",
    ]
    ours: float
    against: float
    runs: int


SHORTEST_S = 0.02
"""Work that takes less is repeated until one measurement takes so long."""


def seconds(work: Work, repeats: int = 1) -> float:
    """How long ``work`` takes, on average over ``repeats``."""
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats


def medians(
    ours: Work, against: Work, runs: int, before: Work | None = None
) -> tuple[float, float]:
    """The median time of each, measured in turn so that both see the same machine.

    Args:
        ours: Our work.
        against: The other side's.
        runs: How many times each is measured.
        before: What is done before each, unmeasured; the work is then not repeated.
    """
    repeats = []
    for work in (ours, against):
        if before is not None:
            before()
        work()  # once unmeasured: memory, caches, threads
        repeats.append(1 if before else max(1, round(SHORTEST_S / seconds(work))))
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for side, work in enumerate((ours, against)):
            if before is not None:
                before()
            times[side].append(seconds(work, repeats[side]))
    return statistics.median(times[0]), statistics.median(times[1])


def throughput(ours: Work, against: Work, runs: int, before: Work | None = None) -> Figure:
    """How many times as much ours does in the same time; see ``medians``."""
    our_time, their_time = medians(ours, against, runs, before)
    return Figure(their_time / our_time, "times the throughput", our_time, their_time, runs)


def duration(ours: Work, against: Work, runs: int, before: Work | None = None) -> Figure:
    """How many times as long ours takes; see ``medians``."""
    our_time, their_time = medians(ours, against, runs, before)
    return Figure(our_time / their_time, "times the time", our_time, their_time, runs)
