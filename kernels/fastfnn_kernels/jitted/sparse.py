"""Products with a packed, mostly-zero input.

Three rows share the columns of their non-zeros, so each vector of the other operand is loaded once for three
multiply-adds. In the forward product, the sums of a group of rows stay in registers. In the weight gradient, the
gradient's rows stay in registers, while the rows of the result are loaded and stored. Of a matrix that is stored by
columns too, the weight gradient is computed like the forward product, which moves half as many bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._compile.jit import (
    Flag,
    In1,
    In2,
    IndicesIn1,
    Int,
    IntegersIn1,
    Out1,
    Out2,
    inline,
    kernel,
    threads_for,
)
from fastfnn_kernels.jitted._llvm.operands import Finish, Panel, Target, ptr
from fastfnn_kernels.jitted._llvm.tile_shapes import SPARSE_TAIL_VECTORS, TILE
from fastfnn_kernels.jitted._products.division import (
    ENTRIES_BY_COLUMNS,
    divide_packed_gradient,
    divide_packed_product,
)
from fastfnn_kernels.jitted._products.fused_activations import CODES, IDENTITY, RELU, activate, floor_of
from fastfnn_kernels.jitted._products.loops import add, copy
from fastfnn_kernels.jitted._products.optional_arguments import NO_BIAS, gradients_to_write
from fastfnn_kernels.jitted._products.panels import aligned_empty, number_of_panels, padded_bias, width_of_panel
from fastfnn_kernels.jitted._products.shares import bounds_of_inputs, ends_of_groups, first_piece_of_share
from fastfnn_kernels.jitted._products.sparse_product import (
    PIECES,
    WIDE_VECTORS,
    Groups,
    fill_sparse_panel,
    multiply_groups,
    scatter_groups,
)
from fastfnn_kernels.jitted._products.tasks import next_task, share_of
from fastfnn_kernels.jitted._products.tile_product import ROW_CHUNK
from fastfnn_kernels.jitted._products.weight_gradient import add_sums_of_columns
from fastfnn_kernels.jitted.activations import activation_forward
from fastfnn_kernels.packing import ROWS_OF_CHUNK, ROWS_OF_GROUP, Packed
from fastfnn_kernels.runtime.cpu import UNIT

# With fewer groups than this, whole panels of weights are not packed, because packing would take longer.
MANY_GROUPS = 100

# Groups whose outputs are still in the first-level or second-level cache when they are activated.
GROUPS_TO_ACTIVATE = 32

VECTOR_BYTES = UNIT.vector_bytes
TILE_VECTORS = TILE.vectors


def sparse_forward(
    rows: Packed,
    weights: NDArray[Any],
    bias: NDArray[Any] | None = None,
    activation: str = "identity",
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Compute y = f(x w + b) for packed rows; see `fastfnn_kernels.reference.sparse_forward`."""
    if activation not in CODES:
        z = sparse_forward(rows, weights, bias, "identity", out)
        return activation_forward(z, activation, z)
    dtype, n_outputs = weights.dtype, weights.shape[1]
    out = np.empty((rows.shape[0], n_outputs), dtype) if out is None else out
    bias = NO_BIAS[dtype] if bias is None else bias
    operations = 2 * rows.values.size * n_outputs
    n_threads = threads_for(operations)
    n_inputs, n_groups = rows.shape[1], len(rows.offsets) - 1
    tasks = divide_packed_product(n_groups, n_inputs, n_outputs, operations, dtype.itemsize, n_threads)
    _multiply(operations, dtype, *rows[:4], weights, bias, CODES[activation], n_threads, *tasks, out)
    return out


def sparse_weight_gradient(
    rows: Packed,
    grad: NDArray[Any],
    out: NDArray[Any] | None = None,
    out_bias: NDArray[Any] | None = None,
    use_bias: bool = True,
    accumulate: bool = False,
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Compute x^T g and the column sums of g; see `fastfnn_kernels.reference.sparse_weight_gradient`."""
    out, out_bias = gradients_to_write(rows.shape[1], grad, out, out_bias, use_bias, accumulate)
    sums = NO_BIAS[grad.dtype] if out_bias is None else out_bias
    by_columns = rows.by_columns if out.size else None
    values = rows.values if by_columns is None else by_columns.values
    operations = 2 * values.size * grad.shape[1]
    n_threads, written = threads_for(operations), (out, sums)
    if by_columns is None:
        pays = rows.indices.size >= ENTRIES_BY_COLUMNS * len(out)
        parts = divide_packed_gradient(*out.shape, grad.itemsize, n_threads, by_columns=pays)
        _add_products(operations, grad.dtype, *rows[:4], grad, accumulate, n_threads, *parts, *written)
    else:
        _add_columns(operations, grad.dtype, *by_columns, grad, accumulate, n_threads, *written)
    return out, out_bias


@kernel
def _multiply(
    offsets: IntegersIn1,
    indices: IndicesIn1,
    values: In2,
    order: IndicesIn1,
    weights: In2,
    bias: In1,
    activation: Int,
    n_threads: Int,
    input_parts: Int,
    group_parts: Int,
    out: Out2,
) -> None:
    """Write f(x w + bias); see `division.divide_packed_product`."""
    n_rows, n_columns = out.shape
    n_inputs = weights.shape[0]
    n_groups = offsets.size - 1
    lanes = VECTOR_BYTES // out.itemsize
    wide, narrow = WIDE_VECTORS * lanes, SPARSE_TAIL_VECTORS * lanes
    n_panels = number_of_panels(n_columns, wide)
    start, floor = padded_bias(bias, n_columns, wide), floor_of(activation, out)
    groups = Groups(offsets, indices, values, order)
    n_read_in_place = n_columns // wide if n_groups < MANY_GROUPS else 0
    panels = aligned_empty(n_inputs * n_panels * wide if n_read_in_place < n_panels else 0, out.dtype)
    if n_read_in_place < n_panels:
        for task in prange(n_read_in_place * input_parts, n_panels * input_parts):
            j = task // input_parts * wide
            width = width_of_panel(task // input_parts, n_columns, wide, narrow)
            first, end = share_of(n_inputs, task % input_parts, input_parts)
            fill_sparse_panel(weights, first, end - first, j, width, panels, j * n_inputs + first * width)

    counters = np.zeros(n_threads, np.int64)
    for worker in prange(n_threads):
        while True:
            task = next_task(counters, worker, n_panels * group_parts)
            if task >= n_panels * group_parts:
                break
            panel = task // group_parts
            j, width = panel * wide, width_of_panel(panel, n_columns, wide, narrow)
            n_existing = min(width, n_columns - j)
            first_group, end_group = share_of(n_groups, task % group_parts, group_parts)
            finish, c = Finish(ptr(start), j, False, floor), Target(ptr(out), j, n_columns, n_rows, n_existing)
            b = Panel(ptr(panels), j * n_inputs, width, n_inputs)
            if panel < n_read_in_place:
                b = Panel(ptr(weights), j, n_columns, n_inputs)
            for first in range(first_group, end_group, GROUPS_TO_ACTIVATE):
                end = min(first + GROUPS_TO_ACTIVATE, end_group)
                multiply_groups(groups, first, end, b, width, c, finish)
                if activation > RELU:
                    for row in range(first * ROWS_OF_GROUP, min(end * ROWS_OF_GROUP, n_rows)):
                        activate(out[order[row], j : j + n_existing], activation)


@kernel
def _add_products(
    offsets: IntegersIn1,
    indices: IndicesIn1,
    values: In2,
    order: IndicesIn1,
    grad: In2,
    accumulate: Flag,
    n_threads: Int,
    column_parts: Int,
    input_parts: Int,
    out: Out2,
    out_bias: Out1,
) -> None:
    """Write or add x^T g and the column sums of g; each sum is one chain, whichever thread computes it.

    A thread computes some rows of `out` or, if there is enough work to pay for copying, some columns of them. It then
    sums its columns in memory of its own, since threads that write neighbouring cache lines would evict them from
    each other's caches. See `division.divide_packed_gradient`.
    """
    n_inputs, n_columns = out.shape
    n_rows, lanes = len(grad), VECTOR_BYTES // grad.itemsize
    groups = Groups(offsets, indices, values, order)
    bounds = bounds_of_inputs(groups, n_inputs, input_parts)
    strips = aligned_empty(out.size if column_parts > 1 else 0, out.dtype)
    if not accumulate:
        out_bias[:] = 0
    for task in prange(column_parts * input_parts):
        first, end = bounds[task % input_parts], bounds[task % input_parts + 1]
        if column_parts > 1:
            j, end_column = share_of(n_columns, task // input_parts, column_parts)
            strip = strips[n_inputs * j : n_inputs * end_column].reshape(n_inputs, end_column - j)
            if accumulate:
                copy_columns(out[first:end], j, strip[first:end], 0, end_column - j)
            else:
                strip[first:end] = 0
            c = Target(ptr(strip), 0, end_column - j, n_inputs, end_column - j)
            scatter_groups(groups, grad, first, end, j, end_column, c)
            copy_columns(strip[first:end], 0, out[first:end], j, end_column - j)
        else:
            if not accumulate:
                out[first:end] = 0
            c = Target(ptr(out), 0, n_columns, n_inputs, n_columns)
            scatter_groups(groups, grad, first, end, 0, n_columns, c)
    if out_bias.size:
        wide = TILE_VECTORS * lanes
        n_panels, n_chunks = number_of_panels(n_columns, wide), (n_rows + ROW_CHUNK - 1) // ROW_CHUNK
        sums = np.zeros((n_chunks, n_columns), out.dtype)
        for task in prange(n_panels * n_chunks):
            j, chunk = task // n_chunks * wide, task % n_chunks
            n_summed = min(ROW_CHUNK, n_rows - chunk * ROW_CHUNK)
            add_sums_of_columns(grad, chunk * ROW_CHUNK, n_summed, j, min(j + wide, n_columns), sums[chunk])
        for chunk in range(n_chunks):
            add(sums[chunk], out_bias)


@kernel
def _add_columns(
    offsets: IntegersIn1,
    indices: IndicesIn1,
    values: In2,
    order: IndicesIn1,
    grad: In2,
    accumulate: Flag,
    n_threads: Int,
    out: Out2,
    out_bias: Out1,
) -> None:
    """Write or add x^T g and the column sums of g, where x is stored by columns.

    A thread computes some groups of inputs in some panels of g, chunk by chunk. It copies a chunk of a panel, which
    then stays in its second-level cache. The sums of a chunk are one chain, whichever thread computes it. Shares have
    equally many entries: at both ends, a thread may compute a piece of a group's columns.
    """
    n_rows, n_columns = grad.shape
    n_groups = (out.shape[0] + ROWS_OF_GROUP - 1) // ROWS_OF_GROUP
    lanes = VECTOR_BYTES // out.itemsize
    wide, narrow = WIDE_VECTORS * lanes, SPARSE_TAIL_VECTORS * lanes
    n_panels, panel_size = number_of_panels(n_columns, wide), min(n_rows, ROWS_OF_CHUNK) * wide
    last_is_narrow = width_of_panel(n_panels - 1, n_columns, wide, narrow) == narrow
    n_pieces = n_panels * PIECES - (PIECES - 1 if last_is_narrow else 0)
    pieces_of_panel = n_groups * PIECES
    ends = ends_of_groups(offsets, n_groups)
    zeros = np.zeros(n_panels * wide, out.dtype)
    panels = aligned_empty(n_threads * panel_size, out.dtype)
    if not accumulate:
        out_bias[:] = 0
    for worker in prange(n_threads):
        first = first_piece_of_share(ends, n_pieces, worker, n_threads)
        end = first_piece_of_share(ends, n_pieces, worker + 1, n_threads)
        panel_rows = panels[worker * panel_size : (worker + 1) * panel_size]
        for row in range(0, max(n_rows, 1), ROWS_OF_CHUNK):
            groups = Groups(offsets[row // ROWS_OF_CHUNK * n_groups :], indices, values, order)
            chunk_of_grad = grad[row : row + ROWS_OF_CHUNK]
            for panel in range(first // pieces_of_panel, (end + pieces_of_panel - 1) // pieces_of_panel):
                first_piece = max(first - panel * pieces_of_panel, 0)
                end_piece = min(end - panel * pieces_of_panel, pieces_of_panel)
                if first_piece < end_piece:
                    finish = Finish(ptr(zeros), 0, accumulate or row > 0, floor_of(IDENTITY, out))
                    add_panel(groups, first_piece, end_piece, chunk_of_grad, panel, panel_rows, finish, out, out_bias)


@inline
def add_panel(
    groups: Groups,
    first_piece: int,
    end_piece: int,
    grad: Any,
    panel: int,
    panel_rows: Any,
    finish: Finish,
    out: Any,
    out_bias: Any,
) -> None:
    """Write or add the products of some pieces of groups with one panel of a chunk of the gradient.

    Columns are summed in pieces too: a thread sums as large a part of the panel's columns as its part of the groups.
    """
    n_inputs, n_columns = out.shape
    n_groups = (n_inputs + ROWS_OF_GROUP - 1) // ROWS_OF_GROUP
    lanes = VECTOR_BYTES // out.itemsize
    wide, narrow = WIDE_VECTORS * lanes, SPARSE_TAIL_VECTORS * lanes
    piece_width = wide // PIECES
    j, width = panel * wide, width_of_panel(panel, n_columns, wide, narrow)
    end_column = min(j + width, n_columns)
    fill_sparse_panel(grad, 0, grad.shape[0], j, width, panel_rows, 0)
    if out_bias.size:
        first_summed = (first_piece + n_groups - 1) // n_groups
        end_summed = (end_piece + n_groups - 1) // n_groups
        first, end = j + first_summed * piece_width, min(j + end_summed * piece_width, end_column)
        add_sums_of_columns(grad, 0, grad.shape[0], first, end, out_bias)
    for number in range(first_piece // PIECES, (end_piece + PIECES - 1) // PIECES):
        first = max(first_piece - number * PIECES, 0) * piece_width
        end = min(min(end_piece - number * PIECES, PIECES) * piece_width, end_column - j)
        tile = width if first == 0 and end == end_column - j else piece_width
        for column in range(first, end, tile):
            b = Panel(ptr(panel_rows), column, width, grad.shape[0])
            c = Target(ptr(out), j + column, n_columns, n_inputs, min(tile, end - column))
            multiply_groups(groups, number, number + 1, b, tile, c, finish)


@inline
def copy_columns(source: Any, source_column: int, target: Any, target_column: int, n_columns: int) -> None:
    """Copy adjacent columns of all rows."""
    for i in range(source.shape[0]):
        copy(
            source[i, source_column : source_column + n_columns],
            target[i, target_column : target_column + n_columns],
        )
