"""What a C program pays to log a row of metrics: time of a call, and memory."""

from __future__ import annotations

import statistics
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.client import PROGRAMS
from benchmarks.client import ROOT
from benchmarks.client import Program
from benchmarks.measure import Figure

ROWS = 20_000
"""As many as a run of seven years with 8 rows a day."""
RUNS = 11


def median() -> Figure:
    """A call with three values: typed, or as text by CMF's own function, whichever takes longer."""
    ours = max(_call(kind)[0] for kind in ("typed", "text"))
    return Figure(ours * 1e6, "µs", ours, 0.0, RUNS)


def tail() -> Figure:
    """The 99.9th percentile of such calls, one after the other."""
    ours = max(_call(kind)[1] for kind in ("typed", "text"))
    return Figure(ours * 1e6, "µs", ours, 0.0, RUNS)


def memory() -> Figure:
    """Resident memory of a process that has logged, less that of one that has not."""
    ours, against = (_resident(rows) for rows in (ROWS, 0))
    return Figure(ours - against, "MiB more", ours, against, 1)


def _call(kind: str) -> tuple[float, float]:
    """Median and 99.9th percentile in seconds, each the median of the runs."""
    with TemporaryDirectory() as folder, _start(Path(folder), kind) as program:
        runs = []
        for _ in range(RUNS + 1):
            program.begin(ROWS)
            runs.append(program.end())
    middles, tails = zip(*runs[1:], strict=True)
    return statistics.median(middles), statistics.median(tails)


def _resident(rows: int) -> float:
    """MiB that a program holds when it has logged so many rows."""
    with TemporaryDirectory() as folder, _start(Path(folder), "typed") as program:
        # A later empty line gives back what the times of the calls took.
        for count in (rows, 0):
            program.begin(count)
            program.end()
        sizes = Path(f"/proc/{program.pid}/smaps_rollup").read_text().splitlines()
    [kib] = [line.split()[1] for line in sizes if line.startswith("Rss:")]
    return int(kib) / 1024


def _start(folder: Path, kind: str) -> Program:
    """The program ``programs/log_metric.c``, built and started in ``folder``.

    Raises:
        CalledProcessError: It cannot be compiled.
    """
    source = ROOT / "fortran" / "cmf"
    make = ["make", "-s", "-C", str(source), f"BUILD={folder}"]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
    program = folder / "log_metric"
    compiler = ["gcc", "-O2", "-std=c11", "-D_DEFAULT_SOURCE", "-I", str(source)]
    linked = ["-L", str(folder), "-lparslflow_cmf", "-pthread"]
    command = [*compiler, str(PROGRAMS / "log_metric.c"), "-o", str(program), *linked]
    subprocess.run(command, check=True)
    return Program([str(program), str(folder / "mlmd"), kind], {"PARSLFLOW_JOURNAL": ""})
