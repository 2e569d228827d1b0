"""Activations and their derivatives, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._jit import In1, Int, Out1, inline, kernel
from fastfnn_kernels.jitted._math import exp_of_negative, expm1_of_negative, log1p_of_share
from fastfnn_kernels.reference.activations import LEAK

# Those that are a part of other kernels, and those that are not: each would lengthen the compiling of them all.
IDENTITY, RELU, SIGMOID, TANH, LEAKY_RELU, ELU, SOFTPLUS = range(7)
CODES = {"identity": IDENTITY, "relu": RELU, "sigmoid": SIGMOID, "tanh": TANH}
CODES_HERE = CODES | {"leaky_relu": LEAKY_RELU, "elu": ELU, "softplus": SOFTPLUS}

# Elements a thread takes at a time: they stay in the innermost cache.
BLOCK = 4096

# What an element costs beside a multiply-add, to decide between one thread and many.
OPERATIONS_OF_EXP = 48


def activation_forward(z: NDArray[Any], activation: str, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Compute y = f(z); see `fastfnn_kernels.reference.activation_forward`."""
    out = np.empty_like(z) if out is None else out
    _forward(OPERATIONS_OF_EXP * z.size, z.dtype, z.reshape(-1), CODES_HERE[activation], out.reshape(-1))
    return out


def activation_gradient(
    y: NDArray[Any], grad: NDArray[Any], activation: str, out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Compute grad * f'(z) from y = f(z); see `fastfnn_kernels.reference.activation_gradient`."""
    out = np.empty_like(grad) if out is None else out
    _gradient(4 * y.size, y.dtype, y.reshape(-1), grad.reshape(-1), CODES_HERE[activation], out.reshape(-1))
    return out


@kernel
def _forward(z: In1, code: Int, out: Out1) -> None:
    for block in prange((z.size + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        target = out[first : first + BLOCK]
        copy(z[first : first + BLOCK], target)
        activate(target, code)
        _activate_here(target, code)


@kernel
def _gradient(y: In1, grad: In1, code: Int, out: Out1) -> None:
    for block in prange((y.size + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        target = out[first : first + BLOCK]
        copy(grad[first : first + BLOCK], target)
        multiply_by_derivative(target, y[first : first + BLOCK], code)
        _multiply_by_derivative_here(target, y[first : first + BLOCK], code)


# The helpers below take views and count from zero: an index that might be negative would have to be tested for
# wrapping around, and a loop with such a test does not become vector instructions.


@inline
def copy(source: Any, target: Any) -> None:
    """Copy as many elements as `source` has."""
    for i in range(source.size):
        target[i] = source[i]


@inline
def floor_of_code(code: int, values: Any) -> Any:
    """Return what an activation is held above, of the dtype of `values`: zero for relu."""
    return values.dtype.type(0) if code == RELU else values.dtype.type(-np.inf)


@inline
def activate(values: Any, code: int) -> None:
    """Replace values by f of them."""
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
    """Multiply a gradient by f', known from the outputs y."""
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


@inline
def _activate_here(values: Any, code: int) -> None:
    """Replace values by f of them, for the f that other kernels do not know."""
    zero = values.dtype.type(0)
    leak = values.dtype.type(LEAK)
    if code == LEAKY_RELU:
        for i in range(values.size):
            values[i] = leak * values[i] if values[i] < zero else values[i]
    elif code == ELU:
        for i in range(values.size):
            z = values[i]
            below = expm1_of_negative(-abs(z))
            values[i] = below if z < zero else z
    elif code == SOFTPLUS:
        for i in range(values.size):
            z = values[i]
            values[i] = (zero if z < zero else z) + log1p_of_share(exp_of_negative(-abs(z)))


@inline
def _multiply_by_derivative_here(grad: Any, y: Any, code: int) -> None:
    """Multiply a gradient by f' of the f that other kernels do not know."""
    zero = grad.dtype.type(0)
    one = grad.dtype.type(1)
    leak = grad.dtype.type(LEAK)
    if code == LEAKY_RELU:
        for i in range(grad.size):
            grad[i] *= one if y[i] > zero else leak
    elif code == ELU:
        for i in range(grad.size):
            grad[i] *= one if y[i] > zero else one + y[i]
    elif code == SOFTPLUS:
        for i in range(grad.size):
            grad[i] *= -expm1_of_negative(zero if y[i] < zero else -y[i])
