"""Arrays aligned to a cache line; NumPy's arrays usually start in the middle of one.

Loading or storing a vector register across two cache lines costs two accesses: adding gradients in unaligned memory
took twice as long.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

CACHE_LINE = 64

# Smaller arrays are not worth the microseconds that alignment costs.
ALIGNED_FROM_BYTES = 2**15


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Allocate an array like `np.empty`."""
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes <= ALIGNED_FROM_BYTES:
        return np.empty(shape, dtype)
    memory = np.empty(n_bytes + CACHE_LINE, np.uint8)
    first = -memory.ctypes.data % CACHE_LINE
    return memory[first : first + n_bytes].view(dtype).reshape(shape)


def aligned_full(shape: tuple[int, ...], value: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Allocate an array like `np.full`."""
    array = aligned_empty(shape, dtype)
    array.fill(value)
    return array


def aligned_copy(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Copy an array, converted to `dtype`."""
    copy = aligned_empty(array.shape, dtype)
    copy[...] = array
    return copy
