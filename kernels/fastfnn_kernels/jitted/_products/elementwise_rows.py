"""Losses that compare each output with its own target, computed by one thread for some rows of a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inline, uncounted
from fastfnn_kernels.jitted._llvm.math import add_in_any_order, exp_of_negative, log1p_of_share
from fastfnn_kernels.jitted._products.loops import multiply, multiply_and_flush

SQUARED_ERROR, HUBER, BINARY_CROSS_ENTROPY, POISSON = range(4)
CODES = {
    "squared_error": SQUARED_ERROR,
    "huber": HUBER,
    "binary_cross_entropy": BINARY_CROSS_ENTROPY,
    "poisson": POISSON,
}


@uncounted
def compare_rows_of_elements(
    outputs: Any, targets: Any, weights: Any, code: int, delta: Any, scale: Any, first: int, end: int, out: Any
) -> float:
    """Write `scale` times the derivatives of some rows' weighted losses; return the weighted sum of the losses."""
    if weights.size == 0:
        flat = out[first:end].reshape(-1)
        loss: float = compare_elements(
            outputs[first:end].reshape(-1), targets[first:end].reshape(-1), code, delta, flat
        )
        scale_derivatives(flat, scale, code)
    else:
        loss = 0.0
        for row in range(first, end):
            loss += np.float64(weights[row]) * compare_elements(outputs[row], targets[row], code, delta, out[row])
            scale_derivatives(out[row], weights[row] * scale, code)
    return loss


@inline
def scale_derivatives(derivatives: Any, factor: Any, code: int) -> None:
    """Multiply derivatives by a number; only those that contain an exponential could become subnormal."""
    if code in (BINARY_CROSS_ENTROPY, POISSON):
        multiply_and_flush(derivatives, factor)
    else:
        multiply(derivatives, factor)


@inline
def compare_elements(y: Any, t: Any, code: int, delta: Any, out: Any) -> float:
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
