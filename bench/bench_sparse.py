"""Products with a mostly-zero input: packed by the package, compressed sparse rows elsewhere, dense in NumPy."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from contenders import BARE_NUMPY, NUMBA, SCIPY, TORCH, contenders, operations_of
from fastfnn_kernels import reference
from main_job import N_HIDDEN, N_INPUTS, N_ROWS, mnist
from measurement import Measure, Work
from numpy.typing import NDArray
from verification import TOLERANCES, assert_close

DTYPE = "float32"

all_contenders = contenders(NUMBA, BARE_NUMPY, TORCH, SCIPY)


@all_contenders
def bench_sparse_forward(measure: Measure, contender: str) -> None:
    x, weights, bias, _ = _operands()
    run = operations_of(contender).sparse_forward(x, weights, bias)
    expected = _expected_forward()
    measure(_work("sparse forward"), contender, run, lambda y: assert_close(y, expected, TOLERANCES[DTYPE]))


@all_contenders
def bench_sparse_weight_gradient(measure: Measure, contender: str) -> None:
    x, _, _, grad = _operands()
    run = operations_of(contender).sparse_weight_gradient(x, grad)
    expected = _expected_gradient()

    def check(gradients: Any) -> None:
        for gradient, wanted in zip(gradients, expected, strict=True):
            assert_close(gradient, wanted, TOLERANCES[DTYPE])

    measure(_work("sparse weight gradient"), contender, run, check)


def _work(subject: str) -> Work:
    n_nonzero = int(np.count_nonzero(mnist().X))
    density = n_nonzero / mnist().X.size
    case = f"MNIST {N_ROWS:,}x{N_INPUTS}x{N_HIDDEN}, {density:.0%} non-zero"
    return Work(subject, case, DTYPE, flop=2.0 * n_nonzero * N_HIDDEN, headline=f"{subject}, {case}")


@functools.lru_cache(maxsize=1)
def _operands() -> list[NDArray[Any]]:
    """Return x, w, b and g."""
    rng = np.random.default_rng(0)
    shapes = [(N_INPUTS, N_HIDDEN), (N_HIDDEN,), (N_ROWS, N_HIDDEN)]
    return [mnist().floats(DTYPE), *(rng.standard_normal(shape, dtype=np.float32) for shape in shapes)]


@functools.lru_cache(maxsize=1)
def _expected_forward() -> NDArray[np.float64]:
    x, weights, bias, _ = (operand.astype(np.float64) for operand in _operands())
    return reference.dense_forward(x, weights, bias, "relu")


@functools.lru_cache(maxsize=1)
def _expected_gradient() -> Any:
    x, _, _, grad = (operand.astype(np.float64) for operand in _operands())
    return reference.dense_weight_gradient(x, grad)
