"""The command that takes a state of the simulation to another grid."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from parslflow.errors import ParslflowError

if TYPE_CHECKING:
    from parslflow.records import Value

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: Commands) -> None:
    """Add the command."""
    interpolate = commands.add_parser(
        "interpolate",
        help="take a restart of the simulation to another grid",
        description="Write the state of a Phillips restart on a finer or coarser grid of the same "
        "domain. The mass of each layer and the time are kept.",
    )
    interpolate.add_argument("restart", type=Path, metavar="RESTART", help="the model's restart.nc")
    interpolate.add_argument(
        "--grid",
        type=_positive,
        nargs=2,
        required=True,
        metavar=("NX", "NY"),
        help="cells in x and y, whole multiples or whole parts of the restart's",
    )
    interpolate.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the restart on that grid"
    )
    interpolate.set_defaults(command=_interpolate)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number of 1 or more")
    return int(text)


def _interpolate(options: argparse.Namespace) -> None:
    from parslflow.simulation import interpolation

    inputs = interpolation.InterpolateInputs(
        restart=options.restart, grid=options.grid, output=options.out
    )
    try:
        interpolation.interpolate(inputs, _unseen)
    except OSError as error:
        raise ParslflowError(
            f"{options.out} cannot be written: {error.strerror or error}; give another --out."
        ) from None
    print(options.out)


def _unseen(series: str, /, **values: Value) -> None:
    """A report; the stage sends no series."""
