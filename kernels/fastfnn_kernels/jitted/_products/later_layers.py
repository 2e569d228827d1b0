"""Forward and backward pass of a batch through all layers after the first; threads divide the batch's rows.

In `sgd_batches`, layer 0 is the first layer. Its product is given, with bias and relu; any other activation is
applied here. The result is the gradient with respect to the sums x w + b of layer 0. In `stack_gradient`, layer
0 stands for the inputs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inlined, uncounted
from fastfnn_kernels.jitted._products.block_product import Product, multiply_block
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
from fastfnn_kernels.jitted._products.weight_gradient import Gradient, add_products_of_block, add_sums_of_columns

# For a literal 0, products would be compiled once more.
FIRST_PANEL = np.int64(0)


class Layers(NamedTuple):
    """A stack of layers; a vector contains the parts of all layers back to back, at the offsets in `..._starts`."""

    widths: Any  # units of each layer
    codes: Any  # activations
    has_bias: Any
    biases: Any  # each padded with zeros to a whole number of panels
    bias_starts: Any
    weights: Any  # of the layers after the first, like the panels below
    weight_starts: Any
    forward_panels: Any  # the weights packed by columns, for the forward product
    forward_starts: Any
    backward_panels: Any  # the weights packed by rows, for the input gradient
    backward_starts: Any
    zeros: Any  # as many as the columns of the widest layer's panels


class Rows(NamedTuple):
    """Outputs and gradients of a batch's rows in every layer; each layer's part is a matrix of `n_rows` rows."""

    n_rows: Any
    unit_starts: Any  # offsets of the layers in a vector for a single row
    outputs: Any
    gradients: Any  # with respect to the layers' sums, multiplied by the scale
    gradient_panels: Any  # the gradients packed for the weight gradient, at offsets computed from `bias_starts`
    maxima: Any
    totals: Any


@inlined
def units(rows: Rows, values: Any, layer: int) -> Any:
    """Return one layer's part of the outputs or gradients, with one row for each of the batch."""
    first, end = rows.unit_starts[layer], rows.unit_starts[layer + 1]
    return values[first * rows.n_rows : end * rows.n_rows].reshape((rows.n_rows, end - first))


@uncounted
def forward_and_back(layers: Layers, rows: Rows, labels: Any, scale: Any, first: int, end: int) -> int:
    """Compute the gradient of the first layer's sums for some rows; return the number of correct rows."""
    last = layers.widths.size - 1
    activate_rows(layers, rows, 0, first, end)
    for layer in range(1, last + 1):
        forward(layers, rows, layer, first, end)
    n_correct: int = compare(layers, rows, labels, scale, first, end)
    for layer in range(last, 0, -1):
        pack_gradient(layers, rows, layer, first, end)
        backward(layers, rows, layer, first, end)
    return n_correct


@inlined
def compare(layers: Layers, rows: Rows, labels: Any, scale: Any, first: int, end: int) -> int:
    """Write the gradient of the last layer's sums for some rows; return the number of correct rows."""
    last = layers.widths.size - 1
    logits, grad = units(rows, rows.outputs, last), units(rows, rows.gradients, last)
    n_correct: int = count_right(logits, labels, first, end)
    write_cross_entropy_gradient(logits, labels, first, end, scale, grad, rows.maxima, rows.totals)
    multiply_by_derivative(_of_rows(grad, first, end), _of_rows(logits, first, end), layers.codes[last])
    return n_correct


@uncounted
def add_step(layers: Layers, rows: Rows, layer: int, first: int, end: int) -> None:
    """Add the product of inputs and gradients to the rows first:end of a layer's weights, and repack them."""
    weights = _weights(layers, layer)
    if rows.n_rows > 0:
        add_gradient(layers, rows, layer, True, weights, first, end)
    pack_columns(weights, first, end, part(layers.forward_panels, layers.forward_starts, layer - 1))
    pack_transposed(weights, first, end, part(layers.backward_panels, layers.backward_starts, layer - 1))


@inlined
def add_gradient(layers: Layers, rows: Rows, layer: int, accumulate: bool, out: Any, first: int, end: int) -> None:
    """Write or add the product of inputs and gradients to the rows first:end of a matrix like a layer's weights."""
    x, panels = units(rows, rows.outputs, layer - 1), gradient_panels(layers, rows, layer)
    n_panels = number_of_panels(out.shape[1], TILE_VECTORS * (VECTOR_BYTES // out.itemsize))
    gradient = Gradient(x, 0, rows.n_rows, panels, layers.zeros, accumulate, out)
    add_products_of_block(gradient, x[:0], first, end, FIRST_PANEL, n_panels)


@uncounted
def add_bias_step(layers: Layers, rows: Rows, layer: int, first: int, end: int) -> None:
    """Add the column sums first:end of the gradients to a layer's bias."""
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
    product = Product(x, panels, panels, 0, bias, layers.zeros, floor, y, False, y)
    multiply_block(product, x[:0], first, end, FIRST_PANEL, n_panels)
    activate_rows(layers, rows, layer, first, end)


@inlined
def pack_gradient(layers: Layers, rows: Rows, layer: int, first: int, end: int) -> None:
    """Pack some rows of a layer's gradient into the panels for the weight gradient."""
    grad = units(rows, rows.gradients, layer)
    lanes = VECTOR_BYTES // grad.itemsize
    wide = TILE_VECTORS * lanes
    packed = gradient_panels(layers, rows, layer)
    for panel in range(number_of_panels(grad.shape[1], wide)):
        j, width = panel * wide, width_of_panel(panel, grad.shape[1], wide, lanes)
        fill_panel(grad, first, end - first, j, width, packed, j * rows.n_rows + first * width)


@inlined
def backward(layers: Layers, rows: Rows, layer: int, first: int, end: int) -> None:
    """Compute the gradient of the previous layer's sums for some rows."""
    grad, grad_below = units(rows, rows.gradients, layer), units(rows, rows.gradients, layer - 1)
    panels = part(layers.backward_panels, layers.backward_starts, layer - 1)
    n_panels = number_of_panels(grad_below.shape[1], TILE_VECTORS * (VECTOR_BYTES // grad.itemsize))
    y, code, floor = units(rows, rows.outputs, layer - 1), layers.codes[layer - 1], floor_of(IDENTITY, grad)
    product = Product(grad, panels, panels, 0, layers.zeros, layers.zeros, floor, y, code == RELU, grad_below)
    multiply_block(product, grad[:0], first, end, FIRST_PANEL, n_panels)
    if code > RELU:
        multiply_by_derivative(_of_rows(grad_below, first, end), _of_rows(y, first, end), code)


@inlined
def activate_rows(layers: Layers, rows: Rows, layer: int, first: int, end: int) -> None:
    """Apply the activation to some rows of the outputs; identity and relu are part of the product."""
    code = layers.codes[layer]
    if code > RELU:
        activate(_of_rows(units(rows, rows.outputs, layer), first, end), code)


@inlined
def _of_rows(matrix: Any, first: int, end: int) -> Any:
    """Return some rows as one contiguous vector."""
    return matrix.reshape(-1)[first * matrix.shape[1] : end * matrix.shape[1]]


@inlined
def _weights(layers: Layers, layer: int) -> Any:
    shape = (layers.widths[layer - 1], layers.widths[layer])
    return part(layers.weights, layers.weight_starts, layer - 1).reshape(shape)


@inlined
def gradient_panels(layers: Layers, rows: Rows, layer: int) -> Any:
    """Return one layer's panels of the gradient."""
    return rows.gradient_panels[layers.bias_starts[layer] * rows.n_rows : layers.bias_starts[layer + 1] * rows.n_rows]


@inlined
def pack_columns(weights: Any, first: int, end: int, panels: Any) -> None:
    """Pack some rows of the weights into the forward panels."""
    n_inputs, n_outputs = weights.shape
    lanes = VECTOR_BYTES // weights.itemsize
    wide = TILE_VECTORS * lanes
    for panel in range(number_of_panels(n_outputs, wide)):
        j, width = panel * wide, width_of_panel(panel, n_outputs, wide, lanes)
        fill_panel(weights, first, end - first, j, width, panels, j * n_inputs + first * width)


@inlined
def pack_transposed(weights: Any, first: int, end: int, panels: Any) -> None:
    """Pack some rows of the weights into the backward panels, as columns."""
    n_inputs, n_outputs = weights.shape
    lanes = VECTOR_BYTES // weights.itemsize
    wide = TILE_VECTORS * lanes
    for i in range(first, end):
        panel = i // wide
        j, width = panel * wide, width_of_panel(panel, n_inputs, wide, lanes)
        row, column = weights[i], panels[j * n_outputs + i - j : (j + width) * n_outputs]
        for o in range(n_outputs):
            column[np.uintp(o * width)] = row[o]
