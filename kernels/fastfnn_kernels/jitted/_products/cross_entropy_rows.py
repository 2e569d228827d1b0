"""Softmax, cross-entropy and the number of correct rows, computed by one thread for some rows of a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inline
from fastfnn_kernels.jitted._llvm.math import add_in_any_order, exp_of_negative, log, maximum
from fastfnn_kernels.jitted._llvm.narrow_rows import argmax_of_row, subtract_largest, sum_of_row
from fastfnn_kernels.jitted._products.loops import multiply, subtract
from fastfnn_kernels.jitted._products.tile_product import VECTOR_BYTES

# Rows with fewer classes than this are exponentiated together. Separately, the classes at the end that do not fill a
# vector would cost as much as a full one.
NARROW = 256


@inline
def _largest(values: Any) -> Any:
    """Return the largest value, or NaN if any value is NaN."""
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
def _exponentiate(values: Any) -> None:
    for i in range(values.size):
        values[i] = exp_of_negative(values[i])


@inline
def _exponentiate_shifted(source: Any, largest: Any, target: Any) -> Any:
    """Write exp(source - largest) and return the sum."""
    total = source.dtype.type(0)
    for j in range(source.size):
        exponential = exp_of_negative(source[j] - largest)
        target[j] = exponential
        total = add_in_any_order(total, exponential)
    return total


@inline
def exponentiate_rows(logits: Any, first: int, end: int, out: Any, maxima: Any, totals: Any) -> None:
    """Write exp(z - m), the maximum m and the sum of the exponentials, for each of some rows."""
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
            subtract(logits[row], maxima[row], out[row])
        _exponentiate(out.reshape(-1)[first * n_columns : end * n_columns])
        for row in range(first, end):
            totals[row] = _sum(out[row])
    else:
        for row in range(first, end):
            maxima[row] = _largest(logits[row])
            totals[row] = _exponentiate_shifted(logits[row], maxima[row], out[row])


@inline
def write_cross_entropy_gradient(
    logits: Any, labels: Any, first: int, end: int, scale: Any, out: Any, maxima: Any, totals: Any
) -> None:
    """Write the gradient, the maximum logit and the sum of exp(z - maximum), for each of some rows."""
    exponentiate_rows(logits, first, end, out, maxima, totals)
    for row in range(first, end):
        multiply(out[row], scale / totals[row])
        out[row, labels[row]] -= scale


@inline
def sum_of_losses(logits: Any, labels: Any, first: int, end: int, maxima: Any, totals: Any) -> float:
    """Return the sum of the losses of some rows, from the maxima and totals of `write_cross_entropy_gradient`."""
    loss: float = _sum_of_logs(totals[first:end])
    for row in range(first, end):
        loss += np.float64(maxima[row]) - np.float64(logits[row, labels[row]])
    return loss


@inline
def count_right(logits: Any, labels: Any, first: int, end: int) -> int:
    """Count the rows whose largest logit is at the label."""
    n_columns = logits.shape[1]
    n_right = 0
    if n_columns <= _lanes(logits):
        for row in range(first, end):
            n_right += argmax_of_row(logits, row * n_columns, n_columns) == labels[row]
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
    """Return whether argmax(values) = place, by counting the values that exclude it; NaN is the largest number."""
    value = values[place]
    is_number = value == value
    against = 0
    for j in range(values.size):
        larger = is_number & (not values[j] <= value)
        as_large = (not values[j] < value) & (is_number | (values[j] != values[j]))
        against += larger | (as_large & (j < place))
    return against == 0
