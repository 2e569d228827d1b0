"""Losses that compare each output with its own target."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._compile.jit import In1, In2, Int, Out2, OutDoubles1, Real, kernel
from fastfnn_kernels.jitted._products.elementwise_rows import CODES, compare_rows_of_elements
from fastfnn_kernels.jitted._products.loops import OPERATIONS_OF_EXP

NO_WEIGHTS = {np.dtype(dtype): np.empty(0, dtype) for dtype in (np.float32, np.float64)}

# Elements in a block of rows, whose losses are summed together.
BLOCK = 4096


def elementwise_loss(
    outputs: NDArray[Any],
    targets: NDArray[Any],
    loss: str,
    scale: float | None = None,
    weights: NDArray[Any] | None = None,
    delta: float = 1.0,
    out: NDArray[Any] | None = None,
) -> tuple[float, NDArray[Any]]:
    """Compute a loss and its gradient; see `fastfnn_kernels.reference.elementwise_loss`."""
    n_rows, n_columns = outputs.shape
    out = np.empty_like(outputs) if out is None else out
    scale = 1 / max(outputs.size, 1) if scale is None else scale
    block_rows = max(1, BLOCK // max(n_columns, 1))
    block_losses = np.zeros(-(-n_rows // block_rows))
    weights = NO_WEIGHTS[outputs.dtype] if weights is None else weights
    operands = (outputs, targets, CODES[loss], scale, weights, delta, block_rows, out, block_losses)
    _loss_and_gradient(OPERATIONS_OF_EXP * outputs.size, outputs.dtype, *operands)
    return scale * float(block_losses.sum()), out


@kernel
def _loss_and_gradient(
    outputs: In2,
    targets: In2,
    code: Int,
    scale: Real,
    weights: In1,
    delta: Real,
    block_rows: Int,
    out: Out2,
    block_losses: OutDoubles1,
) -> None:
    for block in prange(block_losses.size):
        first = block * block_rows
        end = min(first + block_rows, len(outputs))
        loss = compare_rows_of_elements(outputs, targets, weights, code, delta, scale, first, end, out)
        block_losses[block] = loss
