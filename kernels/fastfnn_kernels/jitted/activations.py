"""Elementwise activations and their derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._compile.jit import In1, Int, Out1, inline, kernel
from fastfnn_kernels.jitted._llvm.math import exp_of_negative, expm1_of_negative, log1p_of_share
from fastfnn_kernels.jitted._products.fused_activations import (
    CODES,
    ELU,
    LEAKY_RELU,
    SOFTPLUS,
    activate,
    multiply_by_derivative,
)
from fastfnn_kernels.jitted._products.loops import BLOCK, OPERATIONS_OF_EXP, copy
from fastfnn_kernels.reference.activations import LEAK

CODES_HERE = CODES | {"leaky_relu": LEAKY_RELU, "elu": ELU, "softplus": SOFTPLUS}


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


@inline
def _activate_here(values: Any, code: int) -> None:
    """Apply f to all values, in place, for the f that no other kernel contains."""
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
    """Multiply a gradient by f', for the f that no other kernel contains."""
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
