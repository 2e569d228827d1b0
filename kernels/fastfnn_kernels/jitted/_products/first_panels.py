"""The first layer in steps on packed batches: its weights lie in panels of columns, each owned by a thread.

A panel stays in its thread's caches. Blocks of inputs, and the sums over each column of a block, do not depend on how
panels are divided among threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inline, inlined, uncounted
from fastfnn_kernels.jitted._llvm.operands import Finish, Panel, Target, ptr
from fastfnn_kernels.jitted._llvm.tile_shapes import SPARSE_TAIL_VECTORS
from fastfnn_kernels.jitted._products.batch_steps import Sums, Update, Vectors, bound_and_update, clip
from fastfnn_kernels.jitted._products.loops import copy
from fastfnn_kernels.jitted._products.panels import width_of_panel
from fastfnn_kernels.jitted._products.sparse_product import (
    Groups,
    fill_sparse_panel,
    multiply_groups,
    scatter_groups,
)
from fastfnn_kernels.jitted._products.tasks import share_of
from fastfnn_kernels.jitted._products.tile_product import VECTOR_BYTES
from fastfnn_kernels.jitted._products.update_rules import update_elements
from fastfnn_kernels.jitted._products.weight_gradient import add_sums_of_columns
from fastfnn_kernels.packing import ROWS_OF_GROUP

# Inputs in a block, whose gradient stays in a thread's caches until the update.
BLOCK_INPUTS = 256


class FirstLayer(NamedTuple):
    """The first layer, whose weights and states lie in panels; a panel may be divided into shares of inputs."""

    n_inputs: Any
    n_outputs: Any
    weights_at: Any  # in vectors like the parameters
    bias_at: Any  # -1 for none
    learns: Any
    wide: Any  # columns of a panel
    n_panels: Any
    bounds: Any  # first input of each share, and the end of the last
    in_place: Any  # whether the only panel is the matrix itself
    weights: Any  # in panels
    state: Any
    other_state: Any
    biases: Any  # where the products begin their sums
    gradients: Any  # of a block of inputs, for each thread
    penalised: Any  # sums of squares of each block's columns
    squares: Any


class Block(NamedTuple):
    """Some inputs and the columns of a panel."""

    first: Any
    end: Any
    column: Any
    end_column: Any
    width: Any
    place: Any  # of the panel


@inline
def panel_of(layer: FirstLayer, panel: int, first: int, end: int) -> Block:
    """Return some inputs of a panel."""
    lanes = VECTOR_BYTES // layer.weights.itemsize
    column = panel * layer.wide
    width = width_of_panel(panel, layer.n_outputs, layer.wide, SPARSE_TAIL_VECTORS * lanes)
    return Block(first, end, column, min(column + width, layer.n_outputs), width, column * layer.n_inputs)


@uncounted
def exchange_panels(
    layer: FirstLayer, vector: Any, panels: Any, into_panels: bool, worker: int, n_threads: int
) -> None:
    """Copy a worker's shares from a vector like the parameters into panels, or back."""
    size, n_shares = layer.n_inputs * layer.n_outputs, layer.bounds.size - 1
    matrix = vector[layer.weights_at : layer.weights_at + size].reshape((layer.n_inputs, layer.n_outputs))
    first_task, end_task = share_of(layer.n_panels * n_shares, worker, n_threads)
    for task in range(first_task, end_task):
        block = panel_of(layer, task // n_shares, layer.bounds[task % n_shares], layer.bounds[task % n_shares + 1])
        if into_panels:
            n_rows, place = block.end - block.first, block.place + block.first * block.width
            fill_sparse_panel(matrix, block.first, n_rows, block.column, block.width, panels, place)
        else:
            for i in range(block.first, block.end):
                row = panels[block.place + i * block.width : block.place + (i + 1) * block.width]
                copy(row[: block.end_column - block.column], matrix[i, block.column : block.end_column])


@uncounted
def step_panels(
    layer: FirstLayer,
    groups: Groups,
    grad: Any,
    vectors: Vectors,
    update: Update,
    keeps: bool,
    worker: int,
    n_threads: int,
) -> None:
    """Compute the gradient of the worker's shares, and update them if the update does not wait for norms.

    With `keeps`, or if it waits, the gradient is stored.
    """
    n_shares = layer.bounds.size - 1
    first_task, end_task = share_of(layer.n_panels * n_shares, worker, n_threads)
    for task in range(first_task, end_task):
        share = task % n_shares
        for first in range(layer.bounds[share], layer.bounds[share + 1], BLOCK_INPUTS):
            end = min(first + BLOCK_INPUTS, layer.bounds[share + 1])
            _step_block(
                layer, panel_of(layer, task // n_shares, first, end), groups, grad, vectors, update, keeps, worker
            )
        if share == 0 and layer.bias_at >= 0:
            block = panel_of(layer, task // n_shares, 0, 0)
            bias_gradient = vectors.gradient[layer.bias_at : layer.bias_at + layer.n_outputs]
            bias_gradient[block.column : block.end_column] = 0
            add_sums_of_columns(grad, 0, grad.shape[0], block.column, block.end_column, bias_gradient)
            w, g, s, t = _bias_views(layer, vectors, block)
            _finish(g, w, update.l2_bias, update.clip_value, layer.learns)
            if not update.waits:
                update_elements(update.code, update.numbers[1], w, g, s, t)
                copy(w, layer.biases[block.column : block.end_column])


@uncounted
def _step_block(
    layer: FirstLayer,
    block: Block,
    groups: Groups,
    grad: Any,
    vectors: Vectors,
    update: Update,
    keeps: bool,
    worker: int,
) -> None:
    size, at = (block.end - block.first) * block.width, block.place + block.first * block.width
    g, w = layer.gradients[worker, :size], layer.weights[at : at + size]
    g[:] = 0
    origin = worker * layer.gradients.shape[1] - block.first * block.width
    target = Target(ptr(layer.gradients), origin, block.width, layer.n_inputs, block.width)
    scatter_groups(groups, grad, block.first, block.end, block.column, block.end_column, target)
    number = block.first // BLOCK_INPUTS
    if update.l2 != 0:
        _write_sums_of_squares(w, block.width, layer.penalised[number, block.column : block.end_column])
    _finish(g, w, update.l2, update.clip_value, layer.learns)
    if update.waits:
        _write_sums_of_squares(g, block.width, layer.squares[number, block.column : block.end_column])
    if keeps or update.waits:
        for i in range(block.first, block.end):
            row = g[(i - block.first) * block.width :]
            start = layer.weights_at + i * layer.n_outputs
            copy(row[: block.end_column - block.column], vectors.gradient[start + block.column :])
    if not update.waits:
        update_elements(
            update.code, update.numbers[1], w, g, layer.state[at : at + size], layer.other_state[at : at + size]
        )


@inline
def _finish(g: Any, w: Any, l2: Any, bound: Any, learns: bool) -> None:
    """Add the penalty's gradient, and clip each element."""
    if l2 != 0:
        for i in range(g.size):
            g[i] += l2 * w[i]
    if bound < np.inf and learns:
        clip(g, bound)


@uncounted
def _write_sums_of_squares(rows: Any, width: int, sums: Any) -> None:
    """Write the sums of squares of the columns, each added up row by row."""
    sums[:] = 0
    for start in range(0, rows.size, width):
        row = rows[start : start + width]
        for j in range(sums.size):
            wide = np.float64(row[j])
            sums[j] += wide * wide


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
    first_task, end_task = share_of(layer.n_panels * n_shares, worker, n_threads)
    for task in range(first_task, end_task):
        share = task % n_shares
        for first in range(layer.bounds[share], layer.bounds[share + 1], BLOCK_INPUTS):
            end = min(first + BLOCK_INPUTS, layer.bounds[share + 1])
            block = panel_of(layer, task // n_shares, first, end)
            size, at = (end - first) * block.width, block.place + first * block.width
            g = layer.gradients[worker, :size]
            g[:] = 0
            for i in range(first, end):
                row, start = g[(i - first) * block.width :], layer.weights_at + i * layer.n_outputs
                stored = vectors.gradient[start + block.column : start + block.end_column]
                copy(stored, row)
            w, s, t = layer.weights[at : at + size], layer.state[at : at + size], layer.other_state[at : at + size]
            bound_and_update(update.code, numbers, factor, layer.learns, rates, 0, w, g, s, t)
            for i in range(first, end):
                row, start = g[(i - first) * block.width :], layer.weights_at + i * layer.n_outputs
                copy(row[: block.end_column - block.column], vectors.gradient[start + block.column :])
        if share == 0 and layer.bias_at >= 0:
            block = panel_of(layer, task // n_shares, 0, 0)
            w, g, s, t = _bias_views(layer, vectors, block)
            bound_and_update(update.code, numbers, factor, layer.learns, rates, 1, w, g, s, t)
            copy(w, layer.biases[block.column : block.end_column])


@inlined
def _bias_views(layer: FirstLayer, vectors: Vectors, block: Block) -> Any:
    """Return a block's part of the bias, of its gradient and of both states; a state may be empty."""
    first, end = layer.bias_at + block.column, layer.bias_at + block.end_column
    state, other_state = vectors.state[first:end], vectors.other_state[first:end]
    return vectors.parameters[first:end], vectors.gradient[first:end], state, other_state


@uncounted
def multiply_panels(
    layer: FirstLayer, groups: Groups, n_rows: int, floor: Any, out: Any, worker: int, n_threads: int
) -> None:
    """Write the products of some groups with the worker's panels."""
    n_shares, n_groups = layer.bounds.size - 1, (n_rows + ROWS_OF_GROUP - 1) // ROWS_OF_GROUP
    first_task, end_task = share_of(layer.n_panels * n_shares, worker, n_threads)
    for task in range(first_task, end_task):
        first, end = share_of(n_groups, task % n_shares, n_shares)
        block = panel_of(layer, task // n_shares, 0, layer.n_inputs)
        b = Panel(ptr(layer.weights), block.place, block.width, layer.n_inputs)
        c = Target(ptr(out), block.column, layer.n_outputs, n_rows, block.end_column - block.column)
        finish = Finish(ptr(layer.biases), block.column, False, floor)
        multiply_groups(groups, first, end, b, block.width, c, finish)
