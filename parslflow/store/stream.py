"""The stream of tiles from a simulation to its sampler, as a small file that both of them know.

The simulation produces the file and the sampler uses it, so that a batch of samples can be traced
to the run that its tiles came from: the tiles themselves are not kept.
"""

from __future__ import annotations

import time
from pathlib import Path

from pydantic import ValidationError

from parslflow.errors import ParslflowError
from parslflow.records import Inputs
from parslflow.rundir import atomic_path


class Stream(Inputs):
    """What a simulation sends where."""

    list: str
    """The list in the store that every rank appends its data sets to."""
    run: str
    """The name of the simulation's run, with which the names of its data sets begin."""
    keyspace: str = ""
    """The keyspace that the list and the data sets are in, which keeps apart members of an ensemble
    whose runs and lists have the same names; empty for none."""
    inputs: str = ""
    """Stands for all that decides what the simulation sends; there once it has started."""

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        with atomic_path(path) as temporary:
            temporary.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Stream:
        """Read the file, which is waited for: the simulation writes it when it starts.

        Raises:
            ParslflowError: the simulation is given up, or the file is not a stream's.
        """
        while not path.exists():
            if reason := given_up(path):
                raise ParslflowError(f"The simulation of {path} did not start: {reason}")
            time.sleep(0.1)
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except ValidationError as error:
            raise ParslflowError(f"{path} is not the file of a stream.") from error


def begin(path: Path) -> None:
    """Forget what was said of the stream whose file is ``path``: it begins, or goes on."""
    path.unlink(missing_ok=True)
    _reason(path).unlink(missing_ok=True)


def give_up(path: Path, reason: str) -> None:
    """Say that the simulation or a sampler of a stream is no more, so that the others end too."""
    if given_up(path):
        return
    with atomic_path(_reason(path)) as temporary:
        temporary.write_text(reason, encoding="utf-8")


def given_up(path: Path) -> str:
    """Why a stream was given up; empty if it was not."""
    try:
        return _reason(path).read_text(encoding="utf-8") or "it does not say why."
    except FileNotFoundError:
        return ""


def _reason(path: Path) -> Path:
    return path.with_name("given_up.txt")
