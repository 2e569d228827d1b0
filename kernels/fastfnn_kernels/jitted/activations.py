"""Activations and their derivatives, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._jit import In1, Int, Out1, inline, kernel
from fastfnn_kernels.jitted._math import exp, expm1_of_negative

IDENTITY, RELU, SIGMOID, TANH = range(4)
CODES = {"identity": IDENTITY, "relu": RELU, "sigmoid": SIGMOID, "tanh": TANH}

# Elements a thread takes at a time: they stay in the innermost cache.
BLOCK = 4096

# What an element costs beside a multiply-add, to decide between one thread and many.
OPERATIONS_OF_EXP = 16


def activation_forward(z: NDArray[Any], activation: str, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Compute y = f(z); see `fastfnn_kernels.reference.activation_forward`."""
    out = np.empty_like(z) if out is None else out
    _forward(OPERATIONS_OF_EXP * z.size, z.dtype, z.reshape(-1), CODES[activation], out.reshape(-1))
    return out


def activation_gradient(
    y: NDArray[Any], grad: NDArray[Any], activation: str, out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Compute grad * f'(z) from y = f(z); see `fastfnn_kernels.reference.activation_gradient`."""
    out = np.empty_like(grad) if out is None else out
    _gradient(4 * y.size, y.dtype, y.reshape(-1), grad.reshape(-1), CODES[activation], out.reshape(-1))
    return out


@kernel
def _forward(z: In1, code: Int, out: Out1) -> None:
    for block in prange((z.size + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        end = min(first + BLOCK, z.size)
        for i in range(first, end):
            out[i] = z[i]
        activate(out, first, end, code)


@kernel
def _gradient(y: In1, grad: In1, code: Int, out: Out1) -> None:
    for block in prange((y.size + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        end = min(first + BLOCK, y.size)
        for i in range(first, end):
            out[i] = grad[i]
        multiply_by_derivative(out, y, first, end, code)


@inline
def activate(values: Any, first: int, end: int, code: int) -> None:
    """Replace values[first:end] by f of them."""
    zero = values.dtype.type(0)
    one = values.dtype.type(1)
    two = values.dtype.type(2)
    if code == RELU:
        for i in range(first, end):
            values[i] = zero if values[i] < zero else values[i]
    elif code == SIGMOID:
        for i in range(first, end):
            z = values[i]
            decay = exp(-abs(z))  # exp of a negative number cannot overflow
            values[i] = (decay if z < zero else one) / (one + decay)
    elif code == TANH:
        for i in range(first, end):
            z = values[i]
            shrunk = expm1_of_negative(-two * abs(z))  # tanh |z| = -(e**-2|z| - 1) / (e**-2|z| + 1)
            size = -shrunk / (two + shrunk)
            values[i] = -size if z < zero else size


@inline
def multiply_by_derivative(grad: Any, y: Any, first: int, end: int, code: int) -> None:
    """Multiply grad[first:end] by f', known from the outputs y[first:end]."""
    zero = grad.dtype.type(0)
    one = grad.dtype.type(1)
    if code == RELU:
        for i in range(first, end):
            grad[i] = grad[i] if y[i] > zero else zero
    elif code == SIGMOID:
        for i in range(first, end):
            grad[i] *= y[i] * (one - y[i])
    elif code == TANH:
        for i in range(first, end):
            grad[i] *= one - y[i] * y[i]
