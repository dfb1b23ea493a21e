"""What a run of the Phillips model is told, and what its files are called."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from string import Template

from pydantic import Field
from pydantic import PositiveInt

from parslflow.errors import UsageError
from parslflow.records import Inputs
from parslflow.store.stream import Stream

TEMPLATE = Path(__file__).resolve().parents[2] / "configs" / "inputs" / "phillips.nml"

RESTART = "restart.nc"
DAILY = "daily.nc"
STREAM = "stream.json"


class Network(Inputs):
    """The deployed model that the simulation asks at every step."""

    key: str
    """Its key in the store; in the process, what its file is called before ``.script.pt``."""
    script: Path
    """The TorchScript file that was deployed."""
    in_process: bool = False
    """Each rank runs the script itself, and no store is asked."""


class SimulateInputs(Inputs):
    """One run of the Phillips model."""

    folder: Path
    """Where it runs; made if it is not there."""
    namelist: str
    """The whole text of its input file."""
    executable: Path
    launch: tuple[str, ...]
    """The MPI launch command; ``{ranks}`` stands for the number of ranks."""
    ranks: PositiveInt
    environment: dict[str, str] = Field(default_factory=dict)
    restart: Path | None = None
    """The state that the run starts from, for the record; the namelist names it too."""
    address_file: Path | None = None
    """The address of the store, if one is used, as its server publishes it."""
    stream: Stream | None = None
    """Where the tiles of each day go."""
    batches: tuple[Path, ...] = ()
    """What samplers make of the tiles: those that they have not kept for these are sent again."""
    network: Network | None = None
    cache: Path | None = None
    """A folder in which the final state is kept by content of input and program, and looked for
    first."""


def namelist(**values: str | float) -> str:
    """The text of the model's input file, from the template ``configs/inputs/phillips.nml``."""
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        {key: value if isinstance(value, str) else repr(value) for key, value in values.items()}
    )


def find_executable(name: str, beside: Path) -> Path:
    """The simulation program ``name``: a path, or a name in the folder ``beside`` or on PATH.

    Raises:
        UsageError: it is not there or cannot be executed.
    """
    if os.sep in name:
        found = name if os.access(name, os.X_OK) and Path(name).is_file() else None
    else:
        found = shutil.which(name, path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise UsageError(
            f"executable = '{name}': there is no such program; build it with 'make build' or "
            "give its path."
        )
    return Path(found).resolve()
