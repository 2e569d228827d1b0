"""Activations and their derivatives, and dropout, on their own, where they are not fused into a product."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from contenders import JAX, NUMBA, NUMPY, TORCH, TORCH_COMPILE, contenders, operations_of
from fastfnn_kernels import reference
from measurement import Measure, Work
from numpy.typing import NDArray
from verification import TOLERANCES, assert_close

SHAPE = (42_000, 256)
DTYPE = "float32"
RATE = 0.5

# What may lie between the share that is dropped and the rate, for ten million elements: five standard deviations.
SHARE_TOLERANCE = 5 * (RATE * (1 - RATE) / (SHAPE[0] * SHAPE[1])) ** 0.5

all_contenders = contenders(NUMBA, NUMPY, TORCH)
all_activations = pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "leaky_relu", "elu", "softplus"])


@all_contenders
@all_activations
def bench_activation_forward(measure: Measure, activation: str, contender: str) -> None:
    z, _ = _operands()
    run = operations_of(contender).activation_forward(activation, z)
    expected = reference.activation_forward(z.astype(np.float64), activation)
    work = _work("activation forward", activation, n_arrays=2)
    measure(work, contender, run, lambda y: assert_close(y, expected, TOLERANCES[DTYPE]))


@all_contenders
@all_activations
def bench_activation_gradient(measure: Measure, activation: str, contender: str) -> None:
    z, grad = _operands()
    y = reference.activation_forward(z, activation)
    run = operations_of(contender).activation_gradient(activation, y, grad)
    expected = reference.activation_gradient(y.astype(np.float64), grad.astype(np.float64), activation)
    work = _work("activation gradient", activation, n_arrays=3)
    measure(work, contender, run, lambda result: assert_close(result, expected, TOLERANCES[DTYPE]))


@all_contenders
def bench_gelu_forward(measure: Measure, contender: str) -> None:
    z, _ = _operands()
    run = operations_of(contender).gelu_forward(z)
    expected = reference.gelu_forward(z.astype(np.float64))
    work = _work("activation forward", "gelu", n_arrays=2)
    measure(work, contender, run, lambda y: assert_close(y, expected, TOLERANCES[DTYPE]))


@all_contenders
def bench_gelu_gradient(measure: Measure, contender: str) -> None:
    z, grad = _operands()
    run = operations_of(contender).gelu_gradient(z, grad)
    expected = reference.gelu_gradient(z.astype(np.float64), grad.astype(np.float64))
    work = _work("activation gradient", "gelu", n_arrays=3)
    measure(work, contender, run, lambda result: assert_close(result, expected, TOLERANCES[DTYPE]))


@contenders(NUMBA, NUMPY, TORCH, TORCH_COMPILE, JAX)
def bench_dropout(measure: Measure, contender: str) -> None:
    """Draw a mask and apply it; every library draws another one, whose share alone is known."""
    x, _ = _operands()
    run = operations_of(contender).dropout(x, RATE)

    def check(result: Any) -> None:
        kept = np.asarray(result) != 0
        assert_close(result, np.where(kept, x.astype(np.float64) / (1 - RATE), 0), TOLERANCES[DTYPE])
        assert abs(np.mean(~kept) - RATE) < SHARE_TOLERANCE

    measure(_work("dropout", f"rate {RATE},", n_arrays=2), contender, run, check)


def _work(subject: str, activation: str, n_arrays: int) -> Work:
    n_bytes = n_arrays * np.dtype(DTYPE).itemsize * SHAPE[0] * SHAPE[1]
    return Work(subject, f"{activation} {SHAPE[0]:,}x{SHAPE[1]}", DTYPE, n_bytes=n_bytes)


@functools.lru_cache(maxsize=1)
def _operands() -> list[NDArray[Any]]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(SHAPE, dtype=np.float32) for _ in range(2)]
