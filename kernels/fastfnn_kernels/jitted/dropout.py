"""Dropout with a mask that is a function of a seed and of an element's position."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._compile.jit import In1, Int, Out1, Real, kernel
from fastfnn_kernels.jitted._products.dropped import drop_elements
from fastfnn_kernels.jitted._products.loops import BLOCK

# Cost of an element, in multiply-adds; it decides between one thread and many.
OPERATIONS = 16


def dropout(
    x: NDArray[Any], rate: float, seed: int, first_row: int = 0, out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Drop a share of the elements; see `fastfnn_kernels.reference.dropout`."""
    out = np.empty_like(x) if out is None else out
    least, factor = int(rate * 2**32), 1 / (1 - rate)
    first = first_row * x.shape[1]
    _drop(OPERATIONS * x.size, x.dtype, x.reshape(-1), least, factor, seed, first, out.reshape(-1))
    return out


@kernel
def _drop(x: In1, least: Int, factor: Real, seed: Int, first: Int, out: Out1) -> None:
    for block in prange((x.size + BLOCK - 1) // BLOCK):
        start = block * BLOCK
        drop_elements(x[start : start + BLOCK], least, factor, seed, first + start, out[start : start + BLOCK])
