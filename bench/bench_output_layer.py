"""The output layer with its loss: all gradients of one row block of the main job."""

from __future__ import annotations

from typing import Any

import numpy as np
from contenders import JAX, NUMBA, NUMPY, TORCH, TORCH_COMPILE, contenders, operations_of
from fastfnn_kernels import reference
from main_job import N_CLASSES, N_HIDDEN
from measurement import Measure, Work
from numpy.typing import NDArray
from verification import TOLERANCES, assert_close

from fastfnn.execution.thresholds import ROWS_OF_BLOCK

DTYPE = "float32"

# Forward, weight gradient and input gradient.
PRODUCTS = 3


@contenders(NUMBA, NUMPY, TORCH, TORCH_COMPILE, JAX)
def bench_output_layer(measure: Measure, contender: str) -> None:
    x, weights, bias, labels = _operands()
    run = operations_of(contender).dense_cross_entropy(x, weights, bias, labels)
    wide_x, wide_weights, wide_bias = (operand.astype(np.float64) for operand in (x, weights, bias))
    loss, _, *gradients = reference.dense_cross_entropy(wide_x, wide_weights, wide_bias, labels, None, "relu")

    def check(result: Any) -> None:
        actual_loss, *actual_gradients = result
        assert_close(actual_loss, loss, TOLERANCES[DTYPE])
        for actual, expected in zip(actual_gradients, gradients, strict=True):
            assert_close(actual, expected, TOLERANCES[DTYPE])

    case = f"{len(x):,}x{N_HIDDEN}x{N_CLASSES}, {DTYPE}"
    work = Work("output layer, loss and gradients", case, DTYPE, flop=2.0 * PRODUCTS * len(x) * weights.size)
    measure(work, contender, run, check)


def _operands() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    x = np.maximum(rng.standard_normal((ROWS_OF_BLOCK, N_HIDDEN), dtype=np.float32), 0)
    weights = 0.1 * rng.standard_normal((N_HIDDEN, N_CLASSES), dtype=np.float32)
    return x, weights, np.zeros(N_CLASSES, np.float32), rng.integers(0, N_CLASSES, ROWS_OF_BLOCK)
