"""Executions and artifacts by their properties and metrics."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from parslflow.errors import UsageError
from parslflow.provenance.events import Value
from parslflow.provenance.finding import closest
from parslflow.provenance.graph import Artifact
from parslflow.provenance.graph import Execution
from parslflow.provenance.graph import read

_EXPRESSION = re.compile(r"(?P<key>[^=!<>~]+)(?P<sign>=|!=|<=|>=|<|>|~)(?P<value>.*)", re.DOTALL)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "~": lambda text, part: part.lower() in text.lower(),
}


@dataclass(frozen=True)
class Match:
    """A node of which all expressions are true."""

    node: Artifact | Execution
    values: dict[str, Value]
    """What it has of the keys that were asked for."""


@dataclass(frozen=True)
class _Condition:
    key: str
    sign: str
    value: str

    def holds(self, found: Value) -> bool:
        """Whether it is true of a value; a number is compared as a number."""
        if self.sign == "~" or isinstance(found, str):
            return _COMPARE[self.sign](str(found), self.value)
        return _COMPARE[self.sign](found, float(self.value))


def search(run_root: Path, expressions: Sequence[str]) -> list[Match]:
    """The executions and artifacts of which all expressions are true.

    Args:
        run_root: the run directory.
        expressions: ``KEY SIGN VALUE`` without blanks around the sign, such as
            ``test_loss<0.7``. A key is a property or a metric, or ``context``, ``name``,
            ``status`` of executions and ``kind``, ``path``, ``sha256`` of artifacts. Signs are
            ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=`` and ``~``, which means: contains, in
            capitals or not. Numbers are compared as numbers, texts as texts.

    Raises:
        UsageError: an expression is none, nothing in the run has such a key, or a number is
            compared with what is none.
        ParslflowError: the run has no metadata.
    """
    conditions = [_parse(expression) for expression in expressions]
    graph = read(run_root)
    each_node: Iterator[Artifact | Execution] = chain(
        graph.executions.values(), graph.artifacts.values()
    )
    nodes = [(node, _values(node)) for node in each_node]
    for condition in conditions:
        _check(condition, [values for _, values in nodes])
    return [
        Match(
            node,
            {
                condition.key: next(each[condition.key] for each in values if condition.key in each)
                for condition in conditions
            },
        )
        for node, values in nodes
        if all(
            any(condition.holds(each[condition.key]) for each in values if condition.key in each)
            for condition in conditions
        )
    ]


def _parse(expression: str) -> _Condition:
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise UsageError(
            f"'{expression}' is no expression: write KEY=VALUE, or another of = != < <= > >= ~ "
            "between the two, in quotation marks."
        )
    return _Condition(match["key"].strip(), match["sign"], match["value"].strip())


def _values(node: Artifact | Execution) -> tuple[Mapping[str, Value], ...]:
    """What can be asked of a node; a property and a metric can have one name."""
    if isinstance(node, Artifact):
        own = {"kind": node.kind, "path": node.path, "sha256": node.sha256}
        return own, node.properties
    own = {"context": node.context, "name": node.name, "status": node.status}
    return own, node.properties, node.metrics


def _check(condition: _Condition, nodes: Sequence[tuple[Mapping[str, Value], ...]]) -> None:
    """Refuse a key that nothing has, and a text where all have numbers."""
    kinds = {
        isinstance(each[condition.key], str)
        for values in nodes
        for each in values
        if condition.key in each
    }
    if not kinds:
        keys = {key for values in nodes for each in values for key in each}
        close = closest(condition.key, sorted(keys))
        raise UsageError(
            f"Nothing in this run has a property or metric '{condition.key}': "
            + (f"the closest are {', '.join(close)}." if close else f"it has {_some(keys)}.")
        )
    if False in kinds and condition.sign != "~":
        try:
            float(condition.value)
        except ValueError:
            raise UsageError(
                f"'{condition.key}' is a number, which '{condition.value}' is not: compare it with "
                "a number."
            ) from None


def _some(keys: set[str]) -> str:
    return ", ".join(sorted(key for key in keys if " " not in key))
