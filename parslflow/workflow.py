"""The continual learning loop, Figure 2 of the CUG 2025 paper as code.

Stage 1 trains every architecture, asks the metadata how good each is, and makes new data where none
is good enough. Stage 2 puts the best network into the coarse simulation. The loop sees stages as
functions that answer with records, and reads nothing but metadata.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from dataclasses import field
from itertools import pairwise
from typing import Protocol
from typing import TypeVar

from parslflow.errors import DivergedError
from parslflow.errors import ParslflowError
from parslflow.experiment import Experiment
from parslflow.experiment import Grid
from parslflow.members import Generated
from parslflow.members import Members
from parslflow.records import Record

Key = TypeVar("Key")

ROWS = ("new", "random")
"""What a control's trainings add to the base data: the sampler's batches, or random rows."""


class Stages(Protocol):
    """What the loop can ask for. Each call returns at once; its record comes when it is done."""

    def spin_up(self, case: str, grid: Grid, start: Record | None) -> Future[Record]:
        """Run ``case`` ("high" or "low") into turbulence on ``grid``, from ``start`` or the jet."""

    def interpolate(self, case: str, grid: Grid, start: Record) -> Future[Record]:
        """Take the state of ``start`` to ``grid``."""

    def run_base(self, start: Record) -> Future[Record]:
        """Run High from ``start`` with daily output: the base data."""

    def prepare(self, base: Record) -> Future[Record]:
        """Make samples, scaler and clusters of the base data."""

    def assemble(self, iteration: int, prepared: Record, batches: list[Record]) -> Future[Record]:
        """Make the training set of ``iteration`` of the base samples and all ``batches``."""

    def train(
        self, network: str, iteration: int, training_set: Record, before: Record | None
    ) -> Future[Record]:
        """Train ``network``, from the weights of ``before`` if there are any."""

    def baselines(self, iteration: int, training_set: Record) -> Future[Record]:
        """Fit the plain regressions to the training set of ``iteration``."""

    def perturb(self, member: int, start: Record) -> Future[Record]:
        """Put noise on the state of ``start``, from which a member of High goes on."""

    def draw_random(self, seed: int, run: Generated, prepared: Record) -> Future[Record]:
        """Draw as many rows of a run of High as its batches have, with the seed's number."""

    def assemble_control(
        self, rows: str, seed: int, prepared: Record, batches: list[Record]
    ) -> Future[Record]:
        """Make a control's training set of the base samples and ``batches`` of these ``ROWS``."""

    def train_control(
        self,
        network: str,
        rows: str,
        seed: int,
        iteration: int,
        training_set: Record,
        before: Record,
    ) -> Future[Record]:
        """Train ``network`` for a control, from the weights of ``before``, after ``iteration``."""

    @property
    def members_at_once(self) -> int:
        """How many members of High can run at once."""

    def stream(
        self, iteration: int, member: int, start: Record, prepared: Record
    ) -> tuple[Future[Record], list[Future[Record]]]:
        """Run a member of High from ``start``, and keep what is new of its tiles in batches."""

    def deploy(self, version: str, model: Record) -> Future[Record]:
        """Put the network of ``model`` into the store."""

    def run_low(self, start: Record, version: str | None, model: Record | None) -> Future[Record]:
        """Run Low from ``start`` with the deployed ``model``, or with prognostic MEKE if None."""

    def draw(
        self,
        prepared: Record,
        base: Record,
        high: Record,
        model: Record,
        meke: Record,
        network: Record,
    ) -> Future[Record]:
        """Draw the figures of the report: of High, ``model`` and both runs of Low."""


@dataclass(frozen=True)
class Decision:
    """What the driver saw in the metadata, and what it made of it."""

    iteration: int
    losses: dict[str, float]
    """Test loss of every model version so far."""
    threshold: float
    best: str
    """The version with the smallest test loss."""
    good_enough: bool


@dataclass(frozen=True)
class Outcome:
    """How the loop ended."""

    decisions: list[Decision]
    models: list[dict[str, Record]]
    """For each iteration the record of each network's training, without those that diverged."""
    generated: list[list[Generated]]
    """For each iteration after the first what each member of High made, without those that
    failed."""
    deployed: str | None
    """The version that Low runs with; None if none was good enough."""
    baselines: list[Record] = field(default_factory=list)
    """For each iteration the record of the plain regressions."""
    controls: dict[tuple[str, str], list[Record]] = field(default_factory=dict)
    """By network and ``ROWS`` the record of each seed's training that did not diverge; empty
    without new data."""
    diverged: list[dict[str, str]] = field(default_factory=list)
    """For each iteration why a network's training was rejected, by network."""
    failed: list[dict[int, str]] = field(default_factory=list)
    """For each iteration after the first why a member of High made no data, by member."""
    figures: Record | None = None
    """What the simulations came to in the report; None if no network was deployed."""


def version(network: str, iteration: int) -> str:
    """The name of the model that ``network`` became in ``iteration``."""
    return f"{network}-{iteration}"


def versions(networks: Iterable[str], iteration: int) -> list[str]:
    """The names of the models that ``networks`` became in ``iteration``."""
    return [version(network, iteration) for network in networks]


def decide(iteration: int, losses: dict[str, float], threshold: float) -> Decision:
    """Choose the version with the smallest test loss, and say whether it is good enough.

    Raises:
        ParslflowError: the metadata holds no test loss.
    """
    if not losses:
        raise ParslflowError(
            f"the metadata holds no test loss after iteration {iteration}: see logs/writer.log."
        )
    best = min(losses, key=lambda name: losses[name])
    return Decision(iteration, losses, threshold, best, losses[best] <= threshold)


def run(
    experiment: Experiment,
    stages: Stages,
    evaluate: Callable[[int, dict[str, Record]], Decision],
    rolled_back: str | None = None,
) -> Outcome:
    """Run both stages of the workflow to the end.

    Args:
        experiment: the settings.
        stages: what does the work.
        evaluate: given an iteration and the records of its trainings, asks the metadata for the
            test losses and decides.
        rolled_back: a model version that is deployed whatever its test loss; nothing is learned
            after it.

    Raises:
        ParslflowError: a stage failed, every training of an iteration diverged, or every time that
            High sent was rejected.
    """
    spun_up = _spin_up("high", experiment.high, stages).result()
    base_future = stages.run_base(spun_up)
    low_future = _spin_up("low", experiment.low, stages)
    base = base_future.result()
    prepared = stages.prepare(base).result()

    # Stage 1: learn until one network is good enough.
    members = Members(experiment, stages, base, prepared)
    generated: list[list[Generated]] = []
    failed: list[dict[int, str]] = []
    regressions: list[Future[Record]] = []
    models: list[dict[str, Record]] = []
    diverged: list[dict[str, str]] = []
    latest: dict[str, Record] = {}
    decisions: list[Decision] = []
    for iteration in range(experiment.loop.iterations + 1):
        if iteration > 0:
            made, lost = members.generate(iteration)
            generated.append(made)
            failed.append(lost)
        training_set = stages.assemble(iteration, prepared, _batches(generated)).result()
        trainings: dict[str, Future[Record]] = {
            network: stages.train(network, iteration, training_set, latest.get(network))
            for network in experiment.training.networks
        }
        regressions.append(stages.baselines(iteration, training_set))
        trained, rejected = _learned(trainings)
        if not trained or rolled_back in versions(rejected, iteration):
            raise ParslflowError(
                f"Iteration {iteration} has no network to go on with: {' '.join(rejected.values())}"
            )
        models.append(trained)
        diverged.append(rejected)
        latest |= trained
        decisions.append(evaluate(iteration, trained))
        if decisions[-1].good_enough or rolled_back in versions(trained, iteration):
            break

    # The controls learn while Stage 2 runs.
    controls = _control(experiment, stages, prepared, generated, models[0])

    def ended(deployed: str | None, figures: Record | None = None) -> Outcome:
        return Outcome(
            decisions,
            models,
            generated,
            deployed,
            [regression.result() for regression in regressions],
            {
                key: records
                for key, sent in controls.items()
                if (records := list(_learned(dict(enumerate(sent)))[0].values()))
            },
            diverged,
            failed,
            figures,
        )

    decision = decisions[-1]
    if not (decision.good_enough or experiment.loop.accept_best or rolled_back):
        return ended(None)

    # Stage 2: the best of breed answers the coarse simulation.
    chosen = rolled_back or decision.best
    model = {
        version(network, iteration): record
        for iteration, trained in enumerate(models)
        for network, record in trained.items()
    }[chosen]
    low = low_future.result()
    meke_future = stages.run_low(low, None, None)
    stages.deploy(chosen, model).result()
    network_run = stages.run_low(low, chosen, model).result()
    meke = meke_future.result()
    figures = stages.draw(prepared, base, members.first, model, meke, network_run).result()
    return ended(chosen, figures)


def _learned(trainings: Mapping[Key, Future[Record]]) -> tuple[dict[Key, Record], dict[Key, str]]:
    """The records of trainings, and why those that diverged were rejected."""
    trained: dict[Key, Record] = {}
    rejected: dict[Key, str] = {}
    for key, training in trainings.items():
        try:
            trained[key] = training.result()
        except DivergedError as error:
            rejected[key] = str(error)
    return trained, rejected


def _control(
    experiment: Experiment,
    stages: Stages,
    prepared: Record,
    generated: list[list[Generated]],
    first: dict[str, Record],
) -> dict[tuple[str, str], list[Future[Record]]]:
    """Send the trainings that tell what the sampler's choice of rows is worth.

    Args:
        experiment: the settings.
        stages: what does the work.
        prepared: the base samples.
        generated: what members of High made in each iteration.
        first: by network the training that all start from, which saw the base data alone; a
            network that diverged on them has no control.
    """
    seeds = range(experiment.training.control_seeds if generated else 0)
    draws = [
        [stages.draw_random(seed, run, prepared) for made in generated for run in made]
        for seed in seeds
    ]
    sets: dict[tuple[str, int], Future[Record]] = {}
    for seed in seeds:
        added = {"new": _batches(generated), "random": [draw.result() for draw in draws[seed]]}
        for rows in ROWS:
            sets[rows, seed] = stages.assemble_control(rows, seed, prepared, added[rows])
    # Only now, so that what is waited for does not queue behind them.
    ready = {key: training_set.result() for key, training_set in sets.items()}
    return {
        (network, rows): [
            stages.train_control(network, rows, seed, len(generated), ready[rows, seed], before)
            for seed in seeds
        ]
        for network, before in first.items()
        for rows in ROWS
        if seeds
    }


def _batches(generated: list[list[Generated]]) -> list[Record]:
    """The batches of all iterations."""
    return [batch for made in generated for run in made for batch in run.batches]


def _spin_up(case: str, own: Grid, stages: Stages) -> Future[Record]:
    """Run ``case`` into turbulence, on its grids in turn; not waited for is the last run."""
    grids = own.spinup_grids
    run = stages.spin_up(case, grids[0], None)
    for before, grid in pairwise(grids):
        start = run.result()
        # The state of a grid is one for all layouts of ranks.
        if grid.grid != before.grid:
            start = stages.interpolate(case, grid, start).result()
        run = stages.spin_up(case, grid, start)
    return run
