"""Indices that come from arguments: row numbers, labels, columns.

Arguments are checked before a kernel runs. Another thread or process may write to them afterwards, so a kernel never
uses a number from an argument as an index as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inline


@inline
def index_below(number: Any, end: int) -> Any:
    """Return a number as an index below `end`, which is at least 1; a wrong number gives the last index.

    The index is unsigned. It costs nothing more than the number itself, for which Numba would test the sign.
    """
    return min(np.uintp(number), np.uintp(end - 1))
