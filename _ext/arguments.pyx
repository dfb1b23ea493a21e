"""Checks of the arrays that kernels are given, so that a wrong one is told by its name."""

import numpy as np


def real(array, name, ndim):
    """Check an array of float32 or float64.

    Args:
        array: What was given.
        name: What it is called in the message.
        ndim: How many dimensions it is to have.

    Returns:
        Its type.

    Raises:
        ValueError: It is no such array, or not C-contiguous.
    """
    _check(array, name, ndim, _REALS)
    return array.dtype


def typed(array, name, ndim, dtype):
    """Check an array of one type.

    Args:
        array: What was given.
        name: What it is called in the message.
        ndim: How many dimensions it is to have.
        dtype: The type it is to have.

    Raises:
        ValueError: It is no such array, or not C-contiguous.
    """
    _check(array, name, ndim, (np.dtype(dtype),))


def finite(array, name, shape):
    """Check an array of parameters: float64 of the given shape without NaN or infinity.

    Args:
        array: What was given.
        name: What it is called in the message.
        shape: The shape that it is to have; None for a length that may be any but 0.

    Raises:
        ValueError: It is no such array.
    """
    typed(array, name, len(shape), np.float64)
    if any(
        length != wanted if wanted is not None else length == 0
        for length, wanted in zip(array.shape, shape)
    ):
        written = ", ".join("n" if length is None else str(length) for length in shape)
        raise ValueError(f"{name} has the shape {array.shape} where ({written}) is needed.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has values that are not finite.")


def threads(number):
    """Check a number of threads.

    Args:
        number: What was given.

    Raises:
        ValueError: It is less than 1.
    """
    if number < 1:
        raise ValueError(f"At least one thread has to work, not {number}.")


_REALS = (np.dtype(np.float32), np.dtype(np.float64))


cdef _check(array, name, int ndim, tuple dtypes):
    if not isinstance(array, np.ndarray):
        problem = f"is of type {type(array).__name__}"
    elif array.dtype not in dtypes:
        problem = f"holds {array.dtype}"
    elif array.ndim != ndim:
        problem = f"has the shape {array.shape}"
    elif not array.flags.c_contiguous:
        problem = "is not contiguous"
    else:
        return
    wanted = " or ".join(str(dtype) for dtype in dtypes)
    raise ValueError(
        f"{name} {problem}: give a C-contiguous array of {wanted} with {ndim} dimensions."
    )
