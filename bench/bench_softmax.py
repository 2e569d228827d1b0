"""Softmax cross-entropy with its gradient, for few classes and for many."""

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

SHAPES = [(1_000_000, 10), (4_096, 32_000)]
DTYPE = "float32"

# Elements the reference sees at a time: in float64 it needs several times the memory of its input.
BLOCK = 4_000_000

# Logits are read and gradients are written.
PASSES = 2


@contenders(NUMBA, NUMPY, TORCH, TORCH_COMPILE, JAX)
@pytest.mark.parametrize("shape", SHAPES, ids=["few-classes", "many-classes"])
def bench_softmax_cross_entropy(measure: Measure, shape: tuple[int, int], contender: str) -> None:
    run = operations_of(contender).softmax_cross_entropy(*_operands(*shape))
    expected_loss, expected_grad = _expected(*shape)

    def check(result: Any) -> None:
        loss, grad = result
        assert_close(loss, expected_loss, TOLERANCES[DTYPE])
        assert_close(grad, expected_grad, TOLERANCES[DTYPE])

    case = f"{shape[0]:,}x{shape[1]:,}"
    n_bytes = PASSES * np.dtype(DTYPE).itemsize * shape[0] * shape[1]
    work = Work("softmax cross-entropy", case, DTYPE, n_bytes=n_bytes, headline=f"softmax cross-entropy, {case}")
    measure(work, contender, run, check)


@functools.lru_cache(maxsize=1)
def _operands(n_rows: int, n_classes: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((n_rows, n_classes), dtype=np.float32)
    return logits, rng.integers(0, n_classes, n_rows)


@functools.lru_cache(maxsize=1)
def _expected(n_rows: int, n_classes: int) -> tuple[float, NDArray[np.float32]]:
    """Return the float64 loss and gradient, the latter rounded to save memory."""
    logits, labels = _operands(n_rows, n_classes)
    loss, grad = 0.0, np.empty_like(logits)
    for first in range(0, n_rows, BLOCK // n_classes):
        rows = slice(first, first + BLOCK // n_classes)
        share, grad[rows] = reference.softmax_cross_entropy(logits[rows].astype(np.float64), labels[rows], 1 / n_rows)
        loss += share
    return loss, grad
