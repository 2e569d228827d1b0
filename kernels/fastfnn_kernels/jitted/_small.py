"""Products so small that their matrices stay in a core's caches: computed where they lie, each by one thread.

Laying out an operand in panels, or waking a second thread, would take as long as the product does. Tiles are one
vector wide, so that no number of columns wastes more than that. Each output is the same chain of multiply-adds that
the kernels of larger products compute.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfnn_kernels.jitted._jit import Flag, In1, In2, Int, Out1, Out2, inline, kernel
from fastfnn_kernels.jitted._panels import fill_transposed_panel
from fastfnn_kernels.jitted._shapes import COLUMN_ROWS, SHORT_COLUMN_ROWS
from fastfnn_kernels.jitted._simd import column_tile, short_column_tile
from fastfnn_kernels.jitted._tiles import VECTOR_BYTES
from fastfnn_kernels.jitted._weight_gradient import add_sums_of_columns
from fastfnn_kernels.jitted.activations import RELU, activate, multiply_by_derivative


@kernel
def multiply_small(x: In2, weights: In2, bias: In1, activation: Int, out: Out2) -> None:
    """Write f(x w + bias)."""
    n_rows, depth = x.shape
    floor = 0.0 if activation == RELU else -np.inf
    multiply_where_it_lies(x, 0, depth, 1, weights, depth, bias, n_rows, False, floor, out)
    if activation > RELU:
        activate(out.reshape(-1), activation)


@kernel
def multiply_small_back(grad: In2, weights: In2, y: In2, derivative: Int, out: Out2) -> None:
    """Write (g w^T) * f'(y)."""
    n_rows, depth = grad.shape
    matrix = np.empty(weights.shape[::-1], weights.dtype)
    fill_transposed_panel(weights, 0, matrix)
    multiply_where_it_lies(grad, 0, depth, 1, matrix, depth, matrix[0, :0], n_rows, False, -np.inf, out)
    multiply_by_derivative(out.reshape(-1), y.reshape(-1), derivative)


@kernel
def add_small_products(x: In2, grad: In2, accumulate: Flag, out: Out2, out_bias: Out1) -> None:
    """Write x^T g and the column sums of g, or add them; no sums where `out_bias` is empty."""
    n_rows, n_inputs = x.shape
    multiply_where_it_lies(x, 0, 1, n_inputs, grad, n_rows, out_bias[:0], n_inputs, accumulate, -np.inf, out)
    if not accumulate:
        out_bias[:] = 0
    add_sums_of_columns(grad, 0, n_rows, 0, out_bias.size, out_bias)


@inline
def multiply_where_it_lies(
    a: Any,
    a_offset: int,
    a_row: int,
    a_step: int,
    b: Any,
    depth: int,
    start: Any,
    n_rows: int,
    accumulate: bool,
    floor: float,
    out: Any,
) -> None:
    """Compute a b + start, tile by tile; a's element (i, k) lies at a_offset + i * a_row + k * a_step."""
    n_columns = out.shape[1]
    lanes = VECTOR_BYTES // out.itemsize
    for j in range(0, n_columns, lanes):
        width, n_start = min(lanes, n_columns - j), min(lanes, start.size - j)
        row = 0
        while n_rows - row > 2 * SHORT_COLUMN_ROWS:
            column_tile(
                a, a_offset + row * a_row, a_row, a_step, b, j, n_columns, depth, start, j, n_start,
                out, row * n_columns + j, n_columns, min(COLUMN_ROWS, n_rows - row), width, accumulate, floor,
            )  # fmt: skip
            row += COLUMN_ROWS
        while row < n_rows:
            short_column_tile(
                a, a_offset + row * a_row, a_row, a_step, b, j, n_columns, depth, start, j, n_start,
                out, row * n_columns + j, n_columns, min(SHORT_COLUMN_ROWS, n_rows - row), width, accumulate, floor,
            )  # fmt: skip
            row += SHORT_COLUMN_ROWS
