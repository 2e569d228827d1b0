"""Forward pass of a few rows through a stack of layers, in a single call: one call per layer would take longer.

Three rows are multiplied at a time, and weights are not packed. For mostly-zero rows, the columns with non-zeros are
collected first, and only the matching rows of the first weight matrix are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._compile.jit import (
    In2,
    Int,
    LayersIn1,
    LayersIn2,
    LayersInt,
    Out2,
    Real,
    force_inline,
    inline,
    kernel,
    threads_for,
    uncounted,
)
from fastfnn_kernels.jitted._llvm.dense_tiles import group_tail_tile, group_tile, row_tail_tile, row_tile
from fastfnn_kernels.jitted._llvm.operands import Finish, Group, Operand, Order, Panel, Target, ptr
from fastfnn_kernels.jitted._llvm.sparse_tiles import (
    masked_sparse_row_tile,
    masked_sparse_tile,
    sparse_row_tile,
    sparse_tile,
)
from fastfnn_kernels.jitted._llvm.tile_shapes import FEW_ROWS_VECTORS, SPARSE_TILE
from fastfnn_kernels.jitted._products.fused_activations import CODES, IDENTITY, RELU, activate, floor_of
from fastfnn_kernels.jitted._products.loops import copy, count_nonzero, mark, mark_any
from fastfnn_kernels.jitted._products.optional_arguments import NO_BIAS
from fastfnn_kernels.jitted._products.tasks import take_next
from fastfnn_kernels.jitted._products.tile_product import DEPTH_CHUNK, VECTOR_BYTES
from fastfnn_kernels.packing import ROWS_OF_GROUP

GROUP_VECTORS = SPARSE_TILE.vectors
ROW_VECTORS = FEW_ROWS_VECTORS


def stack_forward(
    x: NDArray[Any],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any] | None],
    activations: Sequence[str],
    max_density: float = 0.0,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Compute the last layer's outputs; see `fastfnn_kernels.reference.stack_forward`."""
    n_rows = len(x)
    out = np.empty((n_rows, weights[-1].shape[1]), x.dtype) if out is None else out
    no_bias = NO_BIAS[x.dtype]
    biases_or_empty = tuple([no_bias if b is None else b for b in biases])
    codes = tuple([CODES[activation] for activation in activations])
    operations = n_rows * weights[0].size // (2 if max_density > 0 else 1)
    key = (x.dtype, x.dtype, len(codes))  # creating a `Conversion` takes longer
    n_threads = threads_for(operations)
    _forward(operations, key, x, tuple(weights), biases_or_empty, codes, max_density, n_threads, out)
    return out


@kernel
def _forward(
    x: In2, weights: LayersIn2, biases: LayersIn1, codes: LayersInt, max_density: Real, n_threads: Int, out: Out2
) -> None:
    """Write the last layer's outputs."""
    n_rows, n_inputs = x.shape
    n_groups = (n_rows + ROWS_OF_GROUP - 1) // ROWS_OF_GROUP
    n_workers = min(n_groups, n_threads)  # a worker that finds no group left does nothing
    skip_zeros = count_nonzero(x.reshape(-1)) < max_density * x.size
    last = len(weights) - 1
    wide = max(GROUP_VECTORS, ROW_VECTORS) * (VECTOR_BYTES // x.itemsize)
    widest = 0
    for layer in range(last + 1):
        widest = max(widest, weights[layer].shape[1])
    starts = np.zeros((last + 1, widest + wide), x.dtype)  # biases, padded with zeros
    for layer in range(last + 1):
        copy(biases[layer], starts[layer])
    zeros, positions = np.zeros(wide, x.dtype), np.arange(ROWS_OF_GROUP).astype(np.int32)
    hidden = np.empty((n_workers, 2, ROWS_OF_GROUP * widest), x.dtype)
    marks, indices = np.empty((n_workers, n_inputs), np.uint8), np.empty((n_workers, n_inputs), np.int32)
    values = np.empty((n_workers, n_inputs * ROWS_OF_GROUP), x.dtype)
    counter = np.zeros(1, np.int64)
    for worker in prange(n_workers):
        columns, factors = indices[worker], values[worker]
        # Groups are taken one at a time, since a thread may begin when others are nearly done.
        while True:
            group = take_next(counter)
            if group >= n_groups:
                break
            first, end = group * ROWS_OF_GROUP, min((group + 1) * ROWS_OF_GROUP, n_rows)
            y = out[first:end].reshape(-1) if last == 0 else hidden[worker, 0]
            if skip_zeros:
                rows = x[first:end]
                if len(rows) == 1:
                    n_nonzeros = _collect_row(rows[0], marks[worker], columns, factors)
                else:
                    n_nonzeros = _collect(rows, marks[worker], columns, factors)
                group_of_rows = Group(ptr(factors), ptr(columns), 0, n_nonzeros, columns.size)
                _multiply_nonzeros(group_of_rows, end - first, weights[0], starts[0], positions, codes[0], y)
            else:
                _multiply_all(x[first:end].reshape(-1), end - first, weights[0], starts[0], zeros, codes[0], y)
            for layer in range(1, last + 1):
                below, y = y, out[first:end].reshape(-1) if layer == last else hidden[worker, layer % 2]
                _multiply_all(below, end - first, weights[layer], starts[layer], zeros, codes[layer], y)


@inline
def _collect(rows: Any, marks: Any, indices: Any, values: Any) -> int:
    """List the columns of non-zeros of up to three rows, and their values; return the number of columns."""
    last = rows.shape[0] - 1
    a, b, c = rows[0], rows[min(1, last)], rows[min(2, last)]
    mark_any(a, b, c, marks)
    n_nonzeros: int = _list_marked(marks, indices)
    triples = values.reshape((indices.size, ROWS_OF_GROUP))
    for n in range(n_nonzeros):
        j = np.uintp(indices[n])
        triples[n, 0], triples[n, 1], triples[n, 2] = a[j], b[j], c[j]
    return n_nonzeros


@inline
def _collect_row(row: Any, marks: Any, indices: Any, values: Any) -> int:
    """List the columns and values of a single row's non-zeros; return their number."""
    mark(row, marks)
    n_nonzeros: int = _list_marked(marks, indices)
    for n in range(n_nonzeros):
        values[n] = row[np.uintp(indices[n])]
    return n_nonzeros


@inline
def _list_marked(marks: Any, indices: Any) -> int:
    """List the positions of the ones, in an array with room for all positions; return their number."""
    n = 0
    for j in range(marks.size):
        indices[np.uintp(n)] = j
        n += marks[j]
    return n


@uncounted
def _multiply_nonzeros(group: Group, n_rows: int, w: Any, start: Any, positions: Any, code: int, out: Any) -> None:
    """Compute a group of rows from the values in its columns with non-zeros."""
    depth, n_columns = w.shape
    lanes = VECTOR_BYTES // w.itemsize
    wide = (ROW_VECTORS if n_rows == 1 else GROUP_VECTORS) * lanes
    n_whole = n_columns // wide * wide
    floor, order = floor_of(code, w), Order(ptr(positions), 0, positions.size)
    j = 0
    while j < n_columns:
        is_whole = j < n_whole
        width = wide if is_whole else min(lanes, n_columns - j)
        b, c = Panel(ptr(w), j, n_columns, depth), Target(ptr(out), j, n_columns, n_rows, width)
        _multiply_sparse_tile(group, b, order, c, Finish(ptr(start), j, False, floor), is_whole)
        j += width
    if code > RELU:
        activate(out[: n_rows * n_columns], code)


@force_inline
def _multiply_sparse_tile(group: Group, b: Panel, order: Order, c: Target, finish: Finish, is_whole: bool) -> None:
    """Compute one tile; unless it is whole, it has at most one vector of columns."""
    if c.n_rows == 1:
        if is_whole:
            sparse_row_tile(group, b, order, c, finish)
        else:
            masked_sparse_row_tile(group, b, order, c, finish)
    elif is_whole:
        sparse_tile(group, b, order, c, finish)
    else:
        masked_sparse_tile(group, b, order, c, finish)


@uncounted
def _multiply_all(x: Any, n_rows: int, w: Any, start: Any, zeros: Any, code: int, out: Any) -> None:
    """Compute a group of rows, in the same chunks as `dense_forward`."""
    depth, n_columns = w.shape
    lanes = VECTOR_BYTES // w.itemsize
    wide = (ROW_VECTORS if n_rows == 1 else GROUP_VECTORS) * lanes
    n_whole = n_columns // wide * wide
    for k in range(0, max(depth, 1), DEPTH_CHUNK):
        chunk = min(DEPTH_CHUNK, depth - k)
        adding = k > 0
        floor = floor_of(code if k + chunk == depth else IDENTITY, w)
        j = 0
        while j < n_columns:
            is_whole = j < n_whole
            width = wide if is_whole else min(lanes, n_columns - j)
            sums, offset = (zeros, 0) if adding else (start, j)
            a = Operand(ptr(x), k, depth, 1)
            b = Panel(ptr(w), k * n_columns + j, n_columns, chunk)
            c = Target(ptr(out), j, n_columns, n_rows, width)
            _multiply_tile(a, b, c, Finish(ptr(sums), offset, adding, floor), is_whole)
            j += width
    if code > RELU:
        activate(out[: n_rows * n_columns], code)


@force_inline
def _multiply_tile(a: Operand, b: Panel, c: Target, finish: Finish, is_whole: bool) -> None:
    """Compute one tile; unless it is whole, it has at most one vector of columns."""
    if c.n_rows == 1:
        if is_whole:
            row_tile(a, b, c, finish)
        else:
            row_tail_tile(a, b, c, finish)
    elif is_whole:
        group_tile(a, b, c, finish)
    else:
        group_tail_tile(a, b, c, finish)
