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
from fastfnn_kernels.jitted._llvm.sparse_tiles import scattering_tile, sparse_tile
from fastfnn_kernels.jitted._llvm.tile_shapes import SCATTERING_VECTORS, SPARSE_TAIL_VECTORS, TILE
from fastfnn_kernels.jitted._products.fused_activations import CODES, IDENTITY, RELU, activate, floor_of
from fastfnn_kernels.jitted._products.loops import copy
from fastfnn_kernels.jitted._products.optional_arguments import NO_BIAS, gradients_to_write
from fastfnn_kernels.jitted._products.panels import aligned_empty, number_of_panels, padded_bias, width_of_panel
from fastfnn_kernels.jitted._products.sparse_product import (
    WIDE_VECTORS,
    Groups,
    fill_sparse_panel,
    group_between,
    group_of,
    multiply_group,
    order_from,
)
from fastfnn_kernels.jitted._products.tasks import share_of
from fastfnn_kernels.jitted._products.weight_gradient import add_sums_of_columns
from fastfnn_kernels.jitted.activations import activation_forward
from fastfnn_kernels.packing import ROWS_OF_CHUNK, ROWS_OF_GROUP, Packed
from fastfnn_kernels.runtime.cpu import UNIT

# Minimum number of tasks in a forward product, so that several threads compute even one with few columns.
TASKS = 8

# With fewer groups than this, whole panels of weights are not packed, because packing would take longer.
MANY_GROUPS = 100

# From this number of entries for each input, threads divide the columns of a gradient, which requires copying them.
ENTRIES_BY_COLUMNS = 100

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
    _multiply(operations, dtype, *rows[:4], weights, bias, CODES[activation], out)
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
    operands = (grad, accumulate, threads_for(operations), out, sums)
    if by_columns is None:
        _add_products(operations, grad.dtype, *rows[:4], *operands)
    else:
        _add_columns(operations, grad.dtype, *by_columns, *operands)
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
    out: Out2,
) -> None:
    """Write f(x w + bias)."""
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
        for panel in prange(n_read_in_place, n_panels):
            j, width = panel * wide, width_of_panel(panel, n_columns, wide, narrow)
            fill_sparse_panel(weights, j, width, panels, j * n_inputs)

    n_parts = (TASKS + n_panels - 1) // n_panels
    for task in prange(n_panels * n_parts):
        panel, part = task // n_parts, task % n_parts
        j, width = panel * wide, width_of_panel(panel, n_columns, wide, narrow)
        n_existing = min(width, n_columns - j)
        first_group, end_group = share_of(n_groups, part, n_parts)
        for group in range(first_group, end_group):
            row = group * ROWS_OF_GROUP
            n_stored = min(ROWS_OF_GROUP, n_rows - row)
            a, rows = group_of(groups, group), order_from(order, row)
            c = Target(ptr(out), j, n_columns, n_stored, n_existing)
            finish = Finish(ptr(start), j, False, floor)
            if panel < n_read_in_place:
                sparse_tile(a, Panel(ptr(weights), j, n_columns, n_inputs), rows, c, finish)
            else:
                multiply_group(a, Panel(ptr(panels), j * n_inputs, width, n_inputs), rows, c, finish, width == wide)
            if activation != RELU:
                for i in range(n_stored):
                    activate(out[order[row + i], j : j + n_existing], activation)


@kernel
def _add_products(
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
    """Write or add x^T g and the column sums of g; each sum is one chain, whichever thread computes it.

    A thread computes some rows of `out` or, if there is enough work to pay for copying, some columns. With columns, a
    thread reads each group only once. It sums its columns in memory of its own, since threads that write neighbouring
    cache lines would evict them from each other's caches.
    """
    n_inputs, n_columns = out.shape
    lanes = VECTOR_BYTES // grad.itemsize
    groups = Groups(offsets, indices, values, order)
    pays = indices.size >= ENTRIES_BY_COLUMNS * n_inputs
    by_columns = pays and n_threads > 1 and n_columns % (n_threads * SCATTERING_VECTORS * lanes) == 0
    strips = aligned_empty(out.size if by_columns else 0, out.dtype)
    if not accumulate:
        out_bias[:] = 0
    for worker in prange(n_threads):
        if by_columns:
            first, end = share_of(n_columns, worker, n_threads)
            strip = strips[n_inputs * first : n_inputs * end].reshape(n_inputs, end - first)
            if accumulate:
                copy_columns(out, first, strip, 0, end - first)
            else:
                strip[:] = 0
            add_groups(groups, grad, 0, n_inputs, first, end, strip)
            copy_columns(strip, 0, out, first, end - first)
        else:
            first, end = share_of(n_inputs, worker, n_threads)
            if not accumulate:
                out[first:end] = 0
            add_groups(groups, grad, first, end, 0, n_columns, out)
    if out_bias.size:
        wide = TILE_VECTORS * lanes
        for panel in prange(number_of_panels(n_columns, wide)):
            add_sums_of_columns(grad, 0, len(grad), panel * wide, min((panel + 1) * wide, n_columns), out_bias)


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
    then stays in its second-level cache. The sums of a chunk are one chain, whichever thread computes it. The thread
    that has a panel's first group also sums its columns.
    """
    n_rows, n_columns = grad.shape
    n_groups = (out.shape[0] + ROWS_OF_GROUP - 1) // ROWS_OF_GROUP
    wide = WIDE_VECTORS * (VECTOR_BYTES // out.itemsize)
    n_panels, panel_size = number_of_panels(n_columns, wide), min(n_rows, ROWS_OF_CHUNK) * wide
    zeros = np.zeros(n_panels * wide, out.dtype)
    panels = aligned_empty(n_threads * panel_size, out.dtype)
    if not accumulate:
        out_bias[:] = 0
    for worker in prange(n_threads):
        first, end = share_of(n_panels * n_groups, worker, n_threads)
        panel_rows = panels[worker * panel_size : (worker + 1) * panel_size]
        for row in range(0, max(n_rows, 1), ROWS_OF_CHUNK):
            chunk_offsets = offsets[row // ROWS_OF_CHUNK * n_groups :]
            chunk_of_grad = grad[row : row + ROWS_OF_CHUNK]
            for panel in range(first // n_groups, (end + n_groups - 1) // n_groups):
                first_group, end_group = max(first - panel * n_groups, 0), min(end - panel * n_groups, n_groups)
                add_panel(
                    Groups(chunk_offsets, indices, values, order), first_group, end_group, chunk_of_grad, panel,
                    panel_rows, zeros, accumulate or row > 0, out, out_bias,
                )  # fmt: skip


@inline
def add_panel(
    groups: Groups,
    first_group: int,
    end_group: int,
    grad: Any,
    panel: int,
    panel_rows: Any,
    zeros: Any,
    accumulate: bool,
    out: Any,
    out_bias: Any,
) -> None:
    """Write or add the products of some groups of columns with one panel of a chunk of the gradient."""
    n_inputs, n_columns = out.shape
    lanes = VECTOR_BYTES // out.itemsize
    wide, narrow = WIDE_VECTORS * lanes, SPARSE_TAIL_VECTORS * lanes
    j, width = panel * wide, width_of_panel(panel, n_columns, wide, narrow)
    n_existing = min(width, n_columns - j)
    b = Panel(ptr(panel_rows), 0, width, grad.shape[0])
    finish = Finish(ptr(zeros), j, accumulate, floor_of(IDENTITY, out))
    fill_sparse_panel(grad, j, width, panel_rows, 0)
    if first_group == 0 and out_bias.size:
        add_sums_of_columns(grad, 0, grad.shape[0], j, j + n_existing, out_bias)
    for group in range(first_group, end_group):
        row = group * ROWS_OF_GROUP
        c = Target(ptr(out), j, n_columns, min(ROWS_OF_GROUP, n_inputs - row), n_existing)
        multiply_group(group_of(groups, group), b, order_from(groups.order, row), c, finish, width == wide)


@inline
def add_groups(
    groups: Groups,
    grad: Any,
    first_input: int,
    end_input: int,
    first_column: int,
    end_column: int,
    out: Any,
) -> None:
    """Add the products of some inputs with some columns of the gradient; `out` has just these columns."""
    n_rows, n_columns = grad.shape
    n_inputs, out_row = out.shape
    width = SCATTERING_VECTORS * (VECTOR_BYTES // grad.itemsize)
    for number in range(groups.offsets.size - 1):
        row = number * ROWS_OF_GROUP
        n_read, order = min(ROWS_OF_GROUP, n_rows - row), order_from(groups.order, row)
        group = group_of(groups, number)
        if first_input > 0 or end_input < n_inputs:
            group = entries_between(groups, number, first_input, end_input)
        for j in range(first_column, end_column, width):
            b = Panel(ptr(grad), j, n_columns, n_read)
            scattering_tile(
                group,
                b,
                order,
                Target(ptr(out), j - first_column, out_row, n_inputs, min(width, end_column - j)),
            )


@inline
def entries_between(groups: Groups, number: int, first_index: int, end_index: int) -> Any:
    """Return the entries of a group whose indices are in a range."""
    first = groups.offsets[number]
    indices = groups.indices[first : groups.offsets[number + 1]]
    below_first, below_end = number_below(indices, first_index), number_below(indices, end_index)
    return group_between(groups, first + below_first, first + below_end)


@inline
def copy_columns(source: Any, source_column: int, target: Any, target_column: int, n_columns: int) -> None:
    """Copy adjacent columns of all rows."""
    for i in range(source.shape[0]):
        copy(
            source[i, source_column : source_column + n_columns],
            target[i, target_column : target_column + n_columns],
        )


@inline
def number_below(ascending: Any, limit: int) -> int:
    """Count the numbers below `limit`, by bisection."""
    below, n_left = 0, ascending.size
    while n_left > 1:
        half = n_left // 2
        below += half if ascending[below + half - 1] < limit else 0
        n_left -= half
    return below + (1 if n_left == 1 and ascending[below] < limit else 0)
