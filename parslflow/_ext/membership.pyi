from typing import Any

import numpy as np
from numpy.typing import NDArray

def assign(
    features: NDArray[np.floating[Any]],
    rv_offset: float,
    mean: NDArray[np.float64],
    std: NDArray[np.float64],
    centres: NDArray[np.float64],
) -> NDArray[np.int32]: ...
def members(
    smoothed: NDArray[np.floating[Any]],
    radius: NDArray[np.floating[Any]],
    energy: NDArray[np.floating[Any]],
    mke: NDArray[np.float64],
    radius_scale: float,
    rv_offset: float,
    mean: NDArray[np.float64],
    std: NDArray[np.float64],
    centres: NDArray[np.float64],
    wanted: int,
    wall_rows: int,
    threads: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32], NDArray[np.int32], int]: ...
