"""GELU, the only activation whose derivative cannot be computed from its output."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._compile.jit import In1, Out1, inline, kernel
from fastfnn_kernels.jitted._llvm.math import exp_of_negative
from fastfnn_kernels.jitted._products.loops import BLOCK, OPERATIONS_OF_EXP
from fastfnn_kernels.reference.gelu import BEYOND, CUBIC, SLOPE


def gelu_forward(z: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Compute y = z s; see `fastfnn_kernels.reference.gelu_forward`."""
    out = np.empty_like(z) if out is None else out
    _forward(OPERATIONS_OF_EXP * z.size, z.dtype, z.reshape(-1), out.reshape(-1))
    return out


def gelu_gradient(z: NDArray[Any], grad: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Compute grad * y'(z); see `fastfnn_kernels.reference.gelu_gradient`."""
    out = np.empty_like(z) if out is None else out
    _gradient(OPERATIONS_OF_EXP * z.size, z.dtype, z.reshape(-1), grad.reshape(-1), out.reshape(-1))
    return out


@kernel
def _forward(z: In1, out: Out1) -> None:
    for block in prange((z.size + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        _write(z[first : first + BLOCK], out[first : first + BLOCK])


@kernel
def _gradient(z: In1, grad: In1, out: Out1) -> None:
    for block in prange((z.size + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        _write_gradient(z[first : first + BLOCK], grad[first : first + BLOCK], out[first : first + BLOCK])


@inline
def _write(z: Any, out: Any) -> None:
    for i in range(z.size):
        share, _ = _share_and_slope(_clipped(z[i], z), z)
        out[i] = z[i] * share


@inline
def _write_gradient(z: Any, grad: Any, out: Any) -> None:
    for i in range(z.size):
        clipped = _clipped(z[i], z)
        share, slope = _share_and_slope(clipped, z)
        out[i] = grad[i] * (share + clipped * slope)


@inline
def _clipped(number: Any, like: Any) -> Any:
    """Clip a number to [-BEYOND, BEYOND]; NaN stays NaN."""
    beyond = like.dtype.type(BEYOND)
    below = beyond if number > beyond else number
    return -beyond if below < -beyond else below


@inline
def _share_and_slope(z: Any, like: Any) -> Any:
    """Return s and s' of the formula, in the dtype of `like`."""
    zero, one = like.dtype.type(0), like.dtype.type(1)
    slope, cubic = like.dtype.type(SLOPE), like.dtype.type(CUBIC)
    three_cubic = like.dtype.type(3 * CUBIC)
    u = slope * (z + cubic * (z * z * z))
    decay = exp_of_negative(-abs(u))
    total = one + decay
    return (decay if u < zero else one) / total, decay / (total * total) * slope * (one + three_cubic * (z * z))
