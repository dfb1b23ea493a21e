"""A batch scheduler that tests submit to, and the loop through it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

import tomlkit

from .test_loop import SMALL

INIT = f"""export PATH={Path(sys.executable).parent}:$PATH
# Nodes may be one machine, whose shared memory Open MPI must not use between them.
export OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo
export OMPI_MCA_mpi_yield_when_idle=1"""


@dataclass(frozen=True)
class Scheduler:
    """A scheduler, and how parslflow and a user reach it."""

    site: str
    options: dict[str, str]
    list_jobs: tuple[str, ...]
    """What prints a line for each job, and nothing else."""
    environment: dict[str, str]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self, folder: Path, *arguments: str | Path, **options: str
    ) -> subprocess.Popen[bytes]:
        """Start a command of parslflow in ``folder``, which gets its output as files."""
        words = [f"--site-option={key}={value}" for key, value in (self.options | options).items()]
        site = [] if arguments[0] == "resume" else ["--site", self.site, *words]
        with (folder / "stdout").open("ab") as output, (folder / "stderr").open("ab") as errors:
            command = subprocess.Popen(
                [sys.executable, "-m", "parslflow", *map(str, arguments), *site],
                cwd=folder,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )
        self.started.append(command)
        return command

    def end(self) -> None:
        """End the commands that a failed test left."""
        for command in self.started:
            command.terminate()
        for command in self.started:
            command.wait(60)

    def ask(self, *command: str) -> str:
        """What one of the scheduler's commands answers."""
        return subprocess.run(
            command,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout

    def jobs(self) -> str:
        """The jobs that there are."""
        return self.ask(*self.list_jobs)


def write_experiment(folder: Path, days: int = 60) -> None:
    """The small loop, with times long enough to be cut off: High generates so many days."""
    experiment = tomlkit.parse(SMALL.read_text())
    experiment["high"]["generate_days"] = days
    experiment["training"]["control_seeds"] = 0
    for part in ("first", "again"):
        experiment["training"][part]["epochs"] = 40
    # On a cluster the ranks, the sampler and the store are on nodes of their own.
    experiment["store"]["listen"] = "network"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.toml").write_text(tomlkit.dumps(experiment))


def said(folder: Path) -> str:
    """All output of the commands that were started in a folder."""
    return "".join((folder / name).read_text() for name in ("stdout", "stderr"))
