"""``python -m benchmarks.load``: many ranks, played by few processes, stream to real samplers."""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.flow import LIST
from benchmarks.flow import RUN
from benchmarks.flow import Flow
from benchmarks.flow import live_store
from parslflow.sampling.sampler import SampleInputs
from parslflow.store import wire
from parslflow.store.address import Address
from parslflow.store.client import StoreClient
from parslflow.store.datasets import put_commands
from parslflow.store.packing import packed
from parslflow.store.pipeline import Pipeline
from parslflow.store.pipeline import Replies
from parslflow.store.wire import Dataset
from parslflow.store.wire import Keyspace

LAYOUTS = {256: (16, 16), 2000: (50, 40), 20000: (160, 125)}
"""Ranks in i and in j, each with a tile of 20 by 15 cells, as 240 by 320 on 256 ranks gives."""

PROCESSES = 2
AT_ONCE = 64
"""Tiles on the way from a process, which are sent again when the store was full."""
MEMORY_MB = 4096
FULL_S = 0.02
SECONDS_A_MINUTE = 60.0

NAME, DAY = f"{RUN}_DDDDDDD.SSSSS_RRRRRR", -1.2345678987654321e-123
"""What stands in a prepared request for what is other at each time; as long, and nowhere else."""


class Rank:
    """A rank's data set as the bytes that put it and append it to the list, in one transaction.

    Args:
        flow: The simulation.
        rank: Its number.
    """

    def __init__(self, flow: Flow, rank: int) -> None:
        tensors, metadata = flow.tile(rank)
        plain = Keyspace()
        puts = put_commands(plain, Dataset(NAME, tensors, metadata | {"day": DAY}))
        commands = [["MULTI"], *puts, ["RPUSH", LIST, plain.list_entry(NAME)], ["EXEC"]]
        request = b"".join(packed(words) for words in commands)
        before, after = request.split(wire.encode_field("day", DAY))
        self._rank = rank
        self._before = before.split(NAME.encode())
        self._after = after.split(NAME.encode())
        self.replies = len(commands)

    def request(self, day: int) -> bytes:
        """What it sends of a day."""
        name = b"%b_%07d.00000_%06d" % (RUN.encode(), day, self._rank)
        blob = wire.encode_field("day", float(day))
        return name.join(self._before) + blob + name.join(self._after)


@dataclass(frozen=True)
class Sent:
    """What a process that played ranks says when it is done.

    Attributes:
        bytes: What went to the store.
        waited_s: How long the store was full.
        cpu_s: CPU seconds.
    """

    bytes: int
    waited_s: float
    cpu_s: float


def play(flow: Flow, ranks: range, address_file: Path, rate: float, orders: Connection) -> None:
    """Send the tiles of some ranks, when told to begin.

    Args:
        flow: The simulation.
        ranks: Which of its ranks.
        address_file: Where the store is.
        rate: Model days a minute; 0 for as many as there can be.
        orders: Says that all is prepared, takes the time of the beginning, then gives `Sent`.
    """
    players = [Rank(flow, rank) for rank in ranks]
    pipeline = Pipeline(Address.load(address_file))
    orders.send(None)
    began: float = orders.recv()
    cpu = time.process_time()
    size, waited = 0, 0.0
    for day in range(flow.times):
        if rate:
            time.sleep(max(0.0, began + day * SECONDS_A_MINUTE / rate - time.monotonic()))
        for first in range(0, len(players), AT_ONCE):
            part = players[first : first + AT_ONCE]
            requests = [player.request(day) for player in part]
            size += sum(map(len, requests))
            waited += send(pipeline, requests, part[0].replies)
    orders.send(Sent(size, waited, time.process_time() - cpu))
    pipeline.close()


def send(pipeline: Pipeline, requests: Sequence[bytes], replies_each: int) -> float:
    """Send until the store has taken all; sending twice changes nothing.

    Returns:
        How many seconds the store was full.

    Raises:
        ValueError: It refused something for another reason.
    """
    began = time.monotonic()
    replies = Replies()
    waited = 0.0
    while True:
        pipeline.request(requests, replies_each)
        pipeline.receive(replies)
        said = b"\n" + replies.data[replies.start : replies.end].tobytes()
        if b"\n-" not in said:
            return waited
        if b"\n-OOM" not in said:
            raise ValueError(f"the store refused a tile: {said[said.index(b'-') :][:200]!r}")
        time.sleep(FULL_S)
        waited = time.monotonic() - began


@contextmanager
def players(flow: Flow, address_file: Path, rate: float) -> Iterator[list[Connection]]:
    """Yield the ends of the pipes to processes that are ready to play all ranks."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for number in range(PROCESSES):
        first, last = (flow.ranks * n // PROCESSES for n in (number, number + 1))
        ours, theirs = context.Pipe()
        process = context.Process(
            target=play, args=(flow, range(first, last), address_file, rate, theirs)
        )
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    try:
        for pipe in pipes:
            pipe.recv()
        yield pipes
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join()


class Sampler:
    """A sampler in a process of its own.

    Args:
        inputs: What it samples.
    """

    def __init__(self, inputs: SampleInputs) -> None:
        file = inputs.output.with_suffix(".json")
        file.write_text(inputs.model_dump_json())
        command = [sys.executable, "-m", "benchmarks.memory", str(file)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def end(self) -> tuple[float, float]:
        """Wait for it.

        Returns:
            Its peak in MiB, and its CPU seconds.

        Raises:
            RuntimeError: It failed; why, it said on stderr.
        """
        said, _ = self._process.communicate()
        if self._process.returncode != 0:
            raise RuntimeError("a sampler failed")
        peak, cpu = map(float, said.split())
        return peak, cpu


def measure(ranks: int, days: int, rate: float, samplers: int) -> dict[str, float]:
    """Play a simulation against a store, and sample it.

    Args:
        ranks: One of ``LAYOUTS``.
        days: How many model days, each a time.
        rate: Model days a minute; 0 for as many as there can be.
        samplers: How many; without any all stays in the store.

    Returns:
        Figures by what they are, in their unit.
    """
    ranks_i, ranks_j = LAYOUTS[ranks]
    flow = Flow(ranks_i, ranks_j, days, ny=15 * ranks_j, nx=20 * ranks_i)
    with live_store(MEMORY_MB) as (server, folder), server.client() as client:
        inputs = flow.shared(server, folder, samplers)
        with players(flow, server.address_file, rate) as pipes:
            idle = connections(client)
            sampling = [Sampler(one) for one in inputs]
            while connections(client) < idle + 2 * len(sampling):
                time.sleep(0.05)
            cpu, began = cpu_seconds(client), time.monotonic()
            for pipe in pipes:
                pipe.send(began)
            sent: list[Sent] = [pipe.recv() for pipe in pipes]
            sent_s = time.monotonic() - began
            client.put_dataset(flow.end, LIST)
            sampled = [sampler.end() for sampler in sampling]
            seconds = time.monotonic() - began
            store_cpu = cpu_seconds(client) - cpu
        peak = sum(info["used_memory_peak"] for info in client.info())
    tiles = ranks * days
    return {
        "tiles a time": ranks,
        "MB a time": sum(part.bytes for part in sent) / days / 1e6,
        "seconds to send": sent_s,
        "seconds in all": seconds,
        "times a second": days / seconds,
        "tiles a second": tiles / seconds,
        "MB a second": sum(part.bytes for part in sent) / seconds / 1e6,
        "seconds that the store was full": sum(part.waited_s for part in sent) / PROCESSES,
        "store: CPU µs a tile": store_cpu / tiles * 1e6,
        "store: peak MB": peak / 1e6,
        "samplers: CPU ms a time": sum(cpu for _, cpu in sampled) / days * 1e3,
        "samplers: peak MiB of the largest": max((peak for peak, _ in sampled), default=0.0),
        "players: CPU µs a tile": sum(part.cpu_s for part in sent) / tiles * 1e6,
    }


def connections(client: StoreClient) -> int:
    """How many clients the store has."""
    return sum(int(info["connected_clients"]) for info in client.info())


def cpu_seconds(client: StoreClient) -> float:
    """CPU seconds that the store has taken, in all its threads."""
    return sum(float(info["used_cpu_user"] + info["used_cpu_sys"]) for info in client.info())


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--ranks", type=int, choices=LAYOUTS, required=True)
    parser.add_argument("--days", type=int, required=True, help="model days, a time each")
    parser.add_argument("--rate", type=float, default=0.0, help="model days a minute at most")
    parser.add_argument("--samplers", type=int, default=1, help="0 leaves all in the store")
    options = parser.parse_args(arguments)
    for what, figure in measure(**vars(options)).items():
        print(f"{what:<34}{figure:>12.5g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
