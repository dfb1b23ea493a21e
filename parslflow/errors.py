"""The errors that a user sees: each is one sentence that names the cause and the cure."""

from __future__ import annotations


class ParslflowError(Exception):
    """Something failed while it ran; the command ends with exit code 1."""

    exit_code = 1


class UsageError(ParslflowError):
    """The input is wrong and nothing was started; the command ends with exit code 2."""

    exit_code = 2


class DivergedError(ParslflowError):
    """A training's loss is not finite: the model is rejected, and others can go on."""
