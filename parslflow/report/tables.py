"""Values as a table for the terminal, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence

NONE = "-"
"""What stands where there is no number."""


def columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = ()
) -> list[str]:
    """The lines of a table; columns in ``left`` are aligned to the left, the others to the right.

    The first line is the header.
    """
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]


def finite(value: object) -> object:
    """``value`` with None for NaN and infinities, which JSON cannot hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
