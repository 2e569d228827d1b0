"""Training on single samples, one step for each.

A sample is too little work for several threads. Its parameters stay in the second-level cache, and loads from there
limit the speed. Of the first weights, only the rows for the sample's non-zeros are read and written, each twice, in
vectors. The later weights are stored transposed, with one row for each output. The gradient of their inputs is then a
sum of rows, like the first product, and both updates add to rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.jitted._compile.jit import (
    In1,
    IndicesIn1,
    IntegersIn1,
    Out1,
    Out2,
    Real,
    inline,
    inline_sum,
    kernel,
)
from fastfnn_kernels.jitted._llvm.math import exp_of_negative
from fastfnn_kernels.jitted._products.flat_layers import joined, part, starts_of, write_back
from fastfnn_kernels.jitted._products.fused_activations import CODES, activate, multiply_by_derivative
from fastfnn_kernels.jitted._products.indices import index_below
from fastfnn_kernels.jitted._products.loops import copy, flush
from fastfnn_kernels.packing import Compressed

# If no output is this far below the largest, no probability is subnormal, in either dtype with up to e**17 classes.
FAR = -70.0


def sgd_samples(
    samples: Compressed,
    labels: NDArray[np.int64],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any] | None],
    activations: Sequence[str],
    learning_rate: float,
) -> tuple[float, int]:
    """Take a step of gradient descent on each sample; see `fastfnn_kernels.reference.sgd_samples`."""
    first, dtype = weights[0], weights[0].dtype
    later = [w.T for w in weights[1:]]
    weight_starts, unit_starts = starts_of(w.size for w in later), starts_of(w.shape[1] for w in weights)
    flat_weights, flat_biases = joined(later, weight_starts, dtype), joined(biases, unit_starts, dtype)
    has_bias = np.array([b is not None for b in biases], np.int64)
    codes = np.array([CODES[activation] for activation in activations], np.int64)
    layers = (first, flat_weights, weight_starts, flat_biases, unit_starts, has_bias, codes)
    try:
        loss_sum, n_correct = _train.serial[dtype](*samples[:3], labels, *layers, learning_rate)
    finally:  # even after Ctrl-C, since the first layer has been changed in place
        write_back(flat_weights, weight_starts, later)
        write_back(flat_biases, unit_starts, biases)
    return loss_sum, n_correct


class _Layers(NamedTuple):
    """All parameters and activations; a vector contains all layers' parts, at the offsets in `..._starts`."""

    first_weights: Any
    later_weights: Any
    weight_starts: Any
    biases: Any
    unit_starts: Any
    has_bias: Any
    codes: Any
    positions: Any  # 0, 1, 2, ...: the indices of all rows


@kernel
def _train(
    offsets: IntegersIn1,
    indices: IndicesIn1,
    values: In1,
    labels: IntegersIn1,
    first_weights: Out2,
    later_weights: Out1,
    weight_starts: IntegersIn1,
    biases: Out1,
    unit_starts: IntegersIn1,
    has_bias: IntegersIn1,
    codes: IntegersIn1,
    learning_rate: Real,
) -> tuple[float, int]:
    positions = np.arange(biases.size).astype(np.int32)
    layers = _Layers(first_weights, later_weights, weight_starts, biases, unit_starts, has_bias, codes, positions)
    outputs, gradients = np.empty(biases.size, biases.dtype), np.empty(biases.size, biases.dtype)
    last = codes.size - 1
    loss_sum, n_correct = 0.0, 0
    for sample in range(labels.size):
        first, end = offsets[sample], offsets[sample + 1]
        columns, x = indices[first:end], values[first:end]
        _forward(layers, columns, x, outputs)
        y, g = part(outputs, unit_starts, last), part(gradients, unit_starts, last)
        n_correct += _first_of_the_largest(y) == labels[sample]
        loss_sum += _cross_entropy(y, labels[sample], g)
        multiply_by_derivative(g, y, codes[last])
        _backward_and_step(layers, columns, x, outputs, gradients, learning_rate)
    return loss_sum, n_correct


@inline
def _forward(layers: _Layers, columns: Any, x: Any, outputs: Any) -> None:
    """Write each layer's y = f(x w + b) to its part of `outputs`."""
    y = part(outputs, layers.unit_starts, 0)
    copy(part(layers.biases, layers.unit_starts, 0), y)
    _add_rows(layers.first_weights, columns, x, y)
    activate(y, layers.codes[0])
    for layer in range(1, layers.codes.size):
        y_before, y = y, part(outputs, layers.unit_starts, layer)
        copy(part(layers.biases, layers.unit_starts, layer), y)
        _add_dots(_transposed_weights(layers, layer), y_before, y)
        activate(y, layers.codes[layer])


@inline
def _backward_and_step(
    layers: _Layers, columns: Any, x: Any, outputs: Any, gradients: Any, learning_rate: Any
) -> None:
    """Write the gradient of each layer's sums to its part of `gradients`, the last given; then take the step."""
    g = part(gradients, layers.unit_starts, layers.codes.size - 1)
    for layer in range(layers.codes.size - 1, 0, -1):
        y_before = part(outputs, layers.unit_starts, layer - 1)
        g_before = part(gradients, layers.unit_starts, layer - 1)
        w, every_row = _transposed_weights(layers, layer), layers.positions[: g.size]
        g_before[:] = 0
        _add_rows(w, every_row, g, g_before)
        multiply_by_derivative(g_before, y_before, layers.codes[layer - 1])
        _step_rows(w, every_row, g, y_before, learning_rate)
        _step_bias(layers, layer, g, learning_rate)
        g = g_before
    _step_rows(layers.first_weights, columns, x, g, learning_rate)
    _step_bias(layers, 0, g, learning_rate)


@inline
def _transposed_weights(layers: _Layers, layer: int) -> Any:
    """Return the weights of a layer after the first, with one row for each output."""
    starts = layers.unit_starts
    shape = (starts[layer + 1] - starts[layer], starts[layer] - starts[layer - 1])
    return part(layers.later_weights, layers.weight_starts, layer - 1).reshape(shape)


@inline
def _step_bias(layers: _Layers, layer: int, gradient: Any, learning_rate: Any) -> None:
    if layers.has_bias[layer]:
        _step(part(layers.biases, layers.unit_starts, layer), gradient, learning_rate)


@inline
def _add_rows(matrix: Any, indices: Any, factors: Any, total: Any) -> None:
    """Add factors[n] * matrix[indices[n]] to `total`; four rows share each load and store of `total`."""
    n_rows, whole = matrix.shape[0], indices.size // 4 * 4
    for n in range(0, whole, 4):
        a, b = matrix[index_below(indices[n], n_rows)], matrix[index_below(indices[n + 1], n_rows)]
        c, d = matrix[index_below(indices[n + 2], n_rows)], matrix[index_below(indices[n + 3], n_rows)]
        fa, fb, fc, fd = factors[n], factors[n + 1], factors[n + 2], factors[n + 3]
        for j in range(total.size):
            total[j] += (fa * a[j] + fb * b[j]) + (fc * c[j] + fd * d[j])
    for n in range(whole, indices.size):
        row, factor = matrix[index_below(indices[n], n_rows)], factors[n]
        for j in range(total.size):
            total[j] += factor * row[j]


@inline
def _add_dots(matrix: Any, x: Any, total: Any) -> None:
    """Add the dot product of each row and x to `total`."""
    for i in range(total.size):
        total[i] += _dot(matrix[i], x)


@inline_sum
def _dot(row: Any, x: Any) -> Any:
    total = x.dtype.type(0)
    for i in range(x.size):
        total += row[i] * x[i]
    return total


@inline
def _first_of_the_largest(y: Any) -> int:
    """Return the index of the largest number (the first of equals); NaN is larger than any number."""
    best = 0
    for j in range(1, y.size):
        if not y[j] <= y[best] and y[best] == y[best]:
            best = j
    return best


@inline
def _cross_entropy(y: Any, label: int, g: Any) -> float:
    """Return log sum_j exp(y_j - m) + m - y_label for the maximum m; write its gradient softmax(y) - onehot."""
    largest, total, smallest = y[0], y.dtype.type(0), y[0]
    for j in range(1, y.size):
        largest = y[j] if y[j] > largest else largest
        smallest = y[j] if y[j] < smallest else smallest
    for j in range(y.size):
        g[j] = exp_of_negative(y[j] - largest)
    for j in range(y.size):
        total += g[j]
    for j in range(y.size):
        g[j] /= total
    if smallest - largest < FAR:
        flush(g)
    place = index_below(label, y.size)
    g[place] -= y.dtype.type(1)
    return math.log(np.float64(total)) + (np.float64(largest) - np.float64(y[place]))


@inline
def _step_rows(matrix: Any, indices: Any, factors: Any, vector: Any, learning_rate: Any) -> None:
    """Subtract learning_rate * factors[n] * vector from matrix[indices[n]]."""
    for n in range(indices.size):
        _step(matrix[index_below(indices[n], matrix.shape[0])], vector, learning_rate * factors[n])


@inline
def _step(parameter: Any, gradient: Any, learning_rate: Any) -> None:
    for j in range(parameter.size):
        parameter[j] -= learning_rate * gradient[j]
