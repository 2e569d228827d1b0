"""Training on small batches, one step for each.

The first weights are packed into panels of columns once for all batches. Each panel is owned by one thread and stays
in its caches. The thread adds a step directly to the panel, just before the forward product of the next batch reads
it; the largest gradient is therefore never written. There are two barriers for each batch: threads divide the first
layer by panels, and the forward and backward pass of the later layers by rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._compile.jit import (
    PARALLEL_OPERATIONS,
    In2,
    IndicesIn1,
    Int,
    IntegersIn1,
    Out1,
    Out2,
    Real,
    inlined,
    kernel,
    threads_for,
)
from fastfnn_kernels.jitted._llvm.operands import Finish, Panel, Target, ptr
from fastfnn_kernels.jitted._llvm.sparse_tiles import scattering_tile
from fastfnn_kernels.jitted._llvm.tile_shapes import SCATTERING_VECTORS, SPARSE_TAIL_VECTORS, SPARSE_TILE
from fastfnn_kernels.jitted._products.cross_entropy_rows import sum_of_losses
from fastfnn_kernels.jitted._products.flat_layers import joined, starts_of, write_back
from fastfnn_kernels.jitted._products.fused_activations import CODES, floor_of
from fastfnn_kernels.jitted._products.later_layers import (
    Layers,
    Rows,
    add_bias_step,
    add_step,
    forward_and_back,
    units,
)
from fastfnn_kernels.jitted._products.loops import copy
from fastfnn_kernels.jitted._products.panels import aligned_empty, number_of_panels, width_of_panel
from fastfnn_kernels.jitted._products.sparse_product import (
    Groups,
    fill_sparse_panel,
    group_of,
    multiply_group,
    order_from,
)
from fastfnn_kernels.jitted._products.tasks import share_of
from fastfnn_kernels.jitted._products.tile_product import TILE_VECTORS, VECTOR_BYTES, rows_of_share
from fastfnn_kernels.packing import ROWS_OF_GROUP, PackedBatches
from fastfnn_kernels.runtime.cpu import UNIT

SPARSE_VECTORS = SPARSE_TILE.vectors

# The width of a layer is padded to a multiple of this many vectors, so that both kinds of panels fit.
PADDING_VECTORS = SPARSE_VECTORS * TILE_VECTORS


def sgd_batches(
    batches: PackedBatches,
    labels: NDArray[np.int64],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any] | None],
    activations: Sequence[str],
    learning_rate: float,
) -> tuple[float, int]:
    """Take a step of gradient descent on each batch; see `fastfnn_kernels.reference.sgd_batches`."""
    later, dtype = weights[1:], weights[0].dtype
    batch_size = min(batches.batch_size, max(len(labels), 1))
    widths = np.array([w.shape[1] for w in weights])
    padding = PADDING_VECTORS * UNIT.lanes(dtype.itemsize)
    padded = -(-widths // padding) * padding
    weight_starts, bias_starts = starts_of(w.size for w in later), starts_of(padded)
    flat_weights, flat_biases = joined(later, weight_starts, dtype), joined(biases, bias_starts, dtype)
    layers = (
        widths,
        np.array([CODES[activation] for activation in activations], np.int64),
        np.array([b is not None for b in biases], np.int64),
        *(flat_biases, bias_starts, flat_weights, weight_starts),
        *(starts_of(padded[1:] * widths[:-1]), starts_of(padded[:-1] * widths[1:])),
        starts_of(widths),
    )
    operations = 4 * batches.values.size * weights[0].shape[1] * batch_size // max(len(labels), 1)
    n_threads = threads_for(operations)
    n_row_threads = threads_for(6 * batch_size * flat_weights.size)
    x, numbers = (*batches[:3], labels, batch_size), (learning_rate, n_threads, n_row_threads)
    try:
        loss_sum, n_correct = _train(max(operations, PARALLEL_OPERATIONS), dtype, *x, weights[0], *layers, *numbers)
    finally:  # even after Ctrl-C, since the first layer has been changed in place
        write_back(flat_weights, weight_starts, later)
        write_back(flat_biases, bias_starts, biases)
    return loss_sum, n_correct


@kernel
def _train(
    offsets: IntegersIn1,
    indices: IndicesIn1,
    values: In2,
    labels: IntegersIn1,
    batch_size: Int,
    first_weights: Out2,
    widths: IntegersIn1,
    codes: IntegersIn1,
    has_bias: IntegersIn1,
    biases: Out1,
    bias_starts: IntegersIn1,
    weights: Out1,
    weight_starts: IntegersIn1,
    forward_starts: IntegersIn1,
    backward_starts: IntegersIn1,
    unit_starts: IntegersIn1,
    learning_rate: Real,
    n_threads: Int,
    n_row_threads: Int,
) -> tuple[float, int]:
    n_inputs, n_hidden = first_weights.shape
    dtype, lanes = biases.dtype, VECTOR_BYTES // biases.itemsize
    wide, narrow = SPARSE_VECTORS * lanes, SPARSE_TAIL_VECTORS * lanes
    n_panels = number_of_panels(n_hidden, wide)
    panels = aligned_empty(n_inputs * n_panels * wide, dtype)
    # The last columns are padded with zeros.
    forward_panels, backward_panels = np.zeros(forward_starts[-1], dtype), np.zeros(backward_starts[-1], dtype)
    layers = Layers(
        widths, codes, has_bias, biases, bias_starts, weights, weight_starts,
        forward_panels, forward_starts, backward_panels, backward_starts, np.zeros(biases.size, dtype),
    )  # fmt: skip

    # The first layer's outputs for a batch are computed while those of the previous batch are still being read.
    n_units = batch_size * unit_starts[-1]
    outputs, other_outputs = aligned_empty(n_units, dtype), aligned_empty(n_units, dtype)
    gradients = aligned_empty(n_units, dtype)
    gradient_panels = aligned_empty(batch_size * biases.size, dtype)
    maxima, totals = np.empty(batch_size, dtype), np.empty(batch_size, dtype)
    groups = Groups(offsets, indices, values, np.arange(batch_size).astype(np.int32))
    n_groups = (batch_size + ROWS_OF_GROUP - 1) // ROWS_OF_GROUP
    n_batches = (labels.size + batch_size - 1) // batch_size
    counts = np.zeros(n_row_threads, np.int64)
    loss_sum, n_before = 0.0, 0
    for batch in range(n_batches + 1):
        labels_now = labels[batch * batch_size : (batch + 1) * batch_size]
        n_now = labels_now.size
        before = Rows(n_before, unit_starts, other_outputs, gradients, gradient_panels, maxima, totals)
        now = Rows(n_now, unit_starts, outputs, gradients, gradient_panels, maxima, totals)
        for worker in prange(n_threads):
            first_panel, end_panel = share_of(n_panels, worker, n_threads)
            for panel in range(first_panel, end_panel):
                j, width = panel * wide, width_of_panel(panel, n_hidden, wide, narrow)
                if batch == 0:
                    fill_sparse_panel(first_weights, j, width, panels, j * first_weights.shape[0])
                b = Panel(ptr(panels), j * n_inputs, width, n_inputs)
                group = (batch - 1) * n_groups
                _step_panel(groups, group, layers, before, b, j)
                group = batch * n_groups
                _multiply_panel(groups, group, layers, now, b, j)
                if batch == n_batches:
                    _copy_back(panels, j, width, first_weights)
            for layer in range(1, widths.size):
                first, end = rows_of_share(widths[layer - 1], worker, n_threads)
                if first < end:
                    add_step(layers, before, layer, first, end)
                if worker == 0:
                    add_bias_step(layers, before, layer, 0, widths[layer])
        if n_now > 0:
            for worker in prange(n_row_threads):
                first, end = rows_of_share(n_now, worker, n_row_threads)
                if first < end:
                    counts[worker] += forward_and_back(layers, now, labels_now, -learning_rate / n_now, first, end)
            logits = units(now, outputs, widths.size - 1)
            loss_sum += sum_of_losses(logits, labels_now, 0, n_now, maxima, totals)
        outputs, other_outputs = other_outputs, outputs
        n_before = n_now
    return loss_sum, counts.sum()


@inlined
def _multiply_panel(groups: Groups, first_group: int, layers: Layers, rows: Rows, b: Panel, j: int) -> None:
    """Compute the columns of the first layer's outputs that one panel covers."""
    out = units(rows, rows.outputs, 0)
    n_columns = out.shape[1]
    finish = Finish(ptr(layers.biases), j, False, floor_of(layers.codes[0], out))
    is_wide = b.row == SPARSE_VECTORS * (VECTOR_BYTES // out.itemsize)
    for row in range(0, rows.n_rows, ROWS_OF_GROUP):
        group = group_of(groups, first_group + row // ROWS_OF_GROUP)
        c = Target(ptr(out), j, n_columns, min(ROWS_OF_GROUP, rows.n_rows - row), min(b.row, n_columns - j))
        multiply_group(group, b, order_from(groups.order, row), c, finish, is_wide)


@inlined
def _step_panel(groups: Groups, first_group: int, layers: Layers, rows: Rows, b: Panel, j: int) -> None:
    """Add the products of the batch's inputs and gradients to one panel of the first weights, and to the bias."""
    grad = units(rows, rows.gradients, 0)
    n_columns, wide = grad.shape[1], SCATTERING_VECTORS * (VECTOR_BYTES // grad.itemsize)
    end = min(j + b.row, n_columns)
    for row in range(0, rows.n_rows, ROWS_OF_GROUP):
        group, order = group_of(groups, first_group + row // ROWS_OF_GROUP), order_from(groups.order, row)
        n_read = min(ROWS_OF_GROUP, rows.n_rows - row)
        for column in range(j, end, wide):
            c = Target(b.values, b.offset + column - j, b.row, b.depth, min(wide, end - column))
            scattering_tile(group, Panel(ptr(grad), column, n_columns, n_read), order, c)
    add_bias_step(layers, rows, 0, j, end)


@inlined
def _copy_back(panels: Any, j: int, width: int, weights: Any) -> None:
    """Copy a panel back to its columns of the weights."""
    n_inputs, n_columns = weights.shape
    end = min(j + width, n_columns)
    for i in range(n_inputs):
        place = j * n_inputs + i * width
        copy(panels[place : place + end - j], weights[i, j:end])
