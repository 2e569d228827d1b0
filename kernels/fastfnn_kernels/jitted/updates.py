"""Optimizer updates, which change a parameter and its state in place, in one pass over memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._compile.jit import Flag, In1, Out1, OutDoubles1, Real, inline, kernel
from fastfnn_kernels.jitted._products.loops import sum_in_order, sum_of_squares
from fastfnn_kernels.jitted._products.update_rules import (
    adamw_elements,
    adamw_numbers,
    momentum_elements,
    rmsprop_elements,
    sgd_elements,
)

# Elements that a thread updates at a time, or that are summed separately in a sum of squares.
BLOCK = 4096


def sgd(parameter: NDArray[Any], gradient: NDArray[Any], learning_rate: float) -> None:
    """Take a step of gradient descent; see `fastfnn_kernels.reference.sgd`."""
    _sgd(2 * parameter.size, parameter.dtype, parameter.reshape(-1), gradient.reshape(-1), learning_rate)


def momentum(
    parameter: NDArray[Any],
    gradient: NDArray[Any],
    velocity: NDArray[Any],
    learning_rate: float,
    momentum: float,
    nesterov: bool = False,
    velocity_of_steps: bool = False,
) -> None:
    """Take a step with momentum; see `fastfnn_kernels.reference.momentum`."""
    flat = (parameter.reshape(-1), gradient.reshape(-1), velocity.reshape(-1))
    _momentum(6 * parameter.size, parameter.dtype, *flat, learning_rate, momentum, nesterov, velocity_of_steps)


def rmsprop(
    parameter: NDArray[Any],
    gradient: NDArray[Any],
    mean_square: NDArray[Any],
    learning_rate: float,
    rho: float,
    epsilon: float,
) -> None:
    """Take a step of RMSprop; see `fastfnn_kernels.reference.rmsprop`."""
    flat = (parameter.reshape(-1), gradient.reshape(-1), mean_square.reshape(-1))
    _rmsprop(16 * parameter.size, parameter.dtype, *flat, learning_rate, rho, 1 - rho, epsilon)


def rmsprop_tensor(
    parameter: NDArray[Any],
    gradient: NDArray[Any],
    mean_square: float,
    learning_rate: float,
    rho: float,
    epsilon: float,
) -> float:
    """Take a step of RMSprop for a whole tensor; see `fastfnn_kernels.reference.rmsprop_tensor`."""
    mean_square = rho * mean_square + (1 - rho) * squared_norm(gradient)
    sgd(parameter, gradient, learning_rate / math.sqrt(mean_square + epsilon))
    return mean_square


def adam(
    parameter: NDArray[Any],
    gradient: NDArray[Any],
    first_moment: NDArray[Any],
    second_moment: NDArray[Any],
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> None:
    """Take a step of Adam; see `fastfnn_kernels.reference.adam`."""
    adamw(parameter, gradient, first_moment, second_moment, step, learning_rate, beta1, beta2, epsilon, 0.0)


def adamw(
    parameter: NDArray[Any],
    gradient: NDArray[Any],
    first_moment: NDArray[Any],
    second_moment: NDArray[Any],
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
) -> None:
    """Take a step of Adam with decoupled weight decay; see `fastfnn_kernels.reference.adamw`."""
    flat = [array.reshape(-1) for array in (parameter, gradient, first_moment, second_moment)]
    correction, root = 1 - beta1**step, math.sqrt(1 - beta2**step)
    scalars = adamw_numbers(correction, root, learning_rate, beta1, beta2, epsilon, weight_decay)
    _adamw(24 * parameter.size, parameter.dtype, *flat, *scalars)


def squared_norm(values: NDArray[Any]) -> float:
    """Sum the squares of all elements in float64; see `fastfnn_kernels.reference.squared_norm`."""
    block_sums = np.empty(-(-values.size // BLOCK))
    norm: float = _squared_norm(4 * values.size, values.dtype, values.reshape(-1), block_sums)
    return norm


def l2_penalty(parameter: NDArray[Any], gradient: NDArray[Any], l2: float) -> float:
    """Compute a penalty, and add its gradient; see `fastfnn_kernels.reference.l2_penalty`."""
    block_sums = np.empty(-(-parameter.size // BLOCK))
    operands = (parameter.reshape(-1), l2, gradient.reshape(-1), block_sums)
    # Six operations each, as a step with momentum: as many bytes are read and written.
    norm: float = _add_multiple(6 * parameter.size, parameter.dtype, *operands)
    return l2 / 2 * norm


@inline
def part(values: Any, block: int) -> Any:
    """Return a view of one block; LLVM vectorises a loop over a view, which counts from zero."""
    return values[block * BLOCK : (block + 1) * BLOCK]


@kernel
def _sgd(w: Out1, g: In1, learning_rate: Real) -> None:
    for block in prange((w.size + BLOCK - 1) // BLOCK):
        sgd_elements(part(w, block), part(g, block), learning_rate)


@kernel
def _momentum(
    w: Out1, g: In1, v: Out1, learning_rate: Real, momentum: Real, nesterov: Flag, velocity_of_steps: Flag
) -> None:
    for block in prange((w.size + BLOCK - 1) // BLOCK):
        arrays = part(w, block), part(g, block), part(v, block)
        momentum_elements(*arrays, learning_rate, momentum, nesterov, velocity_of_steps)


@kernel
def _rmsprop(w: Out1, g: In1, s: Out1, learning_rate: Real, rho: Real, one_minus_rho: Real, epsilon: Real) -> None:
    for block in prange((w.size + BLOCK - 1) // BLOCK):
        arrays = part(w, block), part(g, block), part(s, block)
        rmsprop_elements(*arrays, learning_rate, rho, one_minus_rho, epsilon)


@kernel
def _adamw(
    w: Out1,
    g: In1,
    m: Out1,
    v: Out1,
    beta1: Real,
    one_minus_beta1: Real,
    beta2: Real,
    one_minus_beta2: Real,
    kept: Real,
    rate: Real,
    epsilon: Real,
) -> None:
    for block in prange((w.size + BLOCK - 1) // BLOCK):
        arrays = part(w, block), part(g, block), part(m, block), part(v, block)
        adamw_elements(*arrays, beta1, one_minus_beta1, beta2, one_minus_beta2, kept, rate, epsilon)


@kernel
def _squared_norm(values: In1, block_sums: OutDoubles1) -> float:
    for block in prange(block_sums.size):
        block_sums[block] = sum_of_squares(part(values, block))
    norm: float = sum_in_order(block_sums)
    return norm


@kernel
def _add_multiple(w: In1, l2: Real, g: Out1, block_sums: OutDoubles1) -> float:
    """Add l2 * w to g; return the squared norm of w."""
    for block in prange(block_sums.size):
        w_part, g_part = part(w, block), part(g, block)
        for i in range(w_part.size):
            g_part[i] += l2 * w_part[i]
        block_sums[block] = sum_of_squares(w_part)
    norm: float = sum_in_order(block_sums)
    return norm
