from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floating = TypeVar("Floating", np.float32, np.float64)

def assign(
    features: NDArray[np.float32] | NDArray[np.float64],
    rv_offset: float,
    mean: NDArray[np.float64],
    std: NDArray[np.float64],
    centres: NDArray[np.float64],
) -> NDArray[np.int32]: ...
def members(
    features: NDArray[Floating],
    eke: NDArray[Floating],
    rv_offset: float,
    mean: NDArray[np.float64],
    std: NDArray[np.float64],
    centres: NDArray[np.float64],
    wanted: int,
    wall_rows: int,
) -> tuple[NDArray[Floating], NDArray[Floating], NDArray[np.int32], int]: ...
