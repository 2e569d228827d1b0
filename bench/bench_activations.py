"""Activations and their derivatives on their own, where they are not fused into a product."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from contenders import NUMBA, NUMPY, TORCH, contenders, operations_of
from fastfnn_kernels import reference
from measurement import Measure, Work
from numpy.typing import NDArray
from verification import TOLERANCES, assert_close

SHAPE = (42_000, 256)
DTYPE = "float32"

all_contenders = contenders(NUMBA, NUMPY, TORCH)
all_activations = pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])


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


def _work(subject: str, activation: str, n_arrays: int) -> Work:
    n_bytes = n_arrays * np.dtype(DTYPE).itemsize * SHAPE[0] * SHAPE[1]
    return Work(subject, f"{activation} {SHAPE[0]:,}x{SHAPE[1]}", DTYPE, n_bytes=n_bytes)


@functools.lru_cache(maxsize=1)
def _operands() -> list[NDArray[Any]]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(SHAPE, dtype=np.float32) for _ in range(2)]
