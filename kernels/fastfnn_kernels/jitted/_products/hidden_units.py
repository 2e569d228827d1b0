"""A network with one hidden layer, whose units threads divide in steps on mini-batches: its parts and their products.

A part is a panel of the first weights, and the rows of the second weights for the same units. Its share of the
outputs is a partial sum; partial sums are added up in order, so results do not depend on who owns which part.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inline, inlined, uncounted
from fastfnn_kernels.jitted._products.block_product import Product, multiply_block
from fastfnn_kernels.jitted._products.fused_activations import (
    IDENTITY,
    RELU,
    activate,
    floor_of,
    multiply_by_derivative,
)
from fastfnn_kernels.jitted._products.later_layers import FIRST_PANEL
from fastfnn_kernels.jitted._products.loops import add, copy
from fastfnn_kernels.jitted._products.panels import number_of_panels, width_of_panel
from fastfnn_kernels.jitted._products.tasks import share_of
from fastfnn_kernels.jitted._products.tile_product import TILE_VECTORS, VECTOR_BYTES
from fastfnn_kernels.jitted._products.weight_gradient import Gradient, add_products_of_block


class Network(NamedTuple):
    """Both layers, with everything that products read."""

    n_inputs: Any
    n_units: Any  # hidden
    n_outputs: Any
    hidden_code: Any  # activations
    output_code: Any
    weights: Any  # the first, in panels of `wide` columns
    biases: Any  # the first, padded with zeros
    forward: Any  # the second weights, a row for each unit, padded with zeros
    backward: Any  # the second weights in panels of `wide` units
    output_biases: Any  # padded with zeros
    zeros: Any  # as many as a panel has columns


class Batch(NamedTuple):
    """A batch's rows in both layers; what belongs to parts lies part after part."""

    step: Any
    n_rows: Any
    capacity: Any  # rows of the largest batch
    inputs: Any  # of this batch and two others, in turn
    hidden: Any  # outputs of the units
    hidden_gradients: Any
    partial_outputs: Any  # of this batch and another, in turn
    outputs: Any  # a thread's own, like what follows
    gradients: Any
    gradient_panel: Any
    maxima: Any
    totals: Any


class Part(NamedTuple):
    """Some units: columns of the first weights and rows of the second."""

    first: Any
    end: Any
    width: Any  # with padding


@inline
def columns_of_part(values: Any) -> int:
    """Return the columns of a part, the width of a tile."""
    columns: int = TILE_VECTORS * (VECTOR_BYTES // values.itemsize)
    return columns


@inline
def part_of(network: Network, number: int) -> Part:
    """Return a part."""
    wide = columns_of_part(network.weights)
    first, narrow = number * wide, VECTOR_BYTES // network.weights.itemsize
    width = width_of_panel(number, network.n_units, wide, narrow)
    return Part(first, min(first + wide, network.n_units), width)


@inline
def number_of_parts(network: Network) -> int:
    """Return the number of parts."""
    n_parts: int = number_of_panels(network.n_units, columns_of_part(network.weights))
    return n_parts


@inline
def parts_of(network: Network, worker: int, n_threads: int) -> tuple[int, int]:
    """Return a worker's first part and the end of its parts."""
    parts: tuple[int, int] = share_of(number_of_parts(network), worker, n_threads)
    return parts


@inlined
def of_part(values: Any, part: Part, n_rows: int, capacity: int) -> Any:
    """Return a part's matrix of `n_rows` rows, where each unit has room for `capacity` numbers."""
    first = part.first * capacity
    return values[first : first + part.width * n_rows].reshape((n_rows, part.width))


@inlined
def partial_of(network: Network, batch: Batch, number: int) -> Any:
    """Return a part's share of the outputs, as a vector."""
    size, turn = batch.capacity * network.n_outputs, batch.step % 2
    first = (turn * number_of_parts(network) + number) * size
    return batch.partial_outputs[first : first + batch.n_rows * network.n_outputs]


@inlined
def inputs_of(network: Network, batch: Batch) -> Any:
    """Return a batch's inputs."""
    first = batch.step % 3 * batch.capacity * network.n_inputs
    return batch.inputs[first : first + batch.n_rows * network.n_inputs].reshape((batch.n_rows, network.n_inputs))


@uncounted
def forward_part(network: Network, batch: Batch, number: int) -> None:
    """Compute the outputs of a part's units, and their share of the network's outputs."""
    part, code = part_of(network, number), network.hidden_code
    hidden = of_part(batch.hidden, part, batch.n_rows, batch.capacity)
    panel = network.weights[part.first * network.n_inputs : (part.first + part.width) * network.n_inputs]
    inputs, zeros = inputs_of(network, batch), network.zeros
    bias, floor = network.biases[part.first : part.first + part.width], floor_of(code, hidden)
    product = Product(inputs, panel, panel, 0, bias, zeros, floor, hidden, False, hidden)
    multiply_block(product, inputs[:0], FIRST_PANEL, batch.n_rows, FIRST_PANEL, FIRST_PANEL + 1)
    if code > RELU:
        activate(hidden.reshape(-1), code)
    _clear_padding(hidden, part)
    out = partial_of(network, batch, number).reshape((batch.n_rows, network.n_outputs))
    start = network.output_biases if number == 0 else zeros
    width = network.output_biases.size
    rows, floor = network.forward[part.first * width : (part.first + part.width) * width], floor_of(IDENTITY, hidden)
    product = Product(hidden, rows, rows, 0, start, zeros, floor, out, False, out)
    multiply_block(product, inputs[:0], FIRST_PANEL, batch.n_rows, FIRST_PANEL, FIRST_PANEL + 1)


@uncounted
def add_up_outputs(network: Network, batch: Batch) -> None:
    """Write the network's outputs into the thread's own memory."""
    out = batch.outputs[: batch.n_rows * network.n_outputs]
    copy(partial_of(network, batch, 0), out)
    for number in range(1, number_of_parts(network)):
        add(partial_of(network, batch, number), out)
    if network.output_code > RELU:
        activate(out, network.output_code)


@uncounted
def backward_part(network: Network, batch: Batch, number: int) -> None:
    """Compute the gradient with respect to the sums of a part's units."""
    part, code = part_of(network, number), network.hidden_code
    y = of_part(batch.hidden, part, batch.n_rows, batch.capacity)
    out = of_part(batch.hidden_gradients, part, batch.n_rows, batch.capacity)
    grad = batch.gradients[: batch.n_rows * network.n_outputs].reshape((batch.n_rows, network.n_outputs))
    panel = network.backward[part.first * network.n_outputs : (part.first + part.width) * network.n_outputs]
    floor, zeros = floor_of(IDENTITY, grad), network.zeros
    product = Product(grad, panel, panel, 0, zeros, zeros, floor, y, code == RELU, out)
    multiply_block(product, grad[:0], FIRST_PANEL, batch.n_rows, FIRST_PANEL, FIRST_PANEL + 1)
    if code > RELU:
        multiply_by_derivative(out.reshape(-1), y.reshape(-1), code)


@uncounted
def write_first_gradient(network: Network, batch: Batch, part: Part, out: Any) -> None:
    """Write the gradient of a part's columns of the first weights, padded."""
    grad = of_part(batch.hidden_gradients, part, batch.n_rows, batch.capacity).reshape(-1)
    inputs, matrix = inputs_of(network, batch), out.reshape((network.n_inputs, part.width))
    gradient = Gradient(inputs, 0, batch.n_rows, grad, network.zeros, False, matrix)
    add_products_of_block(gradient, inputs[:0], FIRST_PANEL, network.n_inputs, FIRST_PANEL, FIRST_PANEL + 1)
    _clear_padding(matrix, part)


@inlined
def _clear_padding(matrix: Any, part: Part) -> None:
    """Write 0 in the columns past a part's last unit, if any is NaN: where a factor of their zeros was infinite."""
    n_nan, n_existing, last = 0, part.end - part.first, np.uintp(part.width - 1)
    if n_existing < part.width:
        for row in range(matrix.shape[0]):
            n_nan += np.isnan(matrix[row, last])
        if n_nan > 0:
            for row in range(matrix.shape[0]):
                matrix[row, n_existing:] = 0


@uncounted
def write_second_gradient(network: Network, batch: Batch, part: Part, out: Any) -> None:
    """Write the gradient of a part's rows of the second weights."""
    hidden = of_part(batch.hidden, part, batch.n_rows, batch.capacity)
    matrix = out.reshape((part.end - part.first, network.n_outputs))
    gradient = Gradient(hidden, 0, batch.n_rows, batch.gradient_panel, network.zeros, False, matrix)
    add_products_of_block(gradient, hidden[:0], FIRST_PANEL, part.end - part.first, FIRST_PANEL, FIRST_PANEL + 1)
