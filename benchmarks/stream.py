"""Data sets of 24 ranks from two processes to a live store: our client against the stock one."""

from __future__ import annotations

import multiprocessing
import os
from contextlib import ExitStack
from multiprocessing.connection import Connection

import smartredis

from benchmarks.client import Program
from benchmarks.client import build
from benchmarks.flow import LIST
from benchmarks.flow import Flow
from benchmarks.flow import live_store
from benchmarks.measure import Figure
from benchmarks.measure import throughput
from parslflow.store.address import Address

FLOW = Flow(4, 6, times=10)
PROCESSES = 2
RUNS = 9


def stream() -> Figure:
    """Both write every data set and append it to the list, one after another in each process."""
    share = len(FLOW.tiles) // PROCESSES
    parts = [(first, first + share - 1) for first in range(0, len(FLOW.tiles), share)]
    with live_store() as (server, folder), server.client() as client, ExitStack() as stack:
        environment = Address.load(server.address_file).environment()
        ni, nj = next(iter(FLOW.tiles[0][0].values())).shape
        path = str(build("stream", folder))
        programs = [
            stack.enter_context(Program([path, *map(str, (ni, nj, first, last))], environment))
            for first, last in parts
        ]
        context = multiprocessing.get_context("spawn")
        pipes = []
        for first, last in parts:
            pipe, theirs = context.Pipe()
            process = context.Process(target=_stock, args=(server.address, first, last, theirs))
            process.start()
            stack.callback(process.join)
            stack.callback(pipe.send, 0)
            pipes.append(pipe)

        def ours() -> None:
            for program in programs:
                program.begin(FLOW.times)
            for program in programs:
                program.end()
            check()

        def against() -> None:
            for pipe in pipes:
                pipe.send(FLOW.times)
            for pipe in pipes:
                pipe.recv()
            check()

        def check() -> None:
            if client.connection.llen(LIST) != FLOW.times * len(FLOW.tiles):
                raise ValueError("not every data set came to the list")

        return throughput(ours, against, RUNS, before=client.connection.flushdb)


def _stock(address: str, first: int, last: int, orders: Connection) -> None:
    """What our program does, with SmartRedis; in a process of its own."""
    os.environ["SR_LOG_LEVEL"] = "QUIET"
    os.environ["SR_SOCKET_TIMEOUT"] = "60000"
    client = smartredis.Client(address=address, cluster=False)
    while times := orders.recv():
        for time in range(times):
            for name in FLOW.names(time)[first : last + 1]:
                data = smartredis.Dataset(name)
                tensors, metadata = FLOW.tiles[first]
                for field, values in tensors.items():
                    data.add_tensor(field, values)
                for field, value in metadata.items():
                    if isinstance(value, str):
                        data.add_meta_string(field, value)
                    else:
                        data.add_meta_scalar(field, value)
                data.add_meta_scalar("day", float(time))
                client.put_dataset(data)
                client.append_to_list(LIST, data)
        orders.send(times)
