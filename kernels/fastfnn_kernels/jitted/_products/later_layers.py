"""A batch on its way through the layers behind the first, forward and back, by the threads that share its rows.

The first layer counts as well where units, biases and activations are concerned: its outputs are what comes in, and
the gradient of its sums is what goes out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inline, inlined
from fastfnn_kernels.jitted._products.block_product import multiply_block
from fastfnn_kernels.jitted._products.cross_entropy_rows import count_right, write_cross_entropy_gradient
from fastfnn_kernels.jitted._products.flat_layers import part
from fastfnn_kernels.jitted._products.fused_activations import (
    IDENTITY,
    RELU,
    activate,
    floor_of,
    multiply_by_derivative,
)
from fastfnn_kernels.jitted._products.panels import fill_panel, number_of_panels, width_of_panel
from fastfnn_kernels.jitted._products.tile_product import TILE_VECTORS, VECTOR_BYTES
from fastfnn_kernels.jitted._products.weight_gradient import add_products_of_block, add_sums_of_columns


class Layers(NamedTuple):
    """A stack of layers; a vector holds one layer's part behind the other's, from its starts on."""

    widths: Any  # units of each layer
    codes: Any  # activations
    has_bias: Any
    biases: Any  # with zeros behind each, up to a whole number of panels
    bias_starts: Any
    weights: Any  # of the layers behind the first, as all that follows
    weight_starts: Any
    forward_panels: Any  # columns of the weights, as the forward product reads them
    forward_starts: Any
    backward_panels: Any  # and rows, as the input gradient does
    backward_starts: Any
    zeros: Any  # as many as the panels of the widest layer have columns


class Rows(NamedTuple):
    """What the rows of a batch are in each layer; a layer's part is a matrix of `n_rows` rows."""

    n_rows: Any
    unit_starts: Any  # in a vector of one row
    outputs: Any
    gradients: Any  # of the layers' sums, times the scale
    gradient_panels: Any  # the same as the weight gradient reads them, from the starts of biases on
    maxima: Any
    totals: Any


@inline
def units(rows: Rows, values: Any, layer: int) -> Any:
    """Return one layer's part of the outputs or gradients, a row for each of the batch."""
    first, end = rows.unit_starts[layer], rows.unit_starts[layer + 1]
    return values[first * rows.n_rows : end * rows.n_rows].reshape((rows.n_rows, end - first))


@inlined
def forward_and_back(layers: Layers, rows: Rows, labels: Any, scale: Any, first: int, end: int) -> int:
    """Take some rows of a batch from the first layer's sums to the gradient of these; return how many are right."""
    last = layers.widths.size - 1
    _activate_rows(layers, rows, 0, first, end)
    for layer in range(1, last + 1):
        forward(layers, rows, layer, first, end)
    n_correct: int = compare(layers, rows, labels, scale, first, end)
    for layer in range(last, 0, -1):
        pack_gradient(layers, rows, layer, first, end)
        backward(layers, rows, layer, first, end)
    return n_correct


@inlined
def compare(layers: Layers, rows: Rows, labels: Any, scale: Any, first: int, end: int) -> int:
    """Write the gradient of the last layer's sums for some rows; return how many are right."""
    last = layers.widths.size - 1
    logits, grad = units(rows, rows.outputs, last), units(rows, rows.gradients, last)
    n_correct: int = count_right(logits, labels, first, end)
    write_cross_entropy_gradient(logits, labels, first, end, scale, grad, rows.maxima, rows.totals)
    multiply_by_derivative(_of_rows(grad, first, end), _of_rows(logits, first, end), layers.codes[last])
    return n_correct


@inlined
def add_step(layers: Layers, rows: Rows, layer: int, first: int, end: int) -> None:
    """Add the product of inputs and gradients to the rows first:end of a layer's weights, and lay these out anew."""
    weights = _weights(layers, layer)
    if rows.n_rows > 0:
        x = units(rows, rows.outputs, layer - 1)
        panels = gradient_panels(layers, rows, layer)
        no_copies = x[:0]
        add_products_of_block(x, no_copies, 0, rows.n_rows, first, end, panels, layers.zeros, True, weights)
    pack_columns(weights, first, end, part(layers.forward_panels, layers.forward_starts, layer - 1))
    pack_transposed(weights, first, end, part(layers.backward_panels, layers.backward_starts, layer - 1))


@inlined
def add_bias_step(layers: Layers, rows: Rows, layer: int, first: int, end: int) -> None:
    """Add the sums of the columns first:end of the gradients to a layer's bias."""
    if layers.has_bias[layer]:
        grad, bias = units(rows, rows.gradients, layer), part(layers.biases, layers.bias_starts, layer)
        add_sums_of_columns(grad, 0, rows.n_rows, first, end, bias)


@inlined
def forward(layers: Layers, rows: Rows, layer: int, first: int, end: int) -> None:
    """Compute a layer's outputs for some rows."""
    x, y = units(rows, rows.outputs, layer - 1), units(rows, rows.outputs, layer)
    n_panels = number_of_panels(y.shape[1], TILE_VECTORS * (VECTOR_BYTES // y.itemsize))
    panels = part(layers.forward_panels, layers.forward_starts, layer - 1)
    bias = part(layers.biases, layers.bias_starts, layer)
    floor = floor_of(layers.codes[layer], y)
    multiply_block(x, x[:0], panels, bias, layers.zeros, floor, y, False, y, first, end, 0, n_panels)
    _activate_rows(layers, rows, layer, first, end)


@inlined
def pack_gradient(layers: Layers, rows: Rows, layer: int, first: int, end: int) -> None:
    """Copy some rows of a layer's gradient into the panels that the weight gradient reads."""
    grad = units(rows, rows.gradients, layer)
    lanes = VECTOR_BYTES // grad.itemsize
    wide = TILE_VECTORS * lanes
    packed = gradient_panels(layers, rows, layer)
    for panel in range(number_of_panels(grad.shape[1], wide)):
        j, width = panel * wide, width_of_panel(panel, grad.shape[1], wide, lanes)
        fill_panel(grad, first, end - first, j, width, packed, j * rows.n_rows + first * width)


@inlined
def backward(layers: Layers, rows: Rows, layer: int, first: int, end: int) -> None:
    """Compute the gradient of the sums of the layer below for some rows."""
    grad, grad_below = units(rows, rows.gradients, layer), units(rows, rows.gradients, layer - 1)
    panels = part(layers.backward_panels, layers.backward_starts, layer - 1)
    n_panels = number_of_panels(grad_below.shape[1], TILE_VECTORS * (VECTOR_BYTES // grad.itemsize))
    y, code, floor = units(rows, rows.outputs, layer - 1), layers.codes[layer - 1], floor_of(IDENTITY, grad)
    multiply_block(
        grad, grad[:0], panels, layers.zeros, layers.zeros, floor, y, code == RELU, grad_below,
        first, end, 0, n_panels,
    )  # fmt: skip
    if code > RELU:
        multiply_by_derivative(_of_rows(grad_below, first, end), _of_rows(y, first, end), code)


@inlined
def _activate_rows(layers: Layers, rows: Rows, layer: int, first: int, end: int) -> None:
    """Replace the sums in some rows of the outputs, where the product has not held them above relu's floor."""
    code = layers.codes[layer]
    if code > RELU:
        activate(_of_rows(units(rows, rows.outputs, layer), first, end), code)


@inline
def _of_rows(matrix: Any, first: int, end: int) -> Any:
    """Return some rows as one vector."""
    return matrix.reshape(-1)[first * matrix.shape[1] : end * matrix.shape[1]]


@inline
def _weights(layers: Layers, layer: int) -> Any:
    shape = (layers.widths[layer - 1], layers.widths[layer])
    return part(layers.weights, layers.weight_starts, layer - 1).reshape(shape)


@inline
def gradient_panels(layers: Layers, rows: Rows, layer: int) -> Any:
    return rows.gradient_panels[layers.bias_starts[layer] * rows.n_rows : layers.bias_starts[layer + 1] * rows.n_rows]


@inlined
def pack_columns(weights: Any, first: int, end: int, panels: Any) -> None:
    """Copy some rows into the panels that are made of columns."""
    n_inputs, n_outputs = weights.shape
    lanes = VECTOR_BYTES // weights.itemsize
    wide = TILE_VECTORS * lanes
    for panel in range(number_of_panels(n_outputs, wide)):
        j, width = panel * wide, width_of_panel(panel, n_outputs, wide, lanes)
        fill_panel(weights, first, end - first, j, width, panels, j * n_inputs + first * width)


@inlined
def pack_transposed(weights: Any, first: int, end: int, panels: Any) -> None:
    """Copy some rows into the panels that are made of rows, as columns of these."""
    n_inputs, n_outputs = weights.shape
    lanes = VECTOR_BYTES // weights.itemsize
    wide = TILE_VECTORS * lanes
    for i in range(first, end):
        panel = i // wide
        j, width = panel * wide, width_of_panel(panel, n_inputs, wide, lanes)
        row, column = weights[i], panels[j * n_outputs + i - j : (j + width) * n_outputs]
        for o in range(n_outputs):
            column[np.uintp(o * width)] = row[o]
