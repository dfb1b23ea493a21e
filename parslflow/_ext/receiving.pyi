import numpy as np
from numpy.typing import NDArray

def receive(
    socket: int, data: NDArray[np.uint8], start: int, end: int, wanted: int, timeout_ms: int
) -> tuple[int, int, int, int]: ...
