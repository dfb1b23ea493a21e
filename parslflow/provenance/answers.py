"""The answers to questions as text for the terminal, and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING
from typing import Any

from parslflow.provenance.graph import Artifact
from parslflow.provenance.models import LOSSES
from parslflow.report.tables import columns
from parslflow.report.tables import finite

# An answer must be there in less than a second: what the others need is not imported for it.
if TYPE_CHECKING:
    from parslflow.provenance.comparison import Comparison
    from parslflow.provenance.comparison import Input
    from parslflow.provenance.comparison import Pair
    from parslflow.provenance.decisions import Choice
    from parslflow.provenance.decisions import Why
    from parslflow.provenance.events import Value
    from parslflow.provenance.models import Exposure
    from parslflow.provenance.models import ModelVersion
    from parslflow.provenance.placement import Samples
    from parslflow.provenance.searching import Match
    from parslflow.provenance.verification import Verification

NONE = "-"


def to_json(answer: Any) -> str:  # noqa: ANN401 - a data class, or a list of them
    """An answer as JSON with its own names; a number that is not finite becomes null."""
    content = [asdict(one) for one in answer] if isinstance(answer, list) else asdict(answer)
    return json.dumps(finite(content), indent=2, default=str, allow_nan=False)


def of_models(models: Sequence[ModelVersion]) -> str:
    """The versions with their losses; the last column says which is deployed, and which was."""
    rows = [
        (
            model.version,
            str(model.iteration),
            str(len(model.batches)),
            *(_loss(model.losses.get(part, math.nan)) for part in LOSSES),
            "deployed" if model.deployed else "was deployed" if model.deployments else "",
        )
        for model in models
    ]
    return "\n".join(
        columns(("version", "iteration", "batches", *LOSSES, ""), rows, left=(0, len(LOSSES) + 3))
    )


def of_batches(exposures: Sequence[Exposure]) -> str:
    """What each version saw for the first time, and how its test loss moved."""
    rows = [
        (
            one.version,
            ", ".join(batch.path for batch in one.new) or NONE,
            f"{one.new_samples:,}" if one.new else NONE,
            str(len(one.batches)),
            _loss(one.test_loss),
            f"{one.change:+.4f}" if math.isfinite(one.change) else NONE,
        )
        for one in exposures
    ]
    header = ("version", "new batches", "samples", "all batches", "test loss", "change")
    return "\n".join(columns(header, rows, left=(0, 1)))


def of_comparison(comparison: Comparison) -> str:
    """What differs, part by part; what is equal is only counted."""
    a, b = comparison.a.version, comparison.b.version
    return "\n".join(
        (
            f"Data: {comparison.shared} files behind both",
            *_only(a, comparison.only_a),
            *_only(b, comparison.only_b),
            *_pairs("\nSamples", a, b, comparison.samples),
            *_pairs("\nSettings", a, b, comparison.settings),
            *_pairs("\nCode", a, b, comparison.code),
            *_pairs("\nMetrics", a, b, comparison.metrics, change=True),
        )
    )


def of_search(matches: Sequence[Match]) -> str:
    """What was found, with the values that were asked for."""
    if not matches:
        return "Nothing was found."
    keys = [key for key in matches[0].values if key not in ("name", "path", "status", "sha256")]
    rows = [
        (
            "artifact" if isinstance(match.node, Artifact) else "execution",
            match.node.path if isinstance(match.node, Artifact) else match.node.name,
            match.node.sha256[:8] if isinstance(match.node, Artifact) else match.node.status,
            *(_short(match.values[key]) for key in keys),
        )
        for match in matches
    ]
    return "\n".join(columns(("", "name", "", *keys), rows, left=(0, 1, 2)))


def of_why(why: Why) -> str:
    """The decisions with what they saw, and whether they hold."""
    if why.deployed:
        state = "is the deployed model"
    elif why.deployed_by:
        state = "was deployed, and is no more"
    else:
        state = "was never deployed"
    lines = [f"{why.version} {state}."]
    for execution in why.deployed_by:
        started = str(execution.properties.get("started", ""))[:19].replace("T", " ")
        lines.append(f"  [{execution.name}]  {started}")
    for choice in why.chosen_by:
        lines += ["", *_choice(choice)]
    if not why.chosen_by:
        lines += ["", "No decision chose it."]
    if why.passed_by:
        lines.append("")
    for choice in why.passed_by:
        loss = {one.version: one.then for one in choice.seen}
        lines.append(
            f"[{choice.execution.name}] chose {choice.chosen} instead: test loss "
            f"{_loss(loss.get(choice.chosen, math.nan))} against {_loss(loss[why.version])}."
        )
    return "\n".join(lines)


def _choice(choice: Choice) -> Iterator[str]:
    if choice.kind == "rollback":
        yield f"[{choice.execution.name}] went back to it from {choice.before or 'nothing'}:"
        yield f"  reason: {choice.reason or 'none was given'}"
        yield (
            "  CMF says the same of what was deployed before: the record holds."
            if choice.holds
            else "  CMF says that another model was deployed before: the record does NOT hold."
        )
        return
    least = next((one.then for one in choice.seen if one.version == choice.chosen), math.nan)
    enough = "at most" if choice.good_enough else "more than"
    yield (
        f"[{choice.execution.name}] chose it: the smallest of {len(choice.seen)} test losses, "
        f"{_loss(least)}, is {enough} the threshold {choice.threshold:g}."
    )
    rows = [
        (
            one.version,
            _loss(one.then),
            _loss(one.now if one.now is not None else math.nan),
            "" if one.same else "DIFFERS",
        )
        for one in choice.seen
    ]
    lines = columns(("version", "seen", "in CMF now", ""), rows, left=(0, 3))
    yield from (f"  {line}" for line in lines)
    replayed = choice.replayed
    made = (
        f"{replayed.best}, {'good enough' if replayed.good_enough else 'not good enough'}"
        if replayed is not None
        else "impossible, since CMF holds none of these losses"
    )
    yield f"  Replayed with what CMF holds now: {made}."
    yield f"  The decision {'holds' if choice.holds else 'does NOT hold'}."


def of_samples(samples: Samples) -> str:
    """The counts as a table; places as a map with north at the top."""
    batch = f"{samples.batch.path}: {samples.total:,} samples of {samples.run}"
    if samples.by == "place":
        return "\n".join((batch, *_map(samples)))
    rows = []
    for one in samples.counts:
        row = [f"{one.value:g}", f"{one.samples:,}", _share(one.samples, samples.total)]
        if (block := one.block) is not None:
            row += [f"{block.first_j}-{block.last_j}", f"{block.first_i}-{block.last_i}"]
        rows.append(row)
    header = [samples.by, "samples", "share", *(["j", "i"] if samples.by == "rank" else [])]
    return "\n".join((batch, *columns(header, rows)))


def _map(samples: Samples) -> Iterator[str]:
    lines: dict[int, list[str]] = {}
    across: dict[int, str] = {}
    names: dict[int, str] = {}
    for one in samples.counts:
        assert isinstance(one.value, tuple)  # noqa: S101 - it is a place
        assert one.block is not None  # noqa: S101 - as above
        row, column = one.value
        lines.setdefault(row, []).append(f"{one.samples:,}")
        names[row] = f"{one.block.first_j}-{one.block.last_j}"
        across[column] = f"{one.block.first_i}-{one.block.last_i}"
    rows = [[names[row], *lines[row]] for row in sorted(lines, reverse=True)]
    yield from columns(["j / i", *(across[column] for column in sorted(across))], rows)


def of_verification(verification: Verification) -> str:
    """Each problem, and what was looked at."""
    found = len(verification.problems)
    return "\n".join(
        (
            *(problem.sentence for problem in verification.problems),
            f"{verification.files} files, {verification.versions} versions, "
            f"{verification.objects} objects in DVC's cache ({verification.bytes / 1e6:,.1f} MB), "
            f"{verification.executions} executions: "
            + (f"{found} problem{'s' if found > 1 else ''}." if found else "all as it was logged."),
        )
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else NONE


def _only(version: str, inputs: Sequence[Input]) -> Iterator[str]:
    if inputs:
        yield f"  only {version}:"
        rows = [(one.role, one.artifact.path, one.artifact.sha256[:8]) for one in inputs]
        yield from (f"    {line}" for line in columns(("", "", ""), rows, left=(0, 1, 2))[1:])


def _pairs(
    title: str, a: str, b: str, pairs: Mapping[str, Pair], *, change: bool = False
) -> Iterator[str]:
    """A table of what two versions have, with the difference of numbers if wanted."""
    if not pairs:
        yield f"{title}: no difference"
        return
    yield title
    rows = []
    for key, (one, other) in pairs.items():
        show = _short if change else _full
        row = [key, show(one), show(other)]
        if change:
            numbers = isinstance(one, int | float) and isinstance(other, int | float)
            row.append(f"{other - one:+.4g}" if numbers else "")  # type: ignore[operator]
        rows.append(row)
    header = ["", a, b, *(["change"] if change else [])]
    yield from (f"  {line}" for line in columns(header, rows, left=(0,)))


def _short(value: Value | None) -> str:
    return f"{value:.4g}" if isinstance(value, float) else _full(value)


def _full(value: Value | None) -> str:
    return NONE if value is None or value == "" else str(value)


def _loss(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else NONE
