"""Products of matrices small enough for a core's caches, computed by one thread without packing.

Packing an operand into panels, or waking a second thread, would take as long as the product itself. Tiles are one
vector wide, so that less than one vector is wasted for any number of columns. Each output is the same chain of
multiply-adds as in the kernels of larger products.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfnn_kernels.jitted._compile.jit import Flag, In1, In2, Int, Out1, Out2, inline, kernel
from fastfnn_kernels.jitted._llvm.dense_tiles import column_tile, short_column_tile
from fastfnn_kernels.jitted._llvm.operands import Finish, Operand, Panel, Target, ptr
from fastfnn_kernels.jitted._llvm.tile_shapes import COLUMN_ROWS, SHORT_COLUMN_ROWS
from fastfnn_kernels.jitted._products.fused_activations import RELU, activate, floor_of, multiply_by_derivative
from fastfnn_kernels.jitted._products.loops import add
from fastfnn_kernels.jitted._products.panels import transpose
from fastfnn_kernels.jitted._products.tile_product import ROW_CHUNK, VECTOR_BYTES
from fastfnn_kernels.jitted._products.weight_gradient import add_sums_of_columns


@kernel
def multiply_small(x: In2, weights: In2, bias: In1, activation: Int, out: Out2) -> None:
    """Write f(x w + bias)."""
    n_rows, depth = x.shape
    floor = floor_of(activation, out)
    multiply_in_place(Operand(ptr(x), 0, depth, 1), n_rows, weights, depth, bias, False, floor, out)
    if activation > RELU:
        activate(out.reshape(-1), activation)


@kernel
def multiply_small_back(grad: In2, weights: In2, y: In2, derivative: Int, out: Out2) -> None:
    """Write (g w^T) * f'(y)."""
    n_rows, depth = grad.shape
    matrix = np.empty(weights.shape[::-1], weights.dtype)
    transpose(weights, matrix)
    multiply_in_place(Operand(ptr(grad), 0, depth, 1), n_rows, matrix, depth, matrix[0, :0], False, -np.inf, out)
    multiply_by_derivative(out.reshape(-1), y.reshape(-1), derivative)


@kernel
def add_small_products(x: In2, grad: In2, accumulate: Flag, out: Out2, out_bias: Out1) -> None:
    """Write or add x^T g and the column sums of g; no sums if `out_bias` is empty."""
    n_rows, n_inputs = x.shape
    multiply_in_place(Operand(ptr(x), 0, 1, n_inputs), n_inputs, grad, n_rows, out_bias[:0], accumulate, -np.inf, out)
    if not accumulate:
        out_bias[:] = 0
    add_sums_of_columns(grad, 0, n_rows, 0, out_bias.size, out_bias)


@kernel
def add_products_of_few_inputs(x: In2, grad: In2, accumulate: Flag, out: Out2, out_bias: Out1) -> None:
    """Write or add x^T g and the column sums of g, for an x with so few columns that the sums stay in cache.

    Each row of g is read once, as a whole. Tiles with few rows, one vector wide, would read g in narrow strips
    instead.
    """
    n_rows, n_inputs = x.shape
    chunk_sums = np.empty((n_inputs + 1, grad.shape[1]), grad.dtype)
    flat_sums = chunk_sums.reshape(-1)
    if not accumulate:
        out[:] = 0
        out_bias[:] = 0
    for first in range(0, n_rows, ROW_CHUNK):
        end = min(first + ROW_CHUNK, n_rows)
        flat_sums[:] = 0
        _add_rows(x, grad, first, end, chunk_sums)
        add(flat_sums[: out.size], out.reshape(-1))
        add(chunk_sums[n_inputs, : out_bias.size], out_bias)


@inline
def _add_rows(x: Any, grad: Any, first: int, end: int, sums: Any) -> None:
    """Add the products of some rows, four at a time; the last row of `sums` is the sum of g's rows."""
    n_inputs = x.shape[1]
    one = x.dtype.type(1)
    whole = first + (end - first) // 4 * 4
    for row in range(first, whole, 4):
        a, b, c, d = grad[row], grad[row + 1], grad[row + 2], grad[row + 3]
        for i in range(n_inputs):
            _add_four(x[row, i], a, x[row + 1, i], b, x[row + 2, i], c, x[row + 3, i], d, sums[i])
        _add_four(one, a, one, b, one, c, one, d, sums[n_inputs])
    for row in range(whole, end):
        for i in range(n_inputs):
            _add_multiple(x[row, i], grad[row], sums[i])
        _add_multiple(one, grad[row], sums[n_inputs])


@inline
def _add_four(p: Any, a: Any, q: Any, b: Any, r: Any, c: Any, s: Any, d: Any, total: Any) -> None:
    for j in range(total.size):
        total[j] = d[j] * s + (c[j] * r + (b[j] * q + (a[j] * p + total[j])))


@inline
def _add_multiple(factor: Any, values: Any, total: Any) -> None:
    for j in range(total.size):
        total[j] += factor * values[j]


@inline
def multiply_in_place(
    a: Any, n_rows: int, b: Any, depth: int, start: Any, accumulate: bool, floor: float, out: Any
) -> None:
    """Compute a b + start tile by tile, without packing; `a` is an `Operand`.

    Unless `accumulate` is set, the last vector is moved back to end at the last column, and some columns are computed
    twice.
    """
    n_columns = out.shape[1]
    lanes = VECTOR_BYTES // out.itemsize
    last = n_columns if accumulate or n_columns < lanes else n_columns - lanes
    for column in range(0, n_columns, lanes):
        j = min(column, last)
        width, n_start = min(lanes, n_columns - j), min(lanes, start.size - j)
        matrix, finish = Panel(ptr(b), j, n_columns, depth), Finish(ptr(start), j, accumulate, floor)
        row = 0
        while row < n_rows:
            left = n_rows - row
            tall = left > 2 * SHORT_COLUMN_ROWS
            n_done = min(COLUMN_ROWS if tall else SHORT_COLUMN_ROWS, left)
            rows = Operand(a.values, a.offset + row * a.row, a.row, a.step)
            target = Target(ptr(out), row * n_columns + j, n_columns, n_done, width)
            if tall:
                column_tile(rows, matrix, target, finish, n_start)
            else:
                short_column_tile(rows, matrix, target, finish, n_start)
            row += n_done
