"""The members of High, which make new data side by side: one that fails takes no other down."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED
from concurrent.futures import Future
from concurrent.futures import wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from parslflow.errors import ParslflowError
from parslflow.experiment import Experiment
from parslflow.records import Record

if TYPE_CHECKING:
    from parslflow.workflow import Stages


@dataclass(frozen=True)
class Generated:
    """What a member of High made in an iteration: its run, and what each sampler kept of it."""

    iteration: int
    member: int
    high: Record
    batches: list[Record]


class Members:
    """The members of High, each of which goes on from where it came to.

    Args:
        experiment: the settings.
        stages: what does the work.
        base: the run that made the base data; the members go on from its end.
        prepared: the base samples.
    """

    def __init__(
        self, experiment: Experiment, stages: Stages, base: Record, prepared: Record
    ) -> None:
        self._count = experiment.high.members
        self._stages = stages
        self._prepared = prepared
        self._states = {1: base}

    @property
    def first(self) -> Record:
        """The last run of the first member that came to its end."""
        return self._states[1]

    def generate(self, iteration: int) -> tuple[list[Generated], dict[int, str]]:
        """Run all members, as many at once as there is room for; those that fail are left out.

        Returns:
            What each made, and why others made nothing.

        Raises:
            ParslflowError: none of several came to its end; of a single one its own error.
        """
        if iteration == 1:
            others = range(2, self._count + 1)
            noisy = {one: self._stages.perturb(one, self._states[1]) for one in others}
            self._states |= {one: state.result() for one, state in noisy.items()}
        made: list[Generated] = []
        failed: dict[int, str] = {}
        waiting = list(self._states)
        running: dict[int, tuple[Future[Record], list[Future[Record]]]] = {}
        while waiting or running:
            while waiting and len(running) < self._stages.members_at_once:
                member = waiting.pop(0)
                start = self._states[member]
                running[member] = self._stages.stream(iteration, member, start, self._prepared)
            parts = [part for run, samplings in running.values() for part in (run, *samplings)]
            wait([part for part in parts if not part.done()], return_when=FIRST_COMPLETED)
            for member in [one for one, run in running.items() if _has_ended(*run)]:
                try:
                    made.append(_generated(iteration, member, *running.pop(member)))
                except Exception as error:
                    # Whatever it is, a network can learn from the others.
                    if self._count == 1:
                        raise
                    failed[member] = " ".join(str(error).split())
        made.sort(key=lambda run: run.member)
        if not made:
            reasons = " ".join(failed.values())
            raise ParslflowError(f"Iteration {iteration} has no member to go on with: {reasons}")
        self._states |= {run.member: run.high for run in made}
        return made, failed


def _has_ended(generating: Future[Record], samplings: list[Future[Record]]) -> bool:
    """Whether all parts of a member have ended, or one has failed."""
    done = [part for part in (generating, *samplings) if part.done()]
    return len(done) > len(samplings) or any(part.exception() for part in done)


def _generated(
    iteration: int, member: int, generating: Future[Record], samplings: list[Future[Record]]
) -> Generated:
    """What a member made that has ended; raises why it failed."""
    # What failed first is the reason why others fail after it.
    for part in filter(Future.done, (generating, *samplings)):
        part.result()
    batches = [sampling.result() for sampling in samplings]
    _demand_times(batches)
    return Generated(iteration, member, generating.result(), batches)


def _demand_times(batches: list[Record]) -> None:
    """See that of the times that a member sent not all were rejected.

    Raises:
        ParslflowError: they were.
    """
    sent, rejected = (
        sum(int(batch.metrics.get(key, 0)) for batch in batches) for key in ("times", "rejected")
    )
    if rejected and rejected == sent:
        files = ", ".join(batch.wrote[0].path.name for batch in batches)
        raise ParslflowError(
            f"All {sent} times of {files} were rejected, since a field was not finite (the series "
            "'rejected' of their samplers in the journal says which and where): the simulation is "
            "not stable, take a shorter [high] time_step."
        )
