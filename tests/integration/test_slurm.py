"""The whole loop through a real Slurm: ranks by srun on two nodes, everything in blocks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import pytest
import tomlkit

from .. import slurm
from .test_loop import SMALL

pytestmark = [
    pytest.mark.timeout(500),
    pytest.mark.skipif(bool(slurm.why_not()), reason=slurm.why_not() or "Slurm is here"),
]


@dataclass
class Cluster:
    """A Slurm, and a folder with an experiment and a site's options for it."""

    folder: Path
    logs: Path
    environment: dict[str, str]

    def parslflow(
        self, *arguments: str, partition: str = "debug"
    ) -> subprocess.CompletedProcess[str]:
        init = [
            f"export PATH={Path(sys.executable).parent}:$PATH",
            # Its nodes are one machine, whose shared memory Open MPI must not use between them.
            "export OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo",
            "export OMPI_MCA_mpi_yield_when_idle=1",
        ]
        options = {
            "partition": partition,
            "nodes": "2",
            "mpi": "pmix",
            "interface": "lo",
            "exclusive": "no",
            "walltime": "00:20:00",
            "worker_init": "\n".join(init),
        }
        words = [f"--site-option={name}={value}" for name, value in options.items()]
        return subprocess.run(
            [sys.executable, "-m", "parslflow", *arguments, "--site", "slurm", *words],
            cwd=self.folder,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    def jobs(self) -> str:
        """The jobs that Slurm has."""
        answer = subprocess.run(
            ["squeue", "--noheader"],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return answer.stdout


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder, logs = (tmp_path_factory.mktemp(name) for name in ("user", "slurm"))
    experiment = tomlkit.parse(SMALL.read_text())
    # On a cluster the ranks, the sampler and the store are on nodes of their own.
    experiment["store"]["listen"] = "network"
    (folder / "small.toml").write_text(tomlkit.dumps(experiment))
    with slurm.cluster(logs) as environment:
        yield Cluster(folder, logs, environment)


@pytest.fixture(scope="module")
def run(cluster: Cluster) -> Path:
    answer = cluster.parslflow("run", "small.toml")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "Chosen model" in answer.stdout
    [root] = (cluster.folder / "runs").glob("small-*")
    return root


def test_the_loop_ends_with_all_samples(run: Path) -> None:
    summary = json.loads((run / "report" / "summary.json").read_text())
    assert summary["problem"] == ""
    assert [row["iteration"] for row in summary["iterations"]] == [0, 1]
    with h5py.File(run / "samples" / "batch-1.h5") as batch:
        assert batch.attrs["times"] == 3


def test_every_executor_had_blocks_of_its_own(run: Path) -> None:
    scripts = [path.name for path in run.glob("logs/parsl/000/submit_scripts/*")]
    for label in ("simulation", "training", "sampling", "store"):
        assert any(name.startswith(f"parsl.{label}.block-") for name in scripts)


def test_ranks_started_on_two_nodes(run: Path, cluster: Cluster) -> None:
    # A block's script is one step, srun makes others of it.
    for node in ("node1", "node2"):
        log = (cluster.logs / f"slurmd.{node}.log").read_text()
        assert log.count("launch task StepId=") >= 7, "spin-ups, base, generate, low and low"


def test_no_job_is_left(run: Path, cluster: Cluster) -> None:
    assert run.exists()
    assert cluster.jobs() == ""


def test_a_run_that_is_done_is_resumed_at_its_site(run: Path, cluster: Cluster) -> None:
    environment = json.loads((run / "environment.json").read_text())
    assert environment["site"] == "slurm"
    assert environment["site_options"]["nodes"] == "2"
    answer = subprocess.run(
        [sys.executable, "-m", "parslflow", "resume", run],
        env=os.environ | cluster.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "deploy-" in answer.stdout
    assert "spinup-high  started" not in answer.stdout


def test_a_partition_that_does_not_exist_is_told(cluster: Cluster) -> None:
    answer = cluster.parslflow("doctor", "small.toml", partition="debgu")
    assert answer.returncode == 1
    assert "debgu" in answer.stdout + answer.stderr
