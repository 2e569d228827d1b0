"""Softmax and the cross-entropy of class labels.

Rows are divided into blocks that stay in the first-level cache. If rows are short, a single loop over vectors
exponentiates a whole block, whatever the number of classes. If rows are long, one loop exponentiates and sums each
row, so that the row is read as few times as possible; 32,000 float32 still fit into the second-level cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._compile.jit import (
    In1,
    In2,
    IntegersIn1,
    Out1,
    Out2,
    OutDoubles1,
    OutIntegers1,
    Real,
    inline,
    kernel,
)
from fastfnn_kernels.jitted._products.cross_entropy_rows import (
    bound_of_normal,
    count_right,
    exponentiate_rows,
    scale_row,
    sum_of_losses,
    write_cross_entropy_gradient,
    write_weighted_gradient,
)
from fastfnn_kernels.jitted._products.loops import OPERATIONS_OF_EXP

# Elements in a block of rows.
BLOCK = 4096


def softmax(logits: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Compute softmax row by row; see `fastfnn_kernels.reference.softmax`."""
    out = np.empty_like(logits) if out is None else out
    _softmax(OPERATIONS_OF_EXP * logits.size, logits.dtype, logits, out, *_maxima_and_totals(logits))
    return out


def softmax_cross_entropy(
    logits: NDArray[Any],
    labels: NDArray[np.int64],
    scale: float | None = None,
    out: NDArray[Any] | None = None,
    weights: NDArray[Any] | None = None,
    label_smoothing: float = 0.0,
) -> tuple[float, NDArray[Any]]:
    """Compute the cross-entropy and its gradient; see `fastfnn_kernels.reference.softmax_cross_entropy`."""
    out = np.empty_like(logits) if out is None else out
    scale = 1 / max(len(logits), 1) if scale is None else scale
    block_losses = np.zeros(_number_of_blocks(*logits.shape))
    operands = (logits, labels, scale, out, *_maxima_and_totals(logits), block_losses)
    operations = OPERATIONS_OF_EXP * logits.size
    if weights is None and label_smoothing == 0:
        _cross_entropy(operations, logits.dtype, *operands)
    else:
        weights = np.ones(len(logits), logits.dtype) if weights is None else weights
        _weighted_cross_entropy(operations, logits.dtype, *operands, weights, label_smoothing)
    return scale * float(block_losses.sum()), out


def count_correct(logits: NDArray[Any], labels: NDArray[np.int64]) -> int:
    """Count the rows whose largest logit is at the label; see `fastfnn_kernels.reference.count_correct`."""
    block_counts = np.zeros(_number_of_blocks(*logits.shape), np.int64)
    _count_correct(OPERATIONS_OF_EXP * logits.size, logits.dtype, logits, labels, block_counts)
    return int(block_counts.sum())


def _maxima_and_totals(logits: NDArray[Any]) -> NDArray[Any]:
    """Allocate memory for each row's maximum and sum of exponentials."""
    return np.empty((2, len(logits)), logits.dtype)


@inline
def _rows_of_block(n_columns: int) -> int:
    return max(1, BLOCK // max(n_columns, 1))


def _number_of_blocks(n_rows: int, n_columns: int) -> int:
    return -(-n_rows // _rows_of_block.py_func(n_columns))  # type: ignore[no-any-return]


@kernel
def _softmax(logits: In2, out: Out2, maxima: Out1, totals: Out1) -> None:
    n_rows, n_columns = logits.shape
    block_rows = _rows_of_block(n_columns)
    one = out.dtype.type(1)
    bound = bound_of_normal(one, n_columns)
    for block in prange((n_rows + block_rows - 1) // block_rows):
        first = block * block_rows
        end = min(first + block_rows, n_rows)
        flushing = exponentiate_rows(logits, first, end, bound, out, maxima, totals)
        for row in range(first, end):
            scale_row(out[row], one / totals[row], flushing)


@kernel
def _cross_entropy(
    logits: In2, labels: IntegersIn1, scale: Real, out: Out2, maxima: Out1, totals: Out1, block_losses: OutDoubles1
) -> None:
    n_rows, n_columns = logits.shape
    block_rows = _rows_of_block(n_columns)
    for block in prange(block_losses.size):
        first = block * block_rows
        end = min(first + block_rows, n_rows)
        write_cross_entropy_gradient(logits, labels, first, end, scale, out, maxima, totals)
        block_losses[block] = sum_of_losses(logits, labels, first, end, maxima, totals)


@kernel
def _weighted_cross_entropy(
    logits: In2,
    labels: IntegersIn1,
    scale: Real,
    out: Out2,
    maxima: Out1,
    totals: Out1,
    block_losses: OutDoubles1,
    weights: In1,
    smoothing: Real,
) -> None:
    n_rows, n_columns = logits.shape
    block_rows = _rows_of_block(n_columns)
    for block in prange(block_losses.size):
        first = block * block_rows
        end = min(first + block_rows, n_rows)
        block_losses[block] = write_weighted_gradient(
            logits, labels, weights, smoothing, first, end, scale, out, maxima, totals
        )


@kernel
def _count_correct(logits: In2, labels: IntegersIn1, block_counts: OutIntegers1) -> None:
    n_rows, n_columns = logits.shape
    block_rows = _rows_of_block(n_columns)
    for block in prange(block_counts.size):
        first = block * block_rows
        block_counts[block] = count_right(logits, labels, first, min(first + block_rows, n_rows))
