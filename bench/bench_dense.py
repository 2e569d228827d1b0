"""The three products of a dense layer, each with what is fused to it."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from contenders import BARE_NUMPY, NUMBA, NUMPY, TORCH, contenders, operations_of
from fastfnn_kernels import reference
from measurement import Measure, Work
from numpy.typing import NDArray
from verification import TOLERANCES, assert_close

SHAPES = [
    (42_000, 784, 256),
    (5_000, 784, 100),
    (8_192, 1_024, 1_024),
    (128, 784, 256),
    (1_000, 1_000, 1_000),
    (33, 65, 17),
]
FEW_INPUTS = (600, 2, 200)
Shape = tuple[int, int, int]

all_contenders = contenders(NUMBA, NUMPY, BARE_NUMPY, TORCH)
all_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def shapes(*values: Shape) -> pytest.MarkDecorator:
    """Run an entry once for each of these shapes."""
    return pytest.mark.parametrize("shape", values, ids=lambda shape: "x".join(map(str, shape)))


@all_contenders
@all_dtypes
@shapes(*SHAPES)
def bench_dense_forward(measure: Measure, shape: Shape, dtype: str, contender: str) -> None:
    n_rows, n_inputs, n_outputs = shape
    operands = _operands(dtype, (n_rows, n_inputs), (n_inputs, n_outputs), (n_outputs,))
    run = operations_of(contender).dense_forward(*operands)
    expected = _expected_forward(*shape, dtype)
    work = _work("dense forward", "x w + b, then relu", shape, dtype)
    measure(work, contender, run, lambda y: assert_close(y, expected, TOLERANCES[dtype]))


@all_contenders
@all_dtypes
@shapes(*SHAPES, FEW_INPUTS)
def bench_dense_weight_gradient(measure: Measure, shape: Shape, dtype: str, contender: str) -> None:
    n_rows, n_inputs, n_outputs = shape
    run = operations_of(contender).dense_weight_gradient(*_operands(dtype, (n_rows, n_inputs), (n_rows, n_outputs)))
    expected = _expected_weight_gradient(*shape, dtype)

    def check(gradients: Any) -> None:
        for gradient, wanted in zip(gradients, expected, strict=True):
            assert_close(gradient, wanted, TOLERANCES[dtype])

    measure(_work("dense weight gradient", "xᵀ g and the sums of g", shape, dtype), contender, run, check)


@all_contenders
@all_dtypes
@shapes(*SHAPES)
def bench_dense_input_gradient(measure: Measure, shape: Shape, dtype: str, contender: str) -> None:
    n_rows, n_inputs, n_outputs = shape
    operands = _operands(dtype, (n_rows, n_outputs), (n_inputs, n_outputs), (n_rows, n_inputs))
    run = operations_of(contender).dense_input_gradient(*operands)
    expected = _expected_input_gradient(*shape, dtype)
    work = _work("dense input gradient", "g wᵀ where x > 0", shape, dtype)
    measure(work, contender, run, lambda grad: assert_close(grad, expected, TOLERANCES[dtype]))


def _work(subject: str, formula: str, shape: Shape, dtype: str) -> Work:
    n_rows, n_inputs, n_outputs = shape
    case = f"{n_rows:,}x{n_inputs:,}x{n_outputs:,} {dtype}"
    headline = f"{formula}, {case}" if shape == SHAPES[0] and dtype == "float32" else ""
    return Work(subject, case, dtype, flop=2.0 * n_rows * n_inputs * n_outputs, headline=headline)


@functools.lru_cache(maxsize=1)
def _operands(dtype: str, *shapes: tuple[int, ...]) -> list[NDArray[Any]]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape, dtype=np.dtype(dtype)) for shape in shapes]


@functools.lru_cache(maxsize=1)
def _expected_forward(n_rows: int, n_inputs: int, n_outputs: int, dtype: str) -> NDArray[np.float64]:
    x, weights, bias = _doubles(dtype, (n_rows, n_inputs), (n_inputs, n_outputs), (n_outputs,))
    return reference.dense_forward(x, weights, bias, "relu")


@functools.lru_cache(maxsize=1)
def _expected_weight_gradient(n_rows: int, n_inputs: int, n_outputs: int, dtype: str) -> Any:
    x, grad = _doubles(dtype, (n_rows, n_inputs), (n_rows, n_outputs))
    return reference.dense_weight_gradient(x, grad)


@functools.lru_cache(maxsize=1)
def _expected_input_gradient(n_rows: int, n_inputs: int, n_outputs: int, dtype: str) -> NDArray[np.float64]:
    grad, weights, x = _doubles(dtype, (n_rows, n_outputs), (n_inputs, n_outputs), (n_rows, n_inputs))
    return reference.dense_input_gradient(grad, weights, x, "relu")


def _doubles(dtype: str, *shapes: tuple[int, ...]) -> list[NDArray[np.float64]]:
    return [operand.astype(np.float64) for operand in _operands(dtype, *shapes)]
