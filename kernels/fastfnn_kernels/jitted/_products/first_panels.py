"""The step of the first layer's panels: gradient, penalty, bounds and update of blocks that stay in a cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inline, inlined, uncounted
from fastfnn_kernels.jitted._products.batch_steps import (
    Places,
    Sums,
    Update,
    Vectors,
    bound_and_update,
    bound_of,
    penalise_and_clip,
)
from fastfnn_kernels.jitted._products.first_layer import (
    BLOCK_INPUTS,
    FirstLayer,
    PanelBlock,
    bias_of,
    panel_of,
    tasks_of,
)
from fastfnn_kernels.jitted._products.first_products import begin_share, write_gradient_of_block
from fastfnn_kernels.jitted._products.later_layers import Rows, units
from fastfnn_kernels.jitted._products.loops import copy, sum_in_order, sum_of_squares
from fastfnn_kernels.jitted._products.panels import INTO_PANELS, OUT_OF_PANELS
from fastfnn_kernels.jitted._products.sparse_product import Groups
from fastfnn_kernels.jitted._products.update_rules import SGD, sgd_elements, update_elements
from fastfnn_kernels.jitted._products.weight_gradient import add_sums_of_columns


@uncounted
def step_panels(
    layer: FirstLayer,
    packed: Groups,
    batch: Rows,
    number: int,
    vectors: Vectors,
    update: Update,
    keeps: bool,
    worker: int,
    n_threads: int,
) -> None:
    """Compute the gradient of the worker's shares on a batch, and update them if the update does not wait for norms.

    With `keeps`, or if it waits, the gradient is stored.
    """
    n_shares = layer.bounds.size - 1
    first_task, end_task = tasks_of(layer, worker, n_threads)
    for task in range(first_task, end_task):
        panel, share = task // n_shares, task % n_shares
        begin_share(layer, packed, batch.n_rows, number, layer.bounds[share], worker)
        for first in range(layer.bounds[share], layer.bounds[share + 1], BLOCK_INPUTS):
            block = panel_of(layer, panel, first, min(first + BLOCK_INPUTS, layer.bounds[share + 1]))
            _step_block(layer, block, packed, batch, number, vectors, update, keeps, worker)
        if share == 0 and layer.bias_at >= 0:
            _step_bias(layer, panel_of(layer, panel, 0, 0), batch, vectors, update)


@uncounted
def _step_bias(layer: FirstLayer, block: PanelBlock, batch: Rows, vectors: Vectors, update: Update) -> None:
    """Compute the gradient of a panel's biases, and update them if the update does not wait for norms."""
    sums = vectors.gradient[layer.bias_at : layer.bias_at + layer.n_outputs]
    sums[block.column : block.end_column] = 0
    grad = units(batch, batch.gradients, 1)
    add_sums_of_columns(grad, 0, batch.n_rows, block.column, block.end_column, sums)
    w, g, s, t = _bias_views(layer, vectors, block)
    penalise_and_clip(g, w, update.l2_bias, bound_of(update, layer.learns))
    if not update.waits:
        update_elements(update.code, update.numbers[1], w, g, s, t)
        copy(w, layer.biases[block.column : block.end_column])


@uncounted
def _step_block(
    layer: FirstLayer,
    block: PanelBlock,
    packed: Groups,
    batch: Rows,
    number: int,
    vectors: Vectors,
    update: Update,
    keeps: bool,
    worker: int,
) -> None:
    w, s, t = _panel_views(layer, block)
    g, bound = layer.gradients[worker, : w.size], bound_of(update, layer.learns)
    write_gradient_of_block(layer, packed, batch, number, block, worker, g)
    touched = layer.touched[worker, : block.end - block.first]
    if update.code == SGD and update.l2 == 0 and not (keeps or update.waits):
        _descend_where_touched(w, g, update.numbers[1, 0], bound, touched, block.width)
        return
    for i in range(touched.size):
        if not touched[i]:
            g[i * block.width : (i + 1) * block.width] = 0
    of_block = block.first // BLOCK_INPUTS
    if update.l2 != 0:
        _write_sums_of_squares(w, block.width, layer.penalised[of_block, block.column : block.end_column])
    penalise_and_clip(g, w, update.l2, bound)
    if update.waits:
        _write_sums_of_squares(g, block.width, layer.squares[of_block, block.column : block.end_column])
    if keeps or update.waits:
        _exchange_gradient(layer, block, vectors.gradient, g, OUT_OF_PANELS)
    if not update.waits:
        update_elements(update.code, update.numbers[1], w, g, s, t)


@uncounted
def _exchange_gradient(layer: FirstLayer, block: PanelBlock, gradient: Any, g: Any, into_block: bool) -> None:
    """Copy the gradient of a block from a vector like the parameters, or back; its padding becomes 0."""
    n_existing = block.end_column - block.column
    for i in range(block.first, block.end):
        row = g[(i - block.first) * block.width : (i + 1 - block.first) * block.width]
        start = layer.weights_at + i * layer.n_outputs + block.column
        if into_block:
            copy(gradient[start : start + n_existing], row)
            row[n_existing:] = 0
        else:
            copy(row[:n_existing], gradient[start : start + n_existing])


@uncounted
def _descend_where_touched(w: Any, g: Any, learning_rate: float, bound: Any, touched: Any, width: int) -> None:
    """Take a step of gradient descent for the inputs that a batch touches; nothing else would change.

    Sparse inputs have many others, whose weights need not be read from memory.
    """
    for i in range(touched.size):
        if touched[i]:
            row, weights = g[i * width : (i + 1) * width], w[i * width : (i + 1) * width]
            penalise_and_clip(row, weights, w.dtype.type(0), bound)
            sgd_elements(weights, row, w.dtype.type(learning_rate))


@uncounted
def _write_sums_of_squares(rows: Any, width: int, sums: Any) -> None:
    """Write the sums of squares of the columns, each added up in order, four rows at a time."""
    sums[:] = 0
    end = rows.size // (4 * width) * (4 * width)
    for start in range(0, end, 4 * width):
        a, b, c, d = rows[start:], rows[start + width :], rows[start + 2 * width :], rows[start + 3 * width :]
        for j in range(sums.size):
            sums[j] += (_square(a[j]) + _square(b[j])) + (_square(c[j]) + _square(d[j]))
    for start in range(end, rows.size, width):
        row = rows[start:]
        for j in range(sums.size):
            sums[j] += _square(row[j])


@inline
def _square(number: Any) -> float:
    wide = np.float64(number)
    return wide * wide


@uncounted
def update_panels_after_norms(
    layer: FirstLayer,
    vectors: Vectors,
    update: Update,
    sums: Sums,
    worker: int,
    n_threads: int,
) -> None:
    """Bound the stored gradient of the worker's shares, and update them."""
    factor, rates, numbers = sums.factor[0], sums.rates, update.numbers[1]
    n_shares = layer.bounds.size - 1
    first_task, end_task = tasks_of(layer, worker, n_threads)
    for task in range(first_task, end_task):
        panel, share = task // n_shares, task % n_shares
        for first in range(layer.bounds[share], layer.bounds[share + 1], BLOCK_INPUTS):
            block = panel_of(layer, panel, first, min(first + BLOCK_INPUTS, layer.bounds[share + 1]))
            w, s, t = _panel_views(layer, block)
            g = layer.gradients[worker, : w.size]
            _exchange_gradient(layer, block, vectors.gradient, g, INTO_PANELS)
            bound_and_update(update.code, numbers, factor, layer.learns, rates, 0, w, g, s, t)
            _exchange_gradient(layer, block, vectors.gradient, g, OUT_OF_PANELS)
        if share == 0 and layer.bias_at >= 0:
            block = panel_of(layer, panel, 0, 0)
            w, g, s, t = _bias_views(layer, vectors, block)
            bound_and_update(update.code, numbers, factor, layer.learns, rates, 1, w, g, s, t)
            copy(w, layer.biases[block.column : block.end_column])


@inlined
def _panel_views(layer: FirstLayer, block: PanelBlock) -> Any:
    """Return a block of the weights and of both states; a state may be empty."""
    first, end = block.place + block.first * block.width, block.place + block.end * block.width
    return layer.weights[first:end], layer.state[first:end], layer.other_state[first:end]


@inlined
def _bias_views(layer: FirstLayer, vectors: Vectors, block: PanelBlock) -> Any:
    """Return a block's part of the bias, of its gradient and of both states; a state may be empty."""
    first, end = layer.bias_at + block.column, layer.bias_at + block.end_column
    state, other_state = vectors.state[first:end], vectors.other_state[first:end]
    return vectors.parameters[first:end], vectors.gradient[first:end], state, other_state


@uncounted
def add_up_panels(layer: FirstLayer, places: Places, vectors: Vectors, waits: bool) -> None:
    """Add up the first layer's sums of squares in order, and write them where `penalty_of` and norms find them."""
    weights, bias = places.block_starts[1], places.block_starts[1 + 1] - 1
    vectors.penalised[weights] = sum_in_order(layer.penalised.reshape(-1))
    if waits:
        vectors.squares[weights] = sum_in_order(layer.squares.reshape(-1))
        if layer.bias_at >= 0:
            vectors.squares[bias] = sum_of_squares(bias_of(layer, vectors.gradient))
