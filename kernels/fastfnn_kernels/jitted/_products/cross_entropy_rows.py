"""Softmax, cross-entropy and the number of correct rows, computed by one thread for some rows of a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inline, inlined, uncounted
from fastfnn_kernels.jitted._llvm.math import (
    add_in_any_order,
    log,
    maximum,
    normal_exp_of_negative,
    smallest_normal,
)
from fastfnn_kernels.jitted._llvm.narrow_rows import argmax_of_row, subtract_largest, sum_of_row
from fastfnn_kernels.jitted._products.indices import index_below
from fastfnn_kernels.jitted._products.loops import flush, multiply, multiply_and_flush, subtract
from fastfnn_kernels.jitted._products.tile_product import VECTOR_BYTES

# Rows with fewer classes than this are exponentiated together. Separately, the classes at the end that do not fill a
# vector would cost as much as a full one.
NARROW = 256

# Two different numbers of about 1 differ by at least as much, in either dtype.
SMALLEST_DIFFERENCE = 2.0**-53


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
def _exponentiate(values: Any, bound: Any) -> Any:
    """Write exp(values), or 0 where that is subnormal; count the values below a bound, in the same dtype."""
    zero, one = values.dtype.type(0), values.dtype.type(1)
    n_below = zero
    for i in range(values.size):
        n_below = add_in_any_order(n_below, one if values[i] < bound else zero)
        values[i] = normal_exp_of_negative(values[i])
    return n_below


@inline
def _exponentiate_shifted(source: Any, largest: Any, target: Any) -> Any:
    """Write exp(source - largest), or 0 where that is subnormal, and return the sum."""
    total = source.dtype.type(0)
    for j in range(source.size):
        exponential = normal_exp_of_negative(source[j] - largest)
        target[j] = exponential
        total = add_in_any_order(total, exponential)
    return total


@inline
def bound_of_normal(scale: Any, n_classes: int) -> Any:
    """Return a number such that exp(x) / total * scale is normal for all x above it and totals up to `n_classes`.

    It is infinite if `scale` is so small that even a difference of two such numbers may be subnormal.
    """
    size, least = min(abs(np.float64(scale)), 1.0), np.float64(smallest_normal(scale))
    if size * SMALLEST_DIFFERENCE < least:
        return type(scale)(np.inf)
    return type(scale)(log(least * n_classes / size) + 1.0)


@uncounted
def exponentiate_rows(logits: Any, first: int, end: int, bound: Any, out: Any, maxima: Any, totals: Any) -> bool:
    """Write exp(z - m), or 0 where that is subnormal, the maximum m and the sum, for each of some rows.

    Return False if all z - m are at least `bound`.
    """
    n_columns = logits.shape[1]
    flat = _rows(out, first, end)
    if n_columns <= _lanes(logits):
        for row in range(first, end):
            maxima[row] = subtract_largest(logits, row * n_columns, out, row * n_columns, n_columns)
        n_below = _exponentiate(flat, bound)
        for row in range(first, end):
            totals[row] = sum_of_row(out, row * n_columns, n_columns)
    elif n_columns < NARROW:
        for row in range(first, end):
            maxima[row] = _largest(logits[row])
            subtract(logits[row], maxima[row], out[row])
        n_below = _exponentiate(flat, bound)
        for row in range(first, end):
            totals[row] = _sum(out[row])
    else:  # in long rows, looking for small numbers takes longer than flushing
        for row in range(first, end):
            maxima[row] = _largest(logits[row])
            totals[row] = _exponentiate_shifted(logits[row], maxima[row], out[row])
        n_below = out.dtype.type(end - first)
    any_is_below: bool = n_below > 0
    return any_is_below


@inline
def scale_row(values: Any, factor: Any, flushing: bool) -> None:
    """Multiply a row by a number; with `flushing`, a product that would be subnormal is 0."""
    if flushing:
        multiply_and_flush(values, factor)
    else:
        multiply(values, factor)


@uncounted
def flush_rows(values: Any, first: int, end: int) -> None:
    """Write 0 where a number of some rows is subnormal."""
    flush(_rows(values, first, end))


@inlined
def _rows(matrix: Any, first: int, end: int) -> Any:
    """Return some rows as one contiguous vector."""
    return matrix.reshape(-1)[first * matrix.shape[1] : end * matrix.shape[1]]


@uncounted
def write_cross_entropy_gradient(
    logits: Any, labels: Any, first: int, end: int, scale: Any, out: Any, maxima: Any, totals: Any
) -> None:
    """Write the gradient, the maximum logit and the sum of exp(z - maximum), for each of some rows."""
    n_columns = logits.shape[1]
    bound = bound_of_normal(scale, n_columns)
    flushing = exponentiate_rows(logits, first, end, bound, out, maxima, totals)
    for row in range(first, end):
        scale_row(out[row], scale / totals[row], flushing)
        out[row, index_below(labels[row], n_columns)] -= scale
    if bound == np.inf:
        flush_rows(out, first, end)


@uncounted
def sum_of_losses(logits: Any, labels: Any, first: int, end: int, maxima: Any, totals: Any) -> float:
    """Return the sum of the losses of some rows, from the maxima and totals of `write_cross_entropy_gradient`."""
    loss: float = _sum_of_logs(totals[first:end])
    for row in range(first, end):
        label = index_below(labels[row], logits.shape[1])
        loss += np.float64(maxima[row]) - np.float64(logits[row, label])
    return loss


@uncounted
def write_weighted_gradient(
    logits: Any,
    labels: Any,
    weights: Any,
    smoothing: Any,
    first: int,
    end: int,
    scale: Any,
    out: Any,
    maxima: Any,
    totals: Any,
) -> float:
    """Write the gradient of some rows' weighted losses, with label smoothing; return the weighted sum of losses."""
    n_columns, one = logits.shape[1], out.dtype.type(1)
    shared = smoothing / out.dtype.type(n_columns)
    smallest = scale * _smallest(weights[first:end]) * (shared if smoothing > 0 else one)
    bound = bound_of_normal(smallest, n_columns)
    flushing = exponentiate_rows(logits, first, end, bound, out, maxima, totals)
    loss: float = _weighted_sum_of_logs(totals[first:end], weights[first:end])
    for row in range(first, end):
        z, weight = logits[row], weights[row] * scale
        label = index_below(labels[row], n_columns)
        scale_row(out[row], weight / totals[row], flushing)
        if smoothing > 0:
            subtract(out[row], weight * shared, out[row])
        out[row, label] -= weight * (one - smoothing)
        right = np.float64(z[label])
        smoothed = np.float64(smoothing) * (right - _mean(z)) if smoothing > 0 else 0.0
        loss += np.float64(weights[row]) * (np.float64(maxima[row]) - right + smoothed)
    if bound == np.inf:
        flush_rows(out, first, end)
    return loss


@inline
def _weighted_sum_of_logs(values: Any, weights: Any) -> float:
    total = 0.0
    for i in range(values.size):
        total = add_in_any_order(total, np.float64(weights[i]) * log(np.float64(values[i])))
    return total


@inline
def _smallest(weights: Any) -> Any:
    negative = weights.dtype.type(-np.inf)
    for i in range(weights.size):
        negative = maximum(negative, -weights[i])
    return -negative


@inline
def _mean(values: Any) -> float:
    total = 0.0
    for j in range(values.size):
        total = add_in_any_order(total, np.float64(values[j]))
    mean: float = total / values.size
    return mean


@uncounted
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
    value = values[index_below(place, values.size)]
    is_number = value == value
    against = 0
    for j in range(values.size):
        larger = is_number & (not values[j] <= value)
        as_large = (not values[j] < value) & (is_number | (values[j] != values[j]))
        against += larger | (as_large & (j < place))
    return against == 0
