"""Softmax and the cross-entropy of class labels.

Rows are cut into blocks that stay in the innermost cache. Each block is passed over three times: the
maximum is found and subtracted, one flat loop of vectors exponentiates whatever the number of classes, and
the sums divide.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._jit import (
    In2,
    IntegersIn1,
    Out2,
    OutDoubles1,
    OutIntegers1,
    Real,
    inline,
    kernel,
)
from fastfnn_kernels.jitted._math import exp
from fastfnn_kernels.jitted.activations import OPERATIONS_OF_EXP

# Elements of a block of rows.
BLOCK = 4096


def softmax(logits: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Compute softmax row by row; see `fastfnn_kernels.reference.softmax`."""
    out = np.empty_like(logits) if out is None else out
    _softmax(OPERATIONS_OF_EXP * logits.size, logits.dtype, logits, out)
    return out


def softmax_cross_entropy(
    logits: NDArray[Any],
    labels: NDArray[np.int64],
    scale: float | None = None,
    out: NDArray[Any] | None = None,
) -> tuple[float, NDArray[Any]]:
    """Compute the cross-entropy and its gradient; see `fastfnn_kernels.reference.softmax_cross_entropy`."""
    out = np.empty_like(logits) if out is None else out
    scale = 1 / max(len(logits), 1) if scale is None else scale
    block_losses = np.zeros(_number_of_blocks(*logits.shape))
    _cross_entropy(OPERATIONS_OF_EXP * logits.size, logits.dtype, logits, labels, scale, out, block_losses)
    return scale * float(block_losses.sum()), out


def count_correct(logits: NDArray[Any], labels: NDArray[np.int64]) -> int:
    """Count the rows whose largest logit stands at the label; see `fastfnn_kernels.reference.count_correct`."""
    block_counts = np.zeros(_number_of_blocks(*logits.shape), np.int64)
    _count_correct(logits.size, logits.dtype, logits, labels, block_counts)
    return int(block_counts.sum())


@inline
def _rows_of_block(n_columns: int) -> int:
    return max(1, BLOCK // max(n_columns, 1))


def _number_of_blocks(n_rows: int, n_columns: int) -> int:
    return -(-n_rows // _rows_of_block.py_func(n_columns))  # type: ignore[no-any-return]


@inline
def _largest(values: Any) -> Any:
    """Return the largest value; NaN where the first is NaN."""
    largest = values[0]
    for j in range(1, values.size):
        largest = values[j] if values[j] > largest else largest
    return largest


@inline
def _sum(values: Any) -> Any:
    total = values[0]
    for j in range(1, values.size):
        total += values[j]
    return total


@inline
def _subtract(source: Any, number: Any, target: Any) -> None:
    for j in range(source.size):
        target[j] = source[j] - number


@inline
def _exponentiate(values: Any) -> None:
    for i in range(values.size):
        values[i] = exp(values[i])


@inline
def _divide(values: Any, divisor: Any, factor: Any) -> None:
    for j in range(values.size):
        values[j] = factor * (values[j] / divisor)


@kernel
def _softmax(logits: In2, out: Out2) -> None:
    n_rows, n_columns = logits.shape
    block_rows = _rows_of_block(n_columns)
    flat = out.reshape(-1)
    for block in prange((n_rows + block_rows - 1) // block_rows):
        first = block * block_rows
        end = min(first + block_rows, n_rows)
        for row in range(first, end):
            _subtract(logits[row], _largest(logits[row]), out[row])
        _exponentiate(flat[first * n_columns : end * n_columns])
        for row in range(first, end):
            _divide(out[row], _sum(out[row]), out.dtype.type(1))


@kernel
def _cross_entropy(logits: In2, labels: IntegersIn1, scale: Real, out: Out2, block_losses: OutDoubles1) -> None:
    n_rows, n_columns = logits.shape
    block_rows = _rows_of_block(n_columns)
    flat = out.reshape(-1)
    for block in prange(block_losses.size):
        first = block * block_rows
        end = min(first + block_rows, n_rows)
        loss = 0.0
        for row in range(first, end):
            largest = _largest(logits[row])
            loss += np.float64(largest) - np.float64(logits[row, labels[row]])
            _subtract(logits[row], largest, out[row])
        _exponentiate(flat[first * n_columns : end * n_columns])
        for row in range(first, end):
            total = _sum(out[row])
            loss += math.log(np.float64(total))
            _divide(out[row], total, scale)
            out[row, labels[row]] -= scale
        block_losses[block] = loss


@kernel
def _count_correct(logits: In2, labels: IntegersIn1, block_counts: OutIntegers1) -> None:
    n_rows, n_columns = logits.shape
    block_rows = _rows_of_block(n_columns)
    for block in prange(block_counts.size):
        count = 0
        for row in range(block * block_rows, min((block + 1) * block_rows, n_rows)):
            best = 0
            for j in range(1, n_columns):
                if not logits[row, j] <= logits[row, best] and logits[row, best] == logits[row, best]:
                    best = j
            count += best == labels[row]
        block_counts[block] = count
