"""Tests that say which methods of a class they are for, and are checked for it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from collections.abc import Mapping
from types import ModuleType
from typing import Any
from typing import TypeVar

import pytest

Test = TypeVar("Test", bound=Callable[..., Any])


def covers(*methods: str) -> Callable[[Test], Test]:
    """Mark a test as the one of ``methods``."""

    def mark(test: Test) -> Test:
        test.covers = methods  # type: ignore[attr-defined]
        return test

    return mark


def public(kind: type | ModuleType) -> set[str]:
    """The public functions of a class or a module."""
    return {
        name
        for name, member in inspect.getmembers(kind, callable)
        if not name.startswith("_") and not inspect.isclass(member)
    }


def covered(tests: Mapping[str, object]) -> set[str]:
    """All the methods that a module's tests say they cover."""
    return {
        name
        for test, member in tests.items()
        if test.startswith("test_")
        for name in getattr(member, "covers", ())
    }


def record(kind: type, names: set[str], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of those methods that are called from now on; the set grows."""
    called: set[str] = set()

    def recording(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
            called.add(name)
            return function(*arguments, **options)

        return call

    for name in names:
        member = inspect.getattr_static(kind, name)
        if isinstance(member, staticmethod | classmethod):
            wrapped: Any = type(member)(recording(name, member.__func__))
        else:
            wrapped = recording(name, member)
        monkeypatch.setattr(kind, name, wrapped)
    return called
