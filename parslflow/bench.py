"""The benchmarks at a site: the same figures, measured where the sampler would run."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from parslflow.errors import ParslflowError
from parslflow.errors import UsageError
from parslflow.rundir import RunDir

if TYPE_CHECKING:
    from parslflow.sites import Choice

ROOT = Path(__file__).resolve().parents[1]
"""The folder with ``benchmarks/``."""

POLL_S = 0.2


def measure(names: Sequence[str], output: Path, log: Path) -> None:
    """Run the benchmarks in a process of their own, here.

    Args:
        names: What to measure; all if there is none.
        output: The JSON file of the figures.
        log: The file of the table.

    Raises:
        ParslflowError: They failed.
    """
    command = [sys.executable, "-m", "benchmarks", "--json", str(output), *names]
    with log.open("wb") as file:
        ended = subprocess.run(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
    if ended.returncode != 0:
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise ParslflowError(f"The benchmarks failed, see {log}: {''.join(last)}")


def at_site(names: Sequence[str], choice: Choice, runs: Path) -> Path:
    """Run the benchmarks on the site's executor ``sampling``, and print their table as it grows.

    Args:
        names: What to measure; all if there is none.
        choice: The site and its options.
        runs: The folder that the run directory is made in.

    Returns:
        The JSON file of the figures.

    Raises:
        UsageError: There are no benchmarks, or the site is wrong.
        ParslflowError: They failed.
    """
    import parsl

    from parslflow import apps
    from parslflow import sites

    if not (ROOT / "benchmarks" / "__main__.py").is_file():
        raise UsageError(
            f"{ROOT} has no folder 'benchmarks': run from a clone, installed with 'make build'."
        )
    run_dir = RunDir.new(runs, "bench")
    site = sites.load(choice, run_dir.root)
    run_dir.logs.mkdir(parents=True)
    output, log = run_dir.root / "benchmarks.json", run_dir.logs / "benchmarks.log"
    sites.prepare_process()
    with parsl.load(site.parsl):
        future = apps.bench(list(names), output, log)
        shown = 0
        while True:
            done = future.done()
            text = log.read_text(errors="replace") if log.exists() else ""
            print(text[shown:], end="", flush=True)
            shown = len(text)
            if done:
                break
            time.sleep(POLL_S)
        future.result()
    return output
