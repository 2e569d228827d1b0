"""Products of a dense layer, fused with what comes before and after them.

Every product is cut by shape alone: outputs into tiles that threads own, the reduction into chunks that are
summed on their own and added in order. So the bits do not depend on the threads, and a long sum does not
lose the digits that one long chain would.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._cpu import TILE
from fastfnn_kernels.jitted._jit import In1, In2, In3, Int, Out1, Out2, Real, inline, kernel
from fastfnn_kernels.jitted._panels import panels_of, panels_of_transposed, start_of_panels
from fastfnn_kernels.jitted._simd import dense_tile
from fastfnn_kernels.jitted.activations import CODES, IDENTITY, RELU, activate, multiply_by_derivative

# Steps of a reduction before its sum is added to the total: the chunk of an operand stays in cache.
REDUCTION_CHUNK = 400

# Rows of a block that one thread computes: their inputs stay in cache while the panels go by.
BLOCK_ROWS = 4 * TILE.rows

# Outputs of the weight gradient, in inputs, that one thread computes.
BLOCK_INPUTS = 7 * TILE.rows

# Rows between two meetings of the threads in the weight gradient: they share the caches they fill.
SPAN_ROWS = 3 * REDUCTION_CHUNK

# Columns of a bias gradient that one thread sums.
BLOCK_COLUMNS = 64

TILE_ROWS = TILE.rows


def dense_forward(
    x: NDArray[Any],
    weights: NDArray[Any],
    bias: NDArray[Any] | None = None,
    activation: str = "identity",
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Compute y = f(x w + b); see `fastfnn_kernels.reference.dense_forward`."""
    out = np.empty((x.shape[0], weights.shape[1]), x.dtype) if out is None else out
    panels = panels_of(weights)
    start = start_of_panels(panels, bias)
    operations = 2 * x.shape[0] * weights.size
    _multiply(operations, x.dtype, x, panels, start, floor_of(activation), CODES[activation], out, IDENTITY, out)
    return out


def dense_weight_gradient(
    x: NDArray[Any],
    grad: NDArray[Any],
    out: NDArray[Any] | None = None,
    out_bias: NDArray[Any] | None = None,
    use_bias: bool = True,
    accumulate: bool = False,
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Compute x^T g and the column sums of g; see `fastfnn_kernels.reference.dense_weight_gradient`."""
    out, out_bias = prepare_gradients(x.shape[1], grad, out, out_bias, use_bias, accumulate)
    _add_products(2 * x.size * grad.shape[1], x.dtype, x, panels_of(grad), out)
    if out_bias is not None:
        add_column_sums(grad, out_bias)
    return out, out_bias


def dense_input_gradient(
    grad: NDArray[Any],
    weights: NDArray[Any],
    x: NDArray[Any] | None = None,
    activation: str = "identity",
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Compute (g w^T) * f'(x); see `fastfnn_kernels.reference.dense_input_gradient`."""
    out = np.empty((grad.shape[0], weights.shape[0]), grad.dtype) if out is None else out
    y = out if x is None else x
    panels = panels_of_transposed(weights)
    start = start_of_panels(panels, None)
    operations = 2 * grad.shape[0] * weights.size
    _multiply(operations, grad.dtype, grad, panels, start, -np.inf, IDENTITY, y, CODES[activation], out)
    return out


def floor_of(activation: str) -> float:
    """Return what a tile is held above before it is stored: zero for relu."""
    return 0.0 if activation == "relu" else -np.inf


def prepare_gradients(
    n_inputs: int,
    grad: NDArray[Any],
    out: NDArray[Any] | None,
    out_bias: NDArray[Any] | None,
    use_bias: bool,
    accumulate: bool,
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return the arrays that gradients are added to: those given, emptied unless accumulating, or new ones."""
    n_outputs = grad.shape[1]
    if out is None:
        out = np.zeros((n_inputs, n_outputs), grad.dtype)
    elif not accumulate:
        out[...] = 0
    if not use_bias:
        return out, None
    if out_bias is None:
        out_bias = np.zeros(n_outputs, grad.dtype)
    elif not accumulate:
        out_bias[...] = 0
    return out, out_bias


def add_column_sums(grad: NDArray[Any], out: NDArray[Any]) -> None:
    """Add the sum of each column of `grad` to `out`."""
    _add_column_sums(grad.size, grad.dtype, grad, out)


@kernel
def _multiply(
    x: In2, panels: In3, start: In1, floor: Real, activation: Int, y: In2, derivative: Int, out: Out2
) -> None:
    """Write f(x b + start) * g'(y); the floor is the whole of relu, and both f and g may be the identity."""
    n_rows, depth = x.shape
    n_panels, _, width = panels.shape
    n_columns = out.shape[1]
    zeros = np.zeros(width, out.dtype)
    flat, flat_y = out.reshape(-1), y.reshape(-1)
    for block in prange((n_rows + BLOCK_ROWS - 1) // BLOCK_ROWS):
        first_row = block * BLOCK_ROWS
        end_row = min(first_row + BLOCK_ROWS, n_rows)
        for k in range(0, max(depth, 1), REDUCTION_CHUNK):
            chunk = min(REDUCTION_CHUNK, depth - k)
            for panel in range(n_panels):
                j = panel * width
                for row in range(first_row, end_row, TILE_ROWS):
                    dense_tile(
                        x, row * depth + k, depth, 1,
                        panels, (panel * depth + k) * width, width, chunk,
                        start if k == 0 else zeros, j if k == 0 else 0,
                        out, row * n_columns + j, n_columns,
                        min(TILE_ROWS, end_row - row), min(width, n_columns - j),
                        k > 0, floor if k + chunk == depth else -np.inf,
                    )  # fmt: skip
        first, end = first_row * n_columns, end_row * n_columns
        if activation != RELU:
            activate(flat[first:end], activation)
        multiply_by_derivative(flat[first:end], flat_y[first:end], derivative)


@kernel
def _add_products(x: In2, panels: In3, out: Out2) -> None:
    """Add x^T b to `out`."""
    n_rows, n_inputs = x.shape
    n_panels, _, width = panels.shape
    n_columns = out.shape[1]
    zeros = np.zeros(width, out.dtype)
    for span in range(0, n_rows, SPAN_ROWS):
        span_end = min(span + SPAN_ROWS, n_rows)
        for block in prange((n_inputs + BLOCK_INPUTS - 1) // BLOCK_INPUTS):
            first = block * BLOCK_INPUTS
            end = min(first + BLOCK_INPUTS, n_inputs)
            for row in range(span, span_end, REDUCTION_CHUNK):
                for panel in range(n_panels):
                    j = panel * width
                    for i in range(first, end, TILE_ROWS):
                        dense_tile(
                            x, row * n_inputs + i, 1, n_inputs,
                            panels, (panel * n_rows + row) * width, width, min(REDUCTION_CHUNK, n_rows - row),
                            zeros, 0,
                            out, i * n_columns + j, n_columns,
                            min(TILE_ROWS, end - i), min(width, n_columns - j),
                            True, -np.inf,
                        )  # fmt: skip


@kernel
def _add_column_sums(grad: In2, out: Out1) -> None:
    n_rows, n_columns = grad.shape
    n_chunks = (n_rows + REDUCTION_CHUNK - 1) // REDUCTION_CHUNK
    sums = np.zeros((n_chunks, n_columns), out.dtype)
    for block in prange((n_columns + BLOCK_COLUMNS - 1) // BLOCK_COLUMNS):
        first = block * BLOCK_COLUMNS
        end = min(first + BLOCK_COLUMNS, n_columns)
        for row in range(n_rows):
            add(grad[row, first:end], sums[row // REDUCTION_CHUNK, first:end])
        for chunk in range(n_chunks):
            add(sums[chunk, first:end], out[first:end])


@inline
def add(source: Any, target: Any) -> None:
    """Add `source` to `target`."""
    for i in range(source.size):
        target[i] += source[i]
