"""The activations that kernels of layers compute themselves, while a tile or block of outputs is still in cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inline
from fastfnn_kernels.jitted._llvm.math import exp_of_negative, expm1_of_negative

# The first four are part of the kernels of layers. The others are not, since each would lengthen every compilation.
IDENTITY, RELU, SIGMOID, TANH, LEAKY_RELU, ELU, SOFTPLUS = range(7)

CODES = {"identity": IDENTITY, "relu": RELU, "sigmoid": SIGMOID, "tanh": TANH}


@inline
def floor_of(code: int, values: Any) -> Any:
    """Return the lower bound of stored outputs, in the dtype of `values`: 0 for relu, else -inf."""
    return values.dtype.type(0) if code == RELU else values.dtype.type(-np.inf)


@inline
def activate(values: Any, code: int) -> None:
    """Apply f to all values, in place."""
    zero = values.dtype.type(0)
    one = values.dtype.type(1)
    two = values.dtype.type(2)
    if code == RELU:
        for i in range(values.size):
            values[i] = zero if values[i] < zero else values[i]
    elif code == SIGMOID:
        for i in range(values.size):
            z = values[i]
            decay = exp_of_negative(-abs(z))
            values[i] = (decay if z < zero else one) / (one + decay)
    elif code == TANH:
        for i in range(values.size):
            z = values[i]
            shrunk = expm1_of_negative(-two * abs(z))  # tanh |z| = -(e**-2|z| - 1) / (e**-2|z| + 1)
            size = -shrunk / (two + shrunk)
            values[i] = -size if z < zero else size


@inline
def multiply_by_derivative(grad: Any, y: Any, code: int) -> None:
    """Multiply a gradient by f', which is computed from the outputs y."""
    zero = grad.dtype.type(0)
    one = grad.dtype.type(1)
    if code == RELU:
        for i in range(grad.size):
            grad[i] = grad[i] if y[i] > zero else zero
    elif code == SIGMOID:
        for i in range(grad.size):
            grad[i] *= y[i] * (one - y[i])
    elif code == TANH:
        for i in range(grad.size):
            grad[i] *= one - y[i] * y[i]
