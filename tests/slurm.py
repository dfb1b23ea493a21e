"""A real Slurm of five nodes on this machine: munge, slurmctld and five slurmd."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "sinfo")

NODES = range(1, 6)
"""The last one is drained: nothing starts in its partition."""

START_SECONDS = 60.0

CONFIGURATION = """
ClusterName=parslflow
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
MpiDefault=pmi2
ReturnToService=2
SlurmdParameters=config_overrides
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
TmpFS={folder}/tmp.%n
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdLogFile={folder}/slurmd.%n.log
KillWait=5
{nodes}
PartitionName=debug Nodes=node[1-4] Default=YES State=UP MaxTime=60
PartitionName=drained Nodes=node5 State=UP MaxTime=60
"""


def why_not() -> str:
    """What is missing for a Slurm here, or nothing."""
    missing = [name for name in PROGRAMS if program(name) is None]
    if missing:
        return f"no {missing[0]}: apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "slurmd needs root"


def program(name: str) -> str | None:
    """The path of one of Slurm's programs, which are not on every user's PATH."""
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"]))


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the environment that reaches a Slurm whose nodes have four cores each."""
    host = socket.gethostname().partition(".")[0]
    ports = _free_ports(len(NODES) + 1)
    for name in ("state", *(f"{kind}.node{n}" for kind in ("tmp", "spool") for n in NODES)):
        (folder / name).mkdir(parents=True)
    nodes = "\n".join(
        f"NodeName=node{n} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[n]} CPUs=4 "
        "RealMemory=4000"
        for n in NODES
    )
    text = CONFIGURATION.format(host=host, folder=folder, ports=ports, nodes=nodes)
    (folder / "slurm.conf").write_text(text)
    environment = {"SLURM_CONF": str(folder / "slurm.conf")}
    daemons: list[subprocess.Popen[bytes]] = []

    def start(name: str, *arguments: str) -> None:
        path = program(name)
        assert path is not None
        with (folder / f"{name}.out").open("ab") as output:
            daemons.append(
                subprocess.Popen(
                    [path, *arguments],
                    env=os.environ | environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            )

    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    try:
        start(
            "munged",
            "--foreground",
            "--force",
            f"--key-file={key}",
            f"--socket={folder}/munge.socket",
            f"--pid-file={folder}/munged.pid",
            f"--log-file={folder}/munged.log",
            f"--seed-file={folder}/munged.seed",
        )
        _wait(lambda: (folder / "munge.socket").exists(), folder)
        start("slurmctld", "-D")
        for n in NODES:
            start("slurmd", "-D", "-N", f"node{n}")
        _wait(lambda: _idle(environment) == len(NODES), folder)
        drain = ["scontrol", "update", f"NodeName=node{NODES[-1]}", "State=DRAIN", "Reason=test"]
        subprocess.run(drain, env=os.environ | environment, check=True, timeout=30)
        yield environment
    finally:
        # Each needs those before it to end well.
        for daemon in reversed(daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _idle(environment: dict[str, str]) -> int:
    """How many nodes wait for work."""
    answer = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--states=idle", "--format=%N"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return len(answer.stdout.split())


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _wait(ready: Callable[[], bool], folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            logs = [path.read_text(errors="replace")[-2000:] for path in folder.glob("*.out")]
            raise AssertionError("\n".join(["Slurm did not start", *logs]))
        time.sleep(0.1)
