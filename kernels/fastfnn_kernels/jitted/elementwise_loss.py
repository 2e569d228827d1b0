"""Losses that compare each output with its own target."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._compile.jit import In1, In2, Int, Out2, OutDoubles1, Real, inline, kernel
from fastfnn_kernels.jitted._llvm.math import add_in_any_order, exp_of_negative, log1p_of_share
from fastfnn_kernels.jitted._products.loops import OPERATIONS_OF_EXP, multiply, multiply_and_flush

SQUARED_ERROR, HUBER, BINARY_CROSS_ENTROPY, POISSON = range(4)
CODES = {
    "squared_error": SQUARED_ERROR,
    "huber": HUBER,
    "binary_cross_entropy": BINARY_CROSS_ENTROPY,
    "poisson": POISSON,
}

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
        if weights.size == 0:
            flat = out[first:end].reshape(-1)
            loss = _compare(outputs[first:end].reshape(-1), targets[first:end].reshape(-1), code, delta, flat)
            _scale(flat, scale, code)
        else:
            loss = 0.0
            for row in range(first, end):
                loss += np.float64(weights[row]) * _compare(outputs[row], targets[row], code, delta, out[row])
                _scale(out[row], weights[row] * scale, code)
        block_losses[block] = loss


@inline
def _scale(derivatives: Any, factor: Any, code: int) -> None:
    """Multiply derivatives by a number; only those that contain an exponential could become subnormal."""
    if code in (BINARY_CROSS_ENTROPY, POISSON):
        multiply_and_flush(derivatives, factor)
    else:
        multiply(derivatives, factor)


@inline
def _compare(y: Any, t: Any, code: int, delta: Any, out: Any) -> float:
    """Write the derivative of each element's loss; return the sum of the losses."""
    zero, one, two = y.dtype.type(0), y.dtype.type(1), y.dtype.type(2)
    total = 0.0
    if code == SQUARED_ERROR:
        for j in range(y.size):
            difference = y[j] - t[j]
            out[j] = two * difference
            total = add_in_any_order(total, np.float64(difference * difference))
    elif code == HUBER:
        for j in range(y.size):
            difference = y[j] - t[j]
            below = delta if difference > delta else difference
            clipped = -delta if below < -delta else below
            out[j] = clipped
            total = add_in_any_order(total, np.float64(clipped * (difference - clipped / two)))
    elif code == BINARY_CROSS_ENTROPY:
        for j in range(y.size):
            decay = exp_of_negative(-abs(y[j]))
            chance = (decay if y[j] < zero else one) / (one + decay)
            out[j] = chance - t[j]
            loss = (zero if y[j] < zero else y[j]) - t[j] * y[j] + log1p_of_share(decay)
            total = add_in_any_order(total, np.float64(loss))
    else:
        for j in range(y.size):
            decay = exp_of_negative(-abs(y[j]))
            rate = decay if y[j] < zero else one / decay
            out[j] = rate - t[j]
            total = add_in_any_order(total, np.float64(rate - t[j] * y[j]))
    return total
