"""Training on small batches, one step for each.

The first weights are packed into panels of columns once for all batches. Each panel is owned by one thread and stays
in its caches. The thread adds a step directly to the panel, just before the forward product of the next batch reads
it; the largest gradient is therefore never written. There are two barriers for each batch: threads divide the first
layer by panels, and the forward and backward pass of the later layers by rows.

With more threads, panels are narrower. Where this is not enough, several threads share a panel: each adds the step to
some inputs and, after one more barrier, multiplies some groups of rows with all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._compile.jit import (
    PARALLEL_OPERATIONS,
    In2,
    IndicesIn1,
    Int,
    IntegersIn1,
    IntegersIn2,
    Out1,
    Out2,
    Real,
    inline,
    kernel,
    threads_for,
)
from fastfnn_kernels.jitted._llvm.operands import Finish, Panel, Target, ptr
from fastfnn_kernels.jitted._llvm.tile_shapes import SPARSE_TAIL_VECTORS, SPARSE_TILE
from fastfnn_kernels.jitted._products.cross_entropy_rows import sum_of_losses
from fastfnn_kernels.jitted._products.division import divide_batches, row_threads
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
from fastfnn_kernels.jitted._products.shares import bounds_of_inputs
from fastfnn_kernels.jitted._products.sparse_product import (
    Groups,
    fill_sparse_panel,
    multiply_groups,
    scatter_groups,
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
    later, dtype, n_rows = weights[1:], weights[0].dtype, max(len(labels), 1)
    batch_size, (n_inputs, n_hidden) = min(batches.batch_size, n_rows), weights[0].shape
    sizes = _sizes_of(weights, biases, activations)
    flat_weights = joined(later, sizes.weight_starts, dtype)
    flat_biases = joined(biases, sizes.bias_starts, dtype)
    n_threads = threads_for(4 * batches.values.size * n_hidden * batch_size // n_rows)
    entries = len(batches.values) * batch_size // n_rows
    panels = divide_batches(n_inputs, n_hidden, entries, dtype.itemsize, n_threads)
    operations = 6 * batch_size * flat_weights.size
    n_row_threads = row_threads(batch_size, operations, threads_for(operations))
    x, numbers = (*batches[:3], labels, batch_size), (learning_rate, n_threads, n_row_threads, *panels)
    layers = (_table(sizes), flat_biases, flat_weights)
    try:
        loss_sum, n_correct = _train(PARALLEL_OPERATIONS, dtype, *x, weights[0], *layers, *numbers)
    finally:  # even after Ctrl-C, since the first layer has been changed in place
        write_back(flat_weights, sizes.weight_starts, later)
        write_back(flat_biases, sizes.bias_starts, biases)
    return loss_sum, n_correct


class _Sizes(NamedTuple):
    """The sizes of the layers and the offsets of their parts in vectors for all layers."""

    widths: Any
    codes: Any
    has_bias: Any
    bias_starts: Any
    weight_starts: Any  # of the layers after the first, like the panels
    forward_starts: Any
    backward_starts: Any
    unit_starts: Any


def _sizes_of(
    weights: Sequence[NDArray[Any]], biases: Sequence[NDArray[Any] | None], activations: Sequence[str]
) -> _Sizes:
    widths = np.array([w.shape[1] for w in weights])
    padding = PADDING_VECTORS * UNIT.lanes(weights[0].itemsize)
    padded = -(-widths // padding) * padding
    return _Sizes(
        widths,
        np.array([CODES[activation] for activation in activations]),
        np.array([b is not None for b in biases]),
        starts_of(padded),
        starts_of(w.size for w in weights[1:]),
        starts_of(padded[1:] * widths[:-1]),
        starts_of(padded[:-1] * widths[1:]),
        starts_of(widths),
    )


def _table(sizes: _Sizes) -> NDArray[np.int64]:
    """Return the sizes as the rows of a single array, the shorter ones padded with zeros."""
    table = np.zeros((len(sizes), len(sizes.widths) + 1), np.int64)
    for row, values in zip(table, sizes, strict=True):
        row[: len(values)] = values
    return table


@kernel
def _train(
    offsets: IntegersIn1,
    indices: IndicesIn1,
    values: In2,
    labels: IntegersIn1,
    batch_size: Int,
    first_weights: Out2,
    table: IntegersIn2,
    biases: Out1,
    weights: Out1,
    learning_rate: Real,
    n_threads: Int,
    n_row_threads: Int,
    panel_vectors: Int,
    n_parts: Int,
) -> tuple[float, int]:
    """Take all steps; return the sum of losses and the number of correct rows. See `division.divide_batches`."""
    n_inputs, n_hidden = first_weights.shape
    dtype, lanes = biases.dtype, VECTOR_BYTES // biases.itemsize
    wide, narrow = panel_vectors * lanes, SPARSE_TAIL_VECTORS * lanes
    n_panels = number_of_panels(n_hidden, wide)
    panels = aligned_empty(n_inputs * n_panels * wide, dtype)
    n = table.shape[1] - 1
    sizes = _Sizes(
        table[0, :n], table[1, :n], table[2, :n], table[3], table[4, :n], table[5, :n], table[6, :n], table[7]
    )
    # The last columns are padded with zeros.
    forward_panels = np.zeros(sizes.forward_starts[-1], dtype)
    backward_panels = np.zeros(sizes.backward_starts[-1], dtype)
    layers = Layers(
        sizes.widths, sizes.codes, sizes.has_bias, biases, sizes.bias_starts, weights, sizes.weight_starts,
        forward_panels, sizes.forward_starts, backward_panels, sizes.backward_starts, np.zeros(biases.size, dtype),
    )  # fmt: skip
    widths, unit_starts = sizes.widths, sizes.unit_starts

    # The first layer's outputs for a batch are computed while those of the previous batch are still being read.
    n_units = batch_size * unit_starts[-1]
    outputs, other_outputs = aligned_empty(n_units, dtype), aligned_empty(n_units, dtype)
    gradients = aligned_empty(n_units, dtype)
    gradient_panels = aligned_empty(batch_size * biases.size, dtype)
    maxima, totals = np.empty(batch_size, dtype), np.empty(batch_size, dtype)
    positions = np.arange(batch_size).astype(np.int32)
    n_groups = number_of_groups(batch_size)
    n_batches = (labels.size + batch_size - 1) // batch_size
    bounds = bounds_of_inputs(Groups(offsets, indices, values, positions), n_inputs, n_parts)
    counts = np.zeros(n_row_threads, np.int64)
    loss_sum, n_before = 0.0, 0
    for batch in range(n_batches + 1):
        labels_now = labels[batch * batch_size : (batch + 1) * batch_size]
        n_now = labels_now.size
        before = Rows(n_before, unit_starts, other_outputs, gradients, gradient_panels, maxima, totals)
        now = Rows(n_now, unit_starts, outputs, gradients, gradient_panels, maxima, totals)
        groups_before = Groups(offsets[max(batch - 1, 0) * n_groups :], indices, values, positions)
        groups = Groups(offsets[batch * n_groups :], indices, values, positions)
        grad, hidden = units(before, gradients, 0), units(now, outputs, 0)
        floor = floor_of(sizes.codes[0], hidden)
        for worker in prange(n_threads):
            first_task, end_task = share_of(n_panels * n_parts, worker, n_threads)
            for task in range(first_task, end_task):
                panel, share = task // n_parts, task % n_parts
                j, width = panel * wide, width_of_panel(panel, n_hidden, wide, narrow)
                end_column, place = min(j + width, n_hidden), j * n_inputs
                first, end = bounds[share], bounds[share + 1]
                if batch == 0:
                    fill_sparse_panel(first_weights, first, end - first, j, width, panels, place + first * width)
                scatter_groups(
                    groups_before, grad, first, end, j, end_column, Target(ptr(panels), place, width, n_inputs, width)
                )
                if share == 0:
                    add_bias_step(layers, before, 0, j, end_column)
                if n_parts == 1:
                    b, finish = Panel(ptr(panels), place, width, n_inputs), Finish(ptr(biases), j, False, floor)
                    c = Target(ptr(hidden), j, n_hidden, n_now, end_column - j)
                    multiply_groups(groups, 0, number_of_groups(n_now), b, width, c, finish)
                if batch == n_batches:
                    for i in range(first, end):
                        row = panels[place + i * width : place + (i + 1) * width]
                        copy(row[: end_column - j], first_weights[i, j:end_column])
            for layer in range(1, widths.size):
                first, end = rows_of_share(widths[layer - 1], worker, n_threads)
                if first < end:
                    add_step(layers, before, layer, first, end)
                if worker == 0:
                    add_bias_step(layers, before, layer, 0, widths[layer])
        if n_parts > 1:
            for worker in prange(n_threads):
                first_task, end_task = share_of(n_panels * n_parts, worker, n_threads)
                for task in range(first_task, end_task):
                    panel, share = task // n_parts, task % n_parts
                    j, width = panel * wide, width_of_panel(panel, n_hidden, wide, narrow)
                    first, end = share_of(number_of_groups(n_now), share, n_parts)
                    b = Panel(ptr(panels), j * n_inputs, width, n_inputs)
                    c = Target(ptr(hidden), j, n_hidden, n_now, min(width, n_hidden - j))
                    multiply_groups(groups, first, end, b, width, c, Finish(ptr(biases), j, False, floor))
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


@inline
def number_of_groups(n_rows: int) -> int:
    """Return the number of groups for some rows, including the last."""
    return (n_rows + ROWS_OF_GROUP - 1) // ROWS_OF_GROUP
