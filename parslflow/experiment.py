"""The experiment file: TOML in, a validated model out, or one sentence that says what to mend."""

from __future__ import annotations

import difflib
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Annotated
from typing import Any
from typing import Literal
from typing import Self
from typing import get_args

from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field
from pydantic import PositiveFloat
from pydantic import PositiveInt
from pydantic import ValidationError
from pydantic import model_validator

from parslflow.errors import UsageError
from parslflow.learning.settings import TrainingSettings
from parslflow.provenance.settings import ProvenanceSettings
from parslflow.store.address import Address
from parslflow.store.listening import Listen
from parslflow.store.listening import contradiction

Pair = tuple[PositiveInt, PositiveInt]


class Section(BaseModel):
    """A table of the experiment file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Resolution(Section):
    """The cells and steps of a simulation, and the ranks that share them."""

    grid: Pair
    """Cells in x and y."""
    time_step: PositiveFloat
    """Dynamics step, s."""
    layout: Pair
    """MPI ranks in x and y; each must divide its side of the grid."""

    @property
    def ranks(self) -> int:
        """How many MPI ranks the simulation runs on."""
        return self.layout[0] * self.layout[1]

    @model_validator(mode="after")
    def _ranks_divide_the_grid(self) -> Self:
        for side, cells, ranks in zip("xy", self.grid, self.layout, strict=True):
            if cells % ranks:
                raise ValueError(
                    f"{cells} cells in {side} cannot be divided among {ranks} ranks: choose a "
                    f"layout whose {side} divides {cells}"
                )
        return self


class SpinupStep(Resolution):
    """A part of the spin-up, on a coarser grid of the same domain or on other ranks."""

    days: PositiveInt
    """Days on this grid."""


class Grid(Resolution):
    """What the two Phillips cases have in common."""

    spacing: PositiveFloat
    """Width of a cell, m."""
    perturbation: PositiveFloat = 1e-3
    """Velocity scale of the noise on the initial jet, m/s."""
    spinup: tuple[SpinupStep, ...] = ()
    """What turbulence comes up on first: coarser grids, the coarsest first; the last may be the
    case's own, on other ranks."""
    spinup_days: PositiveInt
    """Days on the case's own grid and ranks, from the jet or the last step before, to the state
    that the runs start from."""

    @property
    def spinup_grids(self) -> list[Grid]:
        """The grids that the case is spun up on, its own last, each with its ``spinup_days``."""
        before = [
            Grid(
                grid=step.grid,
                spacing=self.spacing * self.grid[0] / step.grid[0],
                time_step=step.time_step,
                layout=step.layout,
                perturbation=self.perturbation,
                spinup_days=step.days,
            )
            for step in self.spinup
        ]
        return [*before, self]

    @model_validator(mode="after")
    def _grids_refine_one_another(self) -> Self:
        grids = [step.grid for step in self.spinup] + [self.grid]
        for number, ((nx, ny), (next_nx, next_ny)) in enumerate(pairwise(grids), start=1):
            factor, left = divmod(next_nx, nx)
            least = 1 if number == len(self.spinup) else 2
            if factor < least or left or next_ny != factor * ny:
                raise ValueError(
                    f"spin-up cannot go from {nx} by {ny} cells to {next_nx} by {next_ny}: choose "
                    "coarser grids, the coarsest first, whose sides go into the next one's the "
                    "same whole number of times"
                )
        return self


class High(Grid):
    """Phillips-High, the fine simulation that makes the data."""

    base_days: PositiveInt
    """Days of daily output that make the base data."""
    generate_days: PositiveInt
    """Days that each iteration adds, by each member."""
    members: PositiveInt = 1
    """How many runs make new data in each iteration, from states that differ by noise at first."""
    member_noise: PositiveFloat = 0.01
    """Velocity scale of that noise, m/s; the first member has none."""

    def label(self, iteration: int, member: int) -> str:
        """What a member's run in an iteration is called; a single one has no number."""
        return f"{iteration}" if self.members == 1 else f"{iteration}-m{member}"


class Low(Grid):
    """Phillips-Low, the coarse simulation that asks the network."""

    days: PositiveInt
    """Length of the runs with the deployed network and with prognostic MEKE."""
    inference: Literal["store", "in-process"] = "store"
    """Where the network runs: in the store, or through libtorch in each rank's own process."""


class Features(Section):
    """From fields to features."""

    filter_scale: PositiveFloat = 80e3
    """Length scale of the Gaussian filter, m."""
    wall_rows: Annotated[int, Field(ge=0)] = 10
    """Rows next to each wall that are left out."""


class Sampling(Section):
    """What the sampler keeps."""

    clusters: Annotated[int, Field(ge=2)] = 6
    """Clusters of the base data, one of which is withheld."""
    time_limit: PositiveFloat = 600.0
    """Seconds without any new tile after which the sampler gives the simulation up."""
    samplers: PositiveInt = 1
    """How many samplers share the days of a simulation; each writes a batch of its own."""

    def labels(self, run: str) -> list[str]:
        """What the samplers of a run of High are called; a single one has no number."""
        if self.samplers == 1:
            return [run]
        return [f"{run}-{number}" for number in range(1, self.samplers + 1)]


class Training(Section):
    """How the networks learn."""

    networks: Annotated[tuple[Literal["EKE-ResNet", "EKE-Bottleneck"], ...], Field(min_length=1)]
    rows: PositiveInt
    """Rows of the training set, drawn evenly from the clusters."""
    first: TrainingSettings
    """Training on the partial data."""
    again: TrainingSettings
    """Retraining on the base data and all batches, from the last weights."""
    control_seeds: Annotated[int, Field(ge=0)] = 0
    """With so many seeds is each network trained again on the batches and on as many random rows of
    the same days, to tell what the choice of rows is worth; 0 leaves it out."""


class Loop(Section):
    """When to stop."""

    test_loss: PositiveFloat
    """A network whose test loss is at most this is good enough to be deployed."""
    iterations: Annotated[int, Field(ge=0)]
    """At most so many times is new data generated."""
    accept_best: bool = False
    """Deploy the best network even if none is good enough after the last iteration."""


class Store(Section):
    """The in-memory store: one that the run starts, or one at ``address`` that runs already."""

    launcher: Literal["parslflow", "smartsim"] = "parslflow"
    """What starts it: this package, or SmartSim's Experiment."""
    listen: Listen = "unix"
    """A socket, a port of the machine, or a port that other nodes reach."""
    memory_mb: PositiveInt = 1024
    """What it may hold, in MiB, of all shards."""
    shards: PositiveInt = 1
    """How many servers; three or more are a Redis Cluster."""
    password: bool = True
    """Whether a port asks for a password, which stock SmartRedis clients do not know."""
    address: str | None = None
    """``unix://PATH``, ``HOST:PORT``, or several of a cluster with commas between."""
    password_file: Path | None = None
    """The file with the password of the store at ``address``."""
    user: str | None = None
    """The ACL user whose password it is."""
    ca_file: Path | None = None
    """The certificate authority (PEM) of its certificate: TLS is used."""

    @model_validator(mode="after")
    def _keys_go_together(self) -> Self:
        changed = {
            key
            for key, field in type(self).model_fields.items()
            if getattr(self, key) != field.default
        }
        ours = {"launcher", "listen", "memory_mb", "shards", "password"} & changed
        theirs = {"password_file", "user", "ca_file"} & changed
        if self.address is None:
            if theirs:
                raise ValueError(
                    f"{min(theirs)} is of a store that runs already: add its address, or remove "
                    f"{min(theirs)}"
                )
            problem = contradiction(self.listen, self.shards, self.password)
            if problem is not None:
                raise ValueError(problem)
            if self.launcher == "smartsim" and (
                self.shards > 1 or self.listen == "network" or not self.password
            ):
                raise ValueError(
                    "SmartSim starts one server on this machine, with a password: remove shards, "
                    "listen and password, or the launcher"
                )
            return self
        if ours:
            raise ValueError(
                f"{min(ours)} is of a store that the run starts, and address of one that runs "
                "already: remove one of them"
            )
        try:
            # Several servers are a cluster's; of one it is found out when the run starts.
            Address(self.address, clustered="," in self.address).places()
        except UsageError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return self

    @property
    def running(self) -> Address | None:
        """Where the store is that runs already."""
        if self.address is None:
            return None
        return Address(
            self.address,
            str(self.password_file.resolve()) if self.password_file else None,
            self.user,
            str(self.ca_file.resolve()) if self.ca_file else None,
        )


class Experiment(Section):
    """A whole experiment."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$")]
    seed: Annotated[int, Field(ge=0)]
    executable: str = "phillips"
    """The simulation program: a path, or a name that is found beside Python or on PATH."""
    high: High
    low: Low
    features: Features = Features()
    sampling: Sampling = Sampling()
    training: Training
    loop: Loop
    store: Store = Store()
    provenance: ProvenanceSettings = ProvenanceSettings()

    @model_validator(mode="after")
    def _every_sampler_has_a_day(self) -> Self:
        if self.sampling.samplers > self.high.generate_days:
            raise ValueError(
                f"the {self.high.generate_days} days of high.generate_days are too few for "
                f"{self.sampling.samplers} samplers: lower sampling.samplers"
            )
        return self


def load(path: Path) -> Experiment:
    """Read and check the experiment file at ``path``.

    Raises:
        UsageError: the file is missing, is not TOML, or has an unknown key or a wrong value; the
            message names the file, the key and the cure.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({error}): give an experiment file.") from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from None
    try:
        return Experiment.model_validate(document)
    except ValidationError as error:
        raise UsageError(f"{path}: {_sentence(error)}") from None


def _sentence(error: ValidationError) -> str:
    """The most telling problem of ``error``: an unknown key explains why another is missing."""
    problems = error.errors(include_url=False, include_context=False)
    problem = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
    location = problem["loc"]
    key = ".".join(str(part) for part in location)
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(location[-1]), _keys(location[:-1]), n=1)
        cure = f"did you mean '{close[0]}'?" if close else "remove it."
        return f"'{key}' is not a known key: {cure}"
    if problem["type"] == "missing":
        return f"'{key}' is missing: add it."
    message = problem["msg"].removeprefix("Value error, ")
    if isinstance(problem["input"], dict):
        return f"'{key}': {message}." if key else f"{message}."
    return f"'{key}' = {problem['input']!r}: {message[0].lower()}{message[1:]}."


def _keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys that the table at ``location`` knows."""
    model: Any = Experiment
    for part in location:
        model = get_args(model)[0] if isinstance(part, int) else model.model_fields[part].annotation
    return list(model.model_fields)
