"""What an artifact costs in CMF, how that grows, and whether any is lost when many log at once."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import Figure
from parslflow.provenance import events
from parslflow.provenance.graph import read
from parslflow.provenance.repository import enter
from parslflow.provenance.settings import ProvenanceSettings
from parslflow.provenance.writer import Writer

DEMO = Path(__file__).resolve().parents[1] / "configs" / "experiments" / "demo.toml"
MIB = 1 << 20
FLUSH_SECONDS = 900.0


def artifact() -> Figure:
    """``cmf_artifact``: data sets of 1 MiB from the journal into CMF, against cmflib's own call.

    Ours are 200, with the start and the end of the process. cmflib's are the first 10 of as many,
    each of which takes longer than the one before.
    """
    ours, against = [], []
    for _ in range(3):
        with _run() as root:
            _journal(root, "all", 200, MIB)
            began = time.perf_counter()
            with Writer(root):
                pass
            ours.append((time.perf_counter() - began) / 200)
            assert len(read(root).artifacts) == 200
        with _run() as root:
            command = [sys.executable, "-m", "benchmarks.provenance", str(root), "10"]
            ended = subprocess.run(command, check=True, capture_output=True, text=True)
            against.append(float(ended.stdout.splitlines()[-1]))
    mine, theirs = statistics.median(ours), statistics.median(against)
    return Figure(theirs / mine, "times the throughput", mine, theirs, len(ours))


def growth() -> Figure:
    """``cmf_growth``: an artifact of 1 KiB when there are 5,000, against when there are 50."""
    with _run() as root, Writer(root) as writer:

        def seconds(name: str, count: int) -> float:
            _journal(root, name, count, 1024)
            began = time.perf_counter()
            writer.flush(FLUSH_SECONDS)
            return (time.perf_counter() - began) / count

        seconds("first", 50)
        few = [seconds(f"few-{number}", 50) for number in range(7)]
        seconds("filling", 4600)
        many = [seconds(f"many-{number}", 50) for number in range(7)]
    ours, against = statistics.median(many), statistics.median(few)
    return Figure(ours / against, "times the time", ours, against, len(many))


def writers(processes: int = 8, artifacts: int = 100, rows: int = 10_000) -> Figure:
    """``writers``: what is lost or doubled in CMF when processes log all at once.

    Each logs an execution with so many artifacts, and so many rows of metrics.
    """
    began = time.perf_counter()
    with _run() as root:
        code = f"""
from pathlib import Path
from benchmarks.provenance import log_execution
import sys
log_execution(Path({str(root)!r}), sys.argv[1], {artifacts}, {rows})
"""
        with Writer(root):
            running = [
                subprocess.Popen([sys.executable, "-c", code, f"process-{number}"])
                for number in range(processes)
            ]
            assert [process.wait() for process in running] == [0] * processes
        wrong = _wrong(root, processes, artifacts, rows)
    return Figure(wrong, "lost or doubled", time.perf_counter() - began, 0.0, 1)


def log_execution(root: Path, name: str, artifacts: int, rows: int) -> None:
    """Log one execution of a process among many: its files, and between them its metrics."""
    with events.execution(root / "journal", pipeline="p", context="c", name=name) as run:
        for number in range(artifacts):
            _produce(run, root, name, number, 1024)
            for row in range(rows * number // artifacts, rows * (number + 1) // artifacts):
                run.metric("rows", {"row": row, "value": row / 7})


def status() -> Figure:
    """``status_1000``: where a run of 1,000 executions stands, the start of Python included."""
    seconds = []
    with _run() as root:
        shutil.copy(DEMO, root / "experiment.toml")
        for number in range(1000):
            name = f"train-EKE-ResNet-{number}"
            with events.execution(
                root / "journal", pipeline="p", context="train", name=name
            ) as run:
                for epoch in range(100):
                    run.metric("epoch", {"epoch": epoch, "train_loss": 0.5})
                run.result({"test_loss": 0.5})
        for _ in range(7):
            began = time.perf_counter()
            command = [sys.executable, "-m", "parslflow", "status", str(root)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - began)
    return Figure(statistics.median(seconds), "s", statistics.median(seconds), 0.0, len(seconds))


def _wrong(root: Path, processes: int, artifacts: int, rows: int) -> int:
    """How many artifacts, links and rows CMF has too few and too many of."""
    import pandas  # type: ignore[import-untyped]

    graph = read(root)
    edges = Counter((source, target) for source in graph.after for target in graph.after[source])
    wrong = abs(len(graph.executions) - processes)
    wrong += abs(len({one.sha256 for one in graph.artifacts.values()}) - processes * artifacts)
    wrong += abs(len(graph.artifacts) - processes * artifacts)
    wrong += abs(len(edges) - processes * artifacts) + sum(edges.values()) - len(edges)
    tables = list((root / "provenance" / "cmf").glob("cmf_artifacts/*/metrics/rows"))
    wrong += rows * abs(len(tables) - processes)
    for path in tables:
        found = Counter(pandas.read_parquet(path)["row"])
        wrong += sum(abs(found[row] - 1) for row in range(rows)) + (found.total() > rows)
    return wrong


def _produce(run: events.Execution, root: Path, name: str, number: int, size: int) -> None:
    path = root / "data" / f"{name}-{number}"
    path.write_bytes(os.urandom(size))
    run.produced(path, kind="dataset", properties={"number": number})


def _journal(root: Path, name: str, count: int, size: int) -> None:
    """Journal an execution that produced so many data sets of so many bytes."""
    with events.execution(root / "journal", pipeline="p", context="c", name=name) as run:
        for number in range(count):
            _produce(run, root, name, number, size)


@contextmanager
def _run() -> Iterator[Path]:
    """A run directory."""
    with TemporaryDirectory() as folder:
        root = Path(folder) / "run"
        for name in ("journal", "data"):
            (root / name).mkdir(parents=True)
        yield root


def main(root: Path, count: int) -> None:
    """Log data sets of 1 MiB by cmflib, one by one, and print the seconds that one takes."""
    folder = root / "provenance" / "cmf"
    enter(folder, ProvenanceSettings())
    # As a user has it: cmflib's 'dvc add' writes a line for every file.
    (folder / ".gitignore").write_text("/mlmd*\n")
    from cmflib.cmf import Cmf

    cmf = Cmf(str(folder / "mlmd"), pipeline_name="p")
    cmf.create_context("c")
    cmf.create_execution("e")
    for number in range(count):
        (folder / f"data-{number}").write_bytes(os.urandom(MIB))
    began = time.perf_counter()
    for number in range(count):
        assert cmf.log_dataset(f"data-{number}", "output") is not None
    print((time.perf_counter() - began) / count)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
