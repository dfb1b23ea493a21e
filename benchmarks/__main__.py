"""``python -m benchmarks [--json FILE] [NAME…]``: measure the hot paths, and print a table."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from benchmarks import inference
from benchmarks import membership
from benchmarks import memory
from benchmarks import metrics
from benchmarks import model
from benchmarks import overhead
from benchmarks import provenance
from benchmarks import sampler
from benchmarks import smoothing
from benchmarks import store
from benchmarks import stream
from benchmarks import tiles
from benchmarks.measure import Figure
from parslflow.rundir import atomic_path


@dataclass(frozen=True)
class Benchmark:
    """A figure to measure.

    Attributes:
        measure: Measures it.
        bound: "at least" or "at most".
        wanted: The bound's value.
    """

    measure: Callable[[], Figure]
    bound: Literal["at least", "at most"]
    wanted: float


BENCHMARKS = {
    "tiles_24": Benchmark(lambda: tiles.assembled(24), "at least", 5),
    "tiles_256": Benchmark(lambda: tiles.assembled(256), "at least", 8),
    "tiles_19200": Benchmark(lambda: tiles.assembled(19200), "at least", 30),
    "tiles_copy": Benchmark(tiles.copy, "at least", 0.6),
    "smoothing": Benchmark(smoothing.smoothing, "at least", 12),
    "smoothing_threads": Benchmark(smoothing.threads, "at least", 1.7),
    "membership": Benchmark(membership.membership, "at least", 8),
    "membership_threads": Benchmark(membership.threads, "at least", 1.7),
    "sampler": Benchmark(lambda: sampler.against_reference(24), "at least", 8),
    "sampler_transport": Benchmark(sampler.transport, "at most", 2),
    "sampler_256": Benchmark(lambda: sampler.against_reference(256), "at least", 8),
    "sampler_memory": Benchmark(memory.memory, "at most", 1.5),
    "store_put_get": Benchmark(store.put_get, "at most", 1.15),
    "store_stream": Benchmark(stream.stream, "at least", 2),
    "inference_store": Benchmark(inference.in_store, "at most", 1.5),
    "inference_in_process": Benchmark(inference.in_process, "at most", 1.1),
    "inference_ranks": Benchmark(lambda: inference.of_ranks(1200), "at least", 1.3),
    "inference_ranks_16": Benchmark(lambda: inference.of_ranks(16), "at least", 1.3),
    "phillips_240": Benchmark(lambda: model.day(240), "at most", 3.5),
    "phillips_120": Benchmark(lambda: model.day(120), "at most", 0.3),
    "phillips_24_ranks": Benchmark(model.scaling, "at most", 1.3),
    "phillips_memory": Benchmark(model.memory, "at least", 1),
    "phillips_in_process": Benchmark(model.in_process, "at most", 0.5),
    "phillips_in_store": Benchmark(model.in_store, "at most", 1),
    "log_metric_c": Benchmark(metrics.median, "at most", 2),
    "log_metric_c_tail": Benchmark(metrics.tail, "at most", 20),
    "log_metric_memory": Benchmark(metrics.memory, "at most", 2),
    "provenance_overhead": Benchmark(overhead.overhead, "at most", 1.02),
    "driver_overhead": Benchmark(overhead.between_stages, "at most", 1.03),
    "cmf_artifact": Benchmark(provenance.artifact, "at least", 10),
    "cmf_growth": Benchmark(provenance.growth, "at most", 1.5),
    "status_1000": Benchmark(provenance.status, "at most", 1),
    "writers": Benchmark(provenance.writers, "at most", 0),
}
"""Every benchmark by its name."""

HEAD = f"{'name':<20}{'figure':>8}  {'wanted':<13}{'ours':>11}{'against':>11}{'runs':>6}  unit"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to measure (default: all)")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        print(
            f"benchmarks: there is no '{unknown[0]}': choose from {', '.join(BENCHMARKS)}.",
            file=sys.stderr,
        )
        return 2
    began = time.monotonic()
    figures = {}
    print(HEAD, flush=True)
    for name in options.names or BENCHMARKS:
        figures[name] = BENCHMARKS[name].measure() if len(options.names) == 1 else alone(name)
        print(row(name, figures[name], BENCHMARKS[name]), flush=True)
    print(f"{time.monotonic() - began:.0f} s in all; figures are medians.")
    if options.json is not None:
        with atomic_path(options.json) as temporary:
            temporary.write_text(
                json.dumps({name: asdict(figure) for name, figure in figures.items()}, indent=2)
            )
    return 0


def alone(name: str) -> Figure:
    """Measure in a process of its own, where nothing is left of the others: memory, threads."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "figure.json"
        command = [sys.executable, "-m", "benchmarks", "--json", str(file), name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return Figure(**json.loads(file.read_text())[name])


def row(name: str, figure: Figure, benchmark: Benchmark) -> str:
    """A figure as a line of the table."""
    wanted = f"{benchmark.bound} {benchmark.wanted:g}"
    sides = "".join(f"{amount(value, figure):>11}" for value in (figure.ours, figure.against))
    return f"{name:<20}{figure.figure:>8.2f}  {wanted:<13}{sides}{figure.runs:>6}  {figure.unit}"


def amount(value: float, figure: Figure) -> str:
    """A side's value with its unit."""
    if figure.unit == "times the memory":
        return f"{value:.0f} MiB"
    if figure.unit == "MiB more":
        return f"{value:.2f} MiB"
    if figure.unit == "µs":
        return f"{value * 1e6:.2f} µs"
    return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"


if __name__ == "__main__":
    sys.exit(main())
