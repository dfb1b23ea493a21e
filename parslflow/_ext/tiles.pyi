from collections.abc import Sequence
from typing import Any
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

def assemble(
    out: NDArray[np.floating[Any]],
    bounds: NDArray[np.intc],
    tiles: Sequence[Sequence[Sequence[Buffer | None]]],
    fields: Sequence[str],
    ranks: int,
    order: Literal["ij", "ji"] = "ij",
    land: NDArray[np.bool_] | None = None,
    threads: int = 1,
) -> None: ...
def assemble_bytes(
    out: NDArray[np.floating[Any]],
    bounds: NDArray[np.intc],
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    fields: Sequence[str],
    ranks: int,
    order: Literal["ij", "ji"] = "ij",
    land: NDArray[np.bool_] | None = None,
    threads: int = 1,
) -> None: ...
