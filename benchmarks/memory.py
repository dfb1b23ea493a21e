"""The sampler in a process of its own: peak memory, for few and for many times in the store."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.flow import Flow
from benchmarks.flow import live_store
from benchmarks.measure import Figure
from benchmarks.sampler import silent

FEW, MANY = 30, 300


def memory() -> Figure:
    """``sampler_memory``: 300 times that are already in the store against 30."""
    few, many = (peak(Flow(4, 6, times)) for times in (FEW, MANY))
    return Figure(many / few, "times the memory", many, few, 1)


def peak(flow: Flow) -> float:
    """MiB of the process that samples ``flow`` at its peak."""
    with live_store(memory_mb=4096) as (server, folder):
        flow.send(server)
        inputs = folder / "inputs.json"
        inputs.write_text(flow.inputs(server, folder).model_dump_json())
        command = [sys.executable, "-m", "benchmarks.memory", str(inputs)]
        ended = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(ended.stdout.split()[0])


def main(path: Path) -> None:
    """Sample, and print the peak of this process in MiB and the CPU seconds that it took."""
    from parslflow.sampling.sampler import SampleInputs
    from parslflow.sampling.sampler import sample

    began = time.process_time()
    sample(SampleInputs.model_validate_json(path.read_text()), silent)
    took = time.process_time() - began
    # Not getrusage, which knows the peak of the process that started this one, too.
    status = Path("/proc/self/status").read_text()
    [peak_kib] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    print(int(peak_kib) / 1024, took)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
