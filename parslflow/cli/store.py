"""The commands of a store that outlives the shell."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from parslflow.errors import ParslflowError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: Commands) -> None:
    """The commands for a store that outlives the shell."""
    store = commands.add_parser(
        "store",
        help="start, look at and stop an in-memory store",
        description="An in-memory store for SmartRedis clients and ours, on this machine.",
    ).add_subparsers(title="commands", metavar="COMMAND", required=True)

    start = store.add_parser(
        "start",
        help="start a store in the background",
        description="Start a store that runs until it is stopped, wait until it answers, and print "
        "what simulations need to find it.",
    )
    _add_folder(start)
    start.add_argument(
        "--listen",
        choices=("unix", "loopback", "network"),
        default="unix",
        help="a socket that you alone can reach (default), a port of this machine with a password, "
        "or a port that other machines reach, with a password",
    )
    start.add_argument(
        "--memory-mb",
        type=_positive,
        default=1024,
        metavar="N",
        help="what it may hold, in MiB; when it is full, writers wait (default: 1024)",
    )
    start.add_argument(
        "--shards",
        type=_positive,
        default=1,
        metavar="N",
        help="a Redis Cluster of N servers, three or more, on loopback ports (default: 1, none)",
    )
    start.add_argument(
        "--no-password",
        action="store_true",
        help="ask for no password on loopback ports, as the stock SmartRedis client needs: EVERY "
        "user of this machine can then read and change the store",
    )
    start.add_argument(
        "--persist",
        action="store_true",
        help="keep the data in the folder, to be there when a store is started in it again",
    )
    start.set_defaults(command=_store_start)

    status = store.add_parser(
        "status",
        help="say how a store is",
        description="Say where a store is, whether it answers, and what it holds.",
    )
    _add_folder(status)
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(command=_store_status)

    stop = store.add_parser(
        "stop", help="stop a store", description="Stop a store, and wait until it is gone."
    )
    _add_folder(stop)
    stop.set_defaults(command=_store_stop)

    install = store.add_parser(
        "install-smartsim",
        help="let SmartSim start databases with our module",
        description="Put server, command line client and module where SmartSim looks for them.",
    )
    install.set_defaults(command=_install_smartsim)


def _add_folder(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--folder",
        type=Path,
        default=Path("parslflow-store"),
        metavar="DIR",
        help="the folder that the store's files are in (default: parslflow-store)",
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number of 1 or more")
    return int(text)


def _install_smartsim(options: argparse.Namespace) -> None:
    from parslflow.store import smartsim

    print("\n".join(smartsim.install()))


def _store_start(options: argparse.Namespace) -> None:
    from parslflow.store import background

    published = background.start(
        options.folder,
        options.listen,
        options.memory_mb,
        options.shards,
        password=not options.no_password,
        persist=options.persist,
    )
    variables = " ".join(
        f"{name}={shlex.quote(value)}" for name, value in published.environment().items()
    )
    print(f"Store: {published.address}")
    print(f"For simulations: export {variables}")
    print(f"To stop it: parslflow store stop --folder {shlex.quote(str(options.folder))}")


def _store_status(options: argparse.Namespace) -> None:
    from parslflow.store import background

    status = background.status(options.folder)
    if options.json:
        print(json.dumps(dataclasses.asdict(status)))
    else:
        print(background.to_text(status))
    if not status.answers:
        raise ParslflowError(f"The store in {options.folder} runs but gives no answer.")


def _store_stop(options: argparse.Namespace) -> None:
    from parslflow.store import background

    print(f"Stopped the store at {background.stop(options.folder).address}")
