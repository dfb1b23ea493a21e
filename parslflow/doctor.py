"""Checks of a site before any allocation is burnt: each finding with its cure."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import parsl
from parsl.errors import ParslError

from parslflow import probe
from parslflow import sites
from parslflow.apps import Stages
from parslflow.apps import at
from parslflow.errors import ParslflowError
from parslflow.experiment import Experiment
from parslflow.finished import Finished
from parslflow.guard import guarding
from parslflow.rundir import RunDir
from parslflow.services import store
from parslflow.sites import EXECUTORS
from parslflow.sites import Site

T = TypeVar("T")

WRITTEN_MIB = 64
"""How much is written to see whether a quota allows it."""

ASKING = ("simulation", "sampling")
"""The executors whose work asks the store."""


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was looked at.
        found: what is there.
        cure: what to do about it; empty if all is well.
    """

    check: str
    found: str
    cure: str = ""


def examine(
    experiment: Experiment, site: Site, run: RunDir, executable: Path, patience: float
) -> Iterator[Finding]:
    """Check the site, and tell each finding as soon as it is known.

    Args:
        experiment: what shall run; its High case is run for a day.
        site: where.
        run: a run directory for the checks; it is made.
        executable: the simulation program.
        patience: how long to wait for an executor's first worker, s.
    """
    run.create()
    yield _disk(run.root)
    sites.prepare_process()
    token = os.urandom(8).hex()
    (run.root / "token").write_text(token, encoding="utf-8")
    stages = Stages(experiment, site, run, executable, run.root / "cache", Finished(run))
    # Not watched: of a site of which a part is broken the others are looked at too.
    with guarding(), parsl.load(site.parsl):
        devices = {"training": site.device, "store": site.device}
        looking = {
            label: at(label, probe.look)(run.root, devices.get(label, "")) for label in EXECUTORS
        }
        began = time.monotonic()
        answered = []
        for label, future in looking.items():
            left = max(0.0, patience - (time.monotonic() - began))
            place = _wait(future, left)
            if isinstance(place, str):
                yield Finding(
                    f"workers of '{label}'",
                    place,
                    f"see {run.logs / 'parsl'}; are account, queue and 'worker_init' of the site "
                    "right, is the queue slow (--patience), can a node reach this host?",
                )
                continue
            answered.append(label)
            yield Finding(f"workers of '{label}'", f"answered from {place['host']}")
            yield from _place(label, place, token, run.root)
        if "store" in answered:
            yield from _store(stages, run, [label for label in ASKING if label in answered])
        if "simulation" in answered:
            yield _launch(stages, experiment, site)


def _disk(root: Path) -> Finding:
    """Whether the run directory takes some data, which a quota may not allow."""
    check, path = "file system of the runs", root / "written"
    try:
        with path.open("wb") as file:
            for _ in range(WRITTEN_MIB):
                file.write(os.urandom(2**20))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        cure = "free some space, or give another folder by --runs"
        return Finding(check, f"{root} takes no {WRITTEN_MIB} MiB: {error.strerror}", cure)
    finally:
        path.unlink(missing_ok=True)
    return Finding(check, f"{shutil.disk_usage(root).free / 2**30:.0f} GiB free at {root}")


def _place(label: str, place: probe.Place, token: str, root: Path) -> Iterator[Finding]:
    """What is wrong where a worker runs, or that all is well."""
    mine = probe.versions()
    differing = [
        f"{name} {theirs or 'missing'} (here {mine[name] or 'missing'})"
        for name, theirs in place["versions"].items()
        if theirs != mine[name]
    ]
    check = f"software of '{label}'"
    if differing:
        cure = "start the driver's own environment in the site's 'worker_init'"
        yield Finding(check, ", ".join(differing), cure)
    else:
        yield Finding(check, "the driver's versions")
    check, cure = f"files of '{label}'", "put --runs on a file system that all nodes share"
    if place["token"] != token:
        yield Finding(check, f"{place['host']} does not see {root}", cure)
    elif not (root / f"seen-by-{place['host']}").exists():
        yield Finding(check, f"what {place['host']} writes is not seen here", cure)
    else:
        yield Finding(check, "shared with the driver")
    if place["device"]:
        cure = "mend the site's 'device', or ask the scheduler for one"
        yield Finding(f"device of '{label}'", place["device"], cure)


def _store(stages: Stages, run: RunDir, asking: list[str]) -> Iterator[Finding]:
    """Whether the store starts, and workers reach it."""
    cure = (
        "on several nodes the experiment needs [store] listen = 'network'; else see "
        f"{run.store / 'server.log'}"
    )
    try:
        with store(stages) as serving:
            serving.wait()
            for label in asking:
                future = at(label, probe.reach_store)(run.store / "address.json")
                problem = _wait(future, 60.0)
                found = problem or "answers"
                yield Finding(f"store from '{label}'", found, cure if problem else "")
    except (ParslflowError, ParslError) as error:
        yield Finding("store", " ".join(str(error).split()), cure)


def _launch(stages: Stages, experiment: Experiment, site: Site) -> Finding:
    """Whether the ranks of High start and end."""
    check = f"'{' '.join(site.launch)}' with {experiment.high.ranks} ranks"
    began = time.monotonic()
    try:
        stages.try_launch().result()
    except (ParslflowError, ParslError) as error:
        cure = "mend the site's 'launch' and 'environment', or build the program on this machine"
        return Finding(check, " ".join(str(error).split()), cure)
    return Finding(check, f"a day of High in {time.monotonic() - began:.1f} s")


def _wait(future: Future[T], seconds: float) -> T | str:
    """What comes, or in words why nothing did."""
    try:
        return future.result(timeout=seconds)
    except FutureTimeoutError:
        return f"no answer within {seconds:.0f} s"
    except Exception as error:  # whatever a worker raised, or Parsl
        return " ".join(str(error).split())
