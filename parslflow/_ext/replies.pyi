from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

def tiles(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    names: Sequence[str],
    numbers: Sequence[bytes],
    fields: Sequence[str],
) -> tuple[
    NDArray[np.float64],
    NDArray[np.intc],
    NDArray[np.int64],
    Literal["DOUBLE", "FLOAT", ""],
    list[bytes | None],
]: ...
