"""The loop, undisturbed: on this machine, and through each scheduler that there is."""

from __future__ import annotations

import getpass
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .. import slurm as a_slurm
from .scheduler import INIT
from .scheduler import Scheduler
from .scheduler import said
from .scheduler import write_experiment
from .test_loop import SMALL
from .test_loop import Finished
from .test_loop import command
from .test_loop import git_state


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduler]:
    if reason := a_slurm.why_not():
        pytest.skip(reason)
    options = {
        "partition": "debug",
        "nodes": "2",
        "mpi": "pmix",
        "interface": "lo",
        "exclusive": "no",
        "walltime": "00:20:00",
        "worker_init": INIT,
    }
    with a_slurm.cluster(tmp_path_factory.mktemp("slurm")) as environment:
        scheduler = Scheduler("slurm", options, ("squeue", "--noheader"), environment)
        yield scheduler
        scheduler.end()


@pytest.fixture(scope="session")
def pbs() -> Iterator[Scheduler]:
    if shutil.which("qsub") is None:
        pytest.skip("no qsub: it needs a PBS")
    options = {"cpus_per_node": "2", "walltime": "00:20:00", "worker_init": INIT}
    jobs = ("qselect", "-u", getpass.getuser())
    scheduler = Scheduler("pbs", options, jobs, {})
    yield scheduler
    scheduler.end()


@pytest.fixture(scope="session")
def slurm_run(slurm: Scheduler, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _run(slurm, tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="session")
def pbs_run(pbs: Scheduler) -> Path:
    # The nodes have to see it.
    return _run(pbs, Path(tempfile.mkdtemp(prefix="parslflow-pbs-", dir=Path.home())))


def _run(scheduler: Scheduler, folder: Path) -> Path:
    write_experiment(folder)
    assert scheduler.start(folder, "run", "small.toml").wait(300) == 0, said(folder)
    [root] = (folder / "runs").glob("small-*")
    return root


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("user")
    for line in (
        "init -q -b science",
        "config user.name A",
        "config user.email a@example.org",
        "commit -q --allow-empty -m mine",
    ):
        subprocess.run(["git", *line.split()], cwd=folder, check=True, timeout=20)
    (folder / ".gitignore").write_text("runs/\n")
    before = git_state(folder)
    answer = command("run", SMALL, "--site", "local", folder=folder)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    (run,) = (folder / "runs").glob("small-*")
    summary = json.loads((run / "report" / "summary.json").read_text())
    return Finished(folder, run, answer.stdout, before, summary)
