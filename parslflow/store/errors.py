"""What can go wrong between a client and its store: small classes, safe to pickle."""

from __future__ import annotations

from typing import ClassVar

from parslflow.errors import ParslflowError


class StoreError(ParslflowError):
    """The store refused a command; the classes below say more when more is known.

    Attributes:
        code: The number of the error, as in the C client's ``pf_error``.
    """

    code: ClassVar[int] = 3


class ConnectionLost(StoreError):
    """There is no connection to the store, or it was lost."""

    code = 1


class StoreTimeout(StoreError):
    """No answer came within the time limit. Whether the store did it is not known."""

    code = 2


class StoreFull(StoreError):
    """The store was out of memory for the whole time limit. It did nothing."""

    code = 4


class MissingKey(StoreError):
    """There is no such tensor, data set, model or script."""

    code = 5


class WrongType(StoreError):
    """The key holds something else, or the array is of a type that the store cannot hold."""

    code = 6
