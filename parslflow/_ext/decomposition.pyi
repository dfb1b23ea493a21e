import numpy as np
from numpy.typing import NDArray

def covered(
    bounds: NDArray[np.intc],
    ranks: int,
    ny: int,
    nx: int,
    land: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint64]: ...
