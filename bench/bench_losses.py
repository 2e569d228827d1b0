"""Losses that compare each output with a number of its own, with their gradients: one output, and ten."""

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

SHAPES = [(1_000_000, 1), (42_000, 10)]
LOSSES = ["squared_error", "huber", "binary_cross_entropy", "poisson"]
DTYPE = "float32"

# Outputs and targets are read, gradients are written.
PASSES = 3


@contenders(NUMBA, NUMPY, TORCH, TORCH_COMPILE, JAX)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shape", SHAPES, ids=["one-output", "ten-outputs"])
def bench_elementwise_loss(measure: Measure, shape: tuple[int, int], loss: str, contender: str) -> None:
    outputs, targets = _operands(*shape)
    run = operations_of(contender).elementwise_loss(loss, outputs, targets)
    expected = reference.elementwise_loss(outputs.astype(np.float64), targets.astype(np.float64), loss)

    def check(result: Any) -> None:
        for actual, wanted in zip(result, expected, strict=True):
            assert_close(actual, wanted, TOLERANCES[DTYPE])

    n_bytes = PASSES * np.dtype(DTYPE).itemsize * outputs.size
    work = Work("elementwise loss", f"{loss} {shape[0]:,}x{shape[1]}", DTYPE, n_bytes=n_bytes)
    measure(work, contender, run, check)


@functools.lru_cache(maxsize=1)
def _operands(n_rows: int, n_columns: int) -> list[NDArray[Any]]:
    """Draw outputs, and targets from 0 to 1, which every loss takes."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal((n_rows, n_columns), dtype=np.float32), rng.random((n_rows, n_columns), np.float32)]
