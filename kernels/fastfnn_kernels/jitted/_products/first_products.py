"""Products of the first layer's panels with a batch of packed inputs, and its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inlined, uncounted
from fastfnn_kernels.jitted._llvm.operands import Finish, Panel, Target, ptr
from fastfnn_kernels.jitted._llvm.sparse_tiles import scattering_tile
from fastfnn_kernels.jitted._llvm.tile_shapes import SCATTERING_VECTORS
from fastfnn_kernels.jitted._products.first_layer import FirstLayer, PanelBlock, panel_of, tasks_of
from fastfnn_kernels.jitted._products.fused_activations import floor_of
from fastfnn_kernels.jitted._products.later_layers import Layers, Rows, units
from fastfnn_kernels.jitted._products.sparse_product import (
    Groups,
    entries_between,
    group_from,
    multiply_groups,
    order_from,
)
from fastfnn_kernels.jitted._products.tasks import share_of
from fastfnn_kernels.jitted._products.tile_product import VECTOR_BYTES
from fastfnn_kernels.packing import ROWS_OF_GROUP


@uncounted
def multiply_panels(
    layer: FirstLayer, layers: Layers, packed: Groups, batch: Rows, number: int, worker: int, n_threads: int
) -> None:
    """Write the products of some rows of a batch, which has this number, with the worker's panels.

    `packed` are the groups of all batches.
    """
    out, n_shares = units(batch, batch.outputs, 1), layer.bounds.size - 1
    groups, floor = _groups_from(packed, layer, number), floor_of(layers.codes[1], out)
    first_task, end_task = tasks_of(layer, worker, n_threads)
    for task in range(first_task, end_task):
        block = panel_of(layer, task // n_shares, 0, layer.n_inputs)
        b = Panel(ptr(layer.weights), block.place, block.width, layer.n_inputs)
        c = Target(ptr(out), block.column, layer.n_outputs, batch.n_rows, block.end_column - block.column)
        finish = Finish(ptr(layer.biases), block.column, False, floor)
        n_groups = (batch.n_rows + ROWS_OF_GROUP - 1) // ROWS_OF_GROUP
        first, end = share_of(n_groups, task % n_shares, n_shares)
        multiply_groups(groups, first, end, b, block.width, c, finish)


@inlined
def _groups_from(packed: Groups, layer: FirstLayer, number: int) -> Groups:
    """Return the groups from the first of a batch on."""
    first = number * ((layer.batch_size + ROWS_OF_GROUP - 1) // ROWS_OF_GROUP)
    return Groups(packed.offsets[first:], packed.indices, packed.values, packed.order)


@uncounted
def begin_share(layer: FirstLayer, packed: Groups, n_rows: int, number: int, first_input: int, worker: int) -> None:
    """Find each group's first entry in a share of the inputs, whose blocks are then taken in order."""
    groups, ends = _groups_from(packed, layer, number), layer.ends[worker]
    for group in range((n_rows + ROWS_OF_GROUP - 1) // ROWS_OF_GROUP):
        ends[group], _ = entries_between(groups, group, first_input, layer.n_inputs, layer.n_inputs)


@uncounted
def write_gradient_of_block(
    layer: FirstLayer, packed: Groups, batch: Rows, number: int, block: PanelBlock, worker: int, g: Any
) -> None:
    """Write the gradient of some inputs in a panel to g, which is in the worker's row of `layer.gradients`.

    The inputs that the batch touches are marked, and only their rows are written.
    """
    grad, groups = units(batch, batch.gradients, 1), _groups_from(packed, layer, number)
    touched = layer.touched[worker, : block.end - block.first]
    _find_entries(groups, grad.shape[0], block, layer.firsts[worker], layer.ends[worker], touched)
    for i in range(touched.size):
        if touched[i]:
            g[i * block.width : (i + 1) * block.width] = 0
    origin = worker * layer.gradients.shape[1] - block.first * block.width
    target = Target(ptr(layer.gradients), origin, block.width, layer.n_inputs, block.width)
    _scatter(groups, grad, block, layer.firsts[worker], layer.ends[worker], target)


@uncounted
def _find_entries(groups: Groups, n_rows: int, block: PanelBlock, firsts: Any, ends: Any, touched: Any) -> None:
    """Write where each group's entries in a block begin, which is where those of the last block end, and end."""
    touched[:] = 0
    for group in range((n_rows + ROWS_OF_GROUP - 1) // ROWS_OF_GROUP):
        entry, end_of_group = ends[group], groups.offsets[group + 1]
        firsts[group] = entry
        while entry < end_of_group and groups.indices[np.uintp(entry)] < block.end:
            touched[np.uintp(groups.indices[np.uintp(entry)] - block.first)] = 1
            entry += 1
        ends[group] = entry


@uncounted
def _scatter(groups: Groups, grad: Any, block: PanelBlock, firsts: Any, ends: Any, c: Target) -> None:
    """Add the products of some inputs with some columns of a gradient; each sum is one chain over all rows."""
    n_rows, n_columns = grad.shape
    width = SCATTERING_VECTORS * (VECTOR_BYTES // grad.itemsize)
    for row in range(0, n_rows, ROWS_OF_GROUP):
        first, end = firsts[row // ROWS_OF_GROUP], ends[row // ROWS_OF_GROUP]
        if end > first:
            n_read, order = min(ROWS_OF_GROUP, n_rows - row), order_from(groups, row)
            group = group_from(groups, first, end - first)
            for j in range(block.column, block.end_column, width):
                columns = Target(
                    c.values, c.offset + j - block.column, c.row, c.n_rows, min(width, block.end_column - j)
                )
                scattering_tile(group, Panel(ptr(grad), j, n_columns, n_read), order, columns)
