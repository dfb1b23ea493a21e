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
    def load(cls, path: Path, wait_s: float) -> Stream:
        """Read the file, which the simulation writes when it starts.

        Raises:
            ParslflowError: it is not there after ``wait_s`` seconds, or is not a stream's.
        """
        deadline = time.monotonic() + wait_s
        while not path.exists():
            if time.monotonic() > deadline:
                raise ParslflowError(
                    f"{path} is not there after {wait_s:g} s: the simulation has not started."
                )
            time.sleep(0.1)
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except ValidationError as error:
            raise ParslflowError(f"{path} is not the file of a stream.") from error
