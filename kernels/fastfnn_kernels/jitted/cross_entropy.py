"""Softmax and the cross-entropy of class labels.

Rows are cut into blocks that stay in the innermost cache. Where rows are short, one flat loop of vectors
exponentiates a whole block, whatever the number of classes. Where they are long, a row is exponentiated and summed in
one loop, so that it is read as few times as can be; 32,000 float32 still lie in the second cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._jit import (
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
from fastfnn_kernels.jitted._math import add_in_any_order, exp_of_negative, log, maximum
from fastfnn_kernels.jitted._narrow_rows import place_of_largest, subtract_largest, sum_of_row
from fastfnn_kernels.jitted._tiles import VECTOR_BYTES
from fastfnn_kernels.jitted.activations import OPERATIONS_OF_EXP

# Elements of a block of rows.
BLOCK = 4096

# Rows of fewer classes are exponentiated together: one by one, the classes that do not fill a vector would cost as
# much as those that do.
NARROW = 256


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
    """Count the rows whose largest logit stands at the label; see `fastfnn_kernels.reference.count_correct`."""
    block_counts = np.zeros(_number_of_blocks(*logits.shape), np.int64)
    _count_correct(OPERATIONS_OF_EXP * logits.size, logits.dtype, logits, labels, block_counts)
    return int(block_counts.sum())


def _maxima_and_totals(logits: NDArray[Any]) -> NDArray[Any]:
    """Make room for the maximum of each row and for its sum of exponentials."""
    return np.empty((2, len(logits)), logits.dtype)


@inline
def _rows_of_block(n_columns: int) -> int:
    return max(1, BLOCK // max(n_columns, 1))


def _number_of_blocks(n_rows: int, n_columns: int) -> int:
    return -(-n_rows // _rows_of_block.py_func(n_columns))  # type: ignore[no-any-return]


@inline
def _largest(values: Any) -> Any:
    """Return the largest value, and NaN where one is NaN."""
    largest = values.dtype.type(-np.inf)
    for j in range(values.size):
        largest = maximum(largest, values[j])
    return largest


@inline
def _sum(values: Any) -> Any:
    total = values.dtype.type(0)
    for j in range(values.size):
        total = add_in_any_order(total, values[j])
    return total


@inline
def _sum_of_logs(values: Any) -> float:
    total = 0.0
    for i in range(values.size):
        total = add_in_any_order(total, log(np.float64(values[i])))
    return total


@inline
def _weighted_sum_of_logs(values: Any, weights: Any) -> float:
    total = 0.0
    for i in range(values.size):
        total = add_in_any_order(total, np.float64(weights[i]) * log(np.float64(values[i])))
    return total


@inline
def _subtract(source: Any, number: Any, target: Any) -> None:
    for j in range(source.size):
        target[j] = source[j] - number


@inline
def _exponentiate(values: Any) -> None:
    for i in range(values.size):
        values[i] = exp_of_negative(values[i])


@inline
def _exponentiate_shifted(source: Any, largest: Any, target: Any) -> Any:
    """Write exp(source - largest), and return the sum."""
    total = source.dtype.type(0)
    for j in range(source.size):
        exponential = exp_of_negative(source[j] - largest)
        target[j] = exponential
        total = add_in_any_order(total, exponential)
    return total


@inline
def _multiply(values: Any, factor: Any) -> None:
    for j in range(values.size):
        values[j] *= factor


@inline
def _exponentiate_rows(logits: Any, first: int, end: int, out: Any, maxima: Any, totals: Any) -> None:
    """Write exp(z - m) of some rows, their maxima m, and the sums of the exponentials."""
    n_columns = logits.shape[1]
    if n_columns <= _lanes(logits):
        for row in range(first, end):
            maxima[row] = subtract_largest(logits, row * n_columns, out, row * n_columns, n_columns)
        _exponentiate(out.reshape(-1)[first * n_columns : end * n_columns])
        for row in range(first, end):
            totals[row] = sum_of_row(out, row * n_columns, n_columns)
    elif n_columns < NARROW:
        for row in range(first, end):
            maxima[row] = _largest(logits[row])
            _subtract(logits[row], maxima[row], out[row])
        _exponentiate(out.reshape(-1)[first * n_columns : end * n_columns])
        for row in range(first, end):
            totals[row] = _sum(out[row])
    else:
        for row in range(first, end):
            maxima[row] = _largest(logits[row])
            totals[row] = _exponentiate_shifted(logits[row], maxima[row], out[row])


@kernel
def _softmax(logits: In2, out: Out2, maxima: Out1, totals: Out1) -> None:
    n_rows, n_columns = logits.shape
    block_rows = _rows_of_block(n_columns)
    for block in prange((n_rows + block_rows - 1) // block_rows):
        first = block * block_rows
        end = min(first + block_rows, n_rows)
        _exponentiate_rows(logits, first, end, out, maxima, totals)
        for row in range(first, end):
            _multiply(out[row], out.dtype.type(1) / totals[row])


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
    shared = smoothing / out.dtype.type(n_columns)
    for block in prange(block_losses.size):
        first = block * block_rows
        end = min(first + block_rows, n_rows)
        _exponentiate_rows(logits, first, end, out, maxima, totals)
        loss = _weighted_sum_of_logs(totals[first:end], weights[first:end])
        for row in range(first, end):
            z, label, weight = logits[row], labels[row], weights[row] * scale
            _multiply(out[row], weight / totals[row])
            if smoothing > 0:
                _subtract(out[row], weight * shared, out[row])
            out[row, label] -= weight * (out.dtype.type(1) - smoothing)
            right = np.float64(z[label])
            smoothed = np.float64(smoothing) * (right - _mean(z)) if smoothing > 0 else 0.0
            loss += np.float64(weights[row]) * (np.float64(maxima[row]) - right + smoothed)
        block_losses[block] = loss


@inline
def _mean(values: Any) -> float:
    total = 0.0
    for j in range(values.size):
        total = add_in_any_order(total, np.float64(values[j]))
    mean: float = total / values.size
    return mean


@inline
def write_cross_entropy_gradient(
    logits: Any, labels: Any, first: int, end: int, scale: Any, out: Any, maxima: Any, totals: Any
) -> None:
    """Write the gradient of some rows, the maxima of their logits, and the sums of exp(z - maximum)."""
    _exponentiate_rows(logits, first, end, out, maxima, totals)
    for row in range(first, end):
        _multiply(out[row], scale / totals[row])
        out[row, labels[row]] -= scale


@inline
def sum_of_losses(logits: Any, labels: Any, first: int, end: int, maxima: Any, totals: Any) -> float:
    """Add up the losses of some rows, from what `write_cross_entropy_gradient` left."""
    loss: float = _sum_of_logs(totals[first:end])
    for row in range(first, end):
        loss += np.float64(maxima[row]) - np.float64(logits[row, labels[row]])
    return loss


@inline
def count_right(logits: Any, labels: Any, first: int, end: int) -> int:
    """Count the rows whose largest logit stands at the label."""
    n_columns = logits.shape[1]
    n_right = 0
    if n_columns <= _lanes(logits):
        for row in range(first, end):
            n_right += place_of_largest(logits, row * n_columns, n_columns) == labels[row]
    else:
        for row in range(first, end):
            n_right += is_first_of_largest(logits[row], labels[row])
    return n_right


@inline
def _lanes(values: Any) -> int:
    lanes: int = VECTOR_BYTES // values.itemsize
    return lanes


@inline
def is_first_of_largest(values: Any, place: int) -> bool:
    """Tell whether argmax(values) = place, by counting the values that stand against it; a NaN beats any number."""
    value = values[place]
    is_number = value == value
    against = 0
    for j in range(values.size):
        larger = is_number & (not values[j] <= value)
        as_large = (not values[j] < value) & (is_number | (values[j] != values[j]))
        against += larger | (as_large & (j < place))
    return against == 0


@kernel
def _count_correct(logits: In2, labels: IntegersIn1, block_counts: OutIntegers1) -> None:
    n_rows, n_columns = logits.shape
    block_rows = _rows_of_block(n_columns)
    for block in prange(block_counts.size):
        first = block * block_rows
        block_counts[block] = count_right(logits, labels, first, min(first + block_rows, n_rows))
