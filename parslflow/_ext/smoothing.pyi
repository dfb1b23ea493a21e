from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floating = TypeVar("Floating", np.float32, np.float64)

def chebyshev_filter(
    fields: NDArray[Floating],
    out: NDArray[Floating],
    coefficients: NDArray[np.float64],
    walls: bool,
    threads: int = 1,
) -> None: ...
