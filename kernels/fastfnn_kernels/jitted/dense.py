"""Products of a dense layer, fused with bias, activation and derivatives.

The outputs are divided into tiles, and each tile is computed by one thread. The reduction is divided into chunks,
which are summed separately and added in order. Both follow from shapes only, so the bits do not depend on the number
of threads, and a long sum is more accurate than one long chain of additions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._compile.jit import (
    PARALLEL_OPERATIONS,
    Flag,
    In1,
    In2,
    Int,
    Out2,
    kernel,
    threads_for,
)
from fastfnn_kernels.jitted._llvm.dense_tiles import row_tail_tile, row_tile
from fastfnn_kernels.jitted._llvm.operands import Finish, Operand, Panel, Target, ptr
from fastfnn_kernels.jitted._llvm.tile_shapes import FEW_ROWS_VECTORS, FLAT_TILE
from fastfnn_kernels.jitted._products.block_product import Product, multiply_block
from fastfnn_kernels.jitted._products.division import divide_product, divide_weight_gradient, panels_read_in_place
from fastfnn_kernels.jitted._products.fused_activations import (
    CODES,
    IDENTITY,
    RELU,
    activate,
    floor_of,
    multiply_by_derivative,
)
from fastfnn_kernels.jitted._products.in_place_product import (
    add_products_of_few_inputs,
    add_small_products,
    multiply_small,
    multiply_small_back,
)
from fastfnn_kernels.jitted._products.optional_arguments import NO_BIAS, gradients_to_write
from fastfnn_kernels.jitted._products.panels import (
    aligned_empty,
    fill_panel,
    fill_transposed_panel,
    number_of_panels,
    padded_bias,
    width_of_panel,
)
from fastfnn_kernels.jitted._products.tasks import next_task, share_of
from fastfnn_kernels.jitted._products.tile_product import (
    CONFLICTING_BYTES,
    DEPTH_CHUNK,
    ROW_CHUNK,
    TILE_ROWS,
    TILE_VECTORS,
    VECTOR_BYTES,
    number_of_tiles,
    rows_of_share,
)
from fastfnn_kernels.jitted._products.weight_gradient import add_few_columns, add_products
from fastfnn_kernels.jitted.activations import activation_forward, activation_gradient
from fastfnn_kernels.runtime.cpu import UNIT

# Up to this number of rows, the weights are not packed: packing would take longer than the product.
FEW_ROWS = 4

# With up to this number of inputs, a gradient on one thread is computed row by row: it has fewer rows than a tile.
FEW_INPUTS = 4

# Maximum size of the matrices of a product that is computed without packing, if its reduction is a single chunk: half
# of the smallest second-level cache.
SMALL_BYTES = 128 * 1024


def dense_forward(
    x: NDArray[Any],
    weights: NDArray[Any],
    bias: NDArray[Any] | None = None,
    activation: str = "identity",
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Compute y = f(x w + b); see `fastfnn_kernels.reference.dense_forward`."""
    if activation not in CODES:
        z = dense_forward(x, weights, bias, "identity", out)
        return activation_forward(z, activation, z)
    n_rows = x.shape[0]
    out = np.empty((n_rows, weights.shape[1]), x.dtype) if out is None else out
    bias = NO_BIAS[x.dtype] if bias is None else bias
    if len(weights) <= DEPTH_CHUNK and fit_cache(x, weights, out):
        multiply_small.serial[x.dtype](x, weights, bias, CODES[activation], out)
        return out
    operations = 2 * n_rows * weights.size
    if n_rows <= FEW_ROWS and weights.shape[1] >= FEW_ROWS_VECTORS * UNIT.lanes(x.itemsize):
        _multiply_few(operations, x.dtype, x, weights, bias, CODES[activation], out)
    else:
        finish = (CODES[activation], out, IDENTITY)
        _divide_and_multiply(operations, x, weights, False, bias, *finish, out=out)
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
    out, out_bias = gradients_to_write(x.shape[1], grad, out, out_bias, use_bias, accumulate)
    sums = NO_BIAS[x.dtype] if out_bias is None else out_bias
    if x.shape[1] <= FEW_INPUTS and 2 * x.size * grad.shape[1] < PARALLEL_OPERATIONS:
        add_products_of_few_inputs.serial[x.dtype](x, grad, accumulate, out, sums)
    elif len(x) <= ROW_CHUNK and fit_cache(x, grad, out):
        add_small_products.serial[x.dtype](x, grad, accumulate, out, sums)
    elif 0 < grad.shape[1] <= FLAT_TILE.rows:
        operations = 2 * x.size * grad.shape[1]
        transposed = out.T.copy() if accumulate else np.empty(out.shape[::-1], out.dtype)
        add_few_columns(operations, x.dtype, x, grad, accumulate, threads_for(operations), transposed, sums)
        out[:] = transposed.T
    else:
        operations = 2 * x.size * grad.shape[1]
        n_threads = threads_for(operations)
        spans = divide_weight_gradient(*x.shape, grad.shape[1], x.itemsize, n_threads)
        add_products(operations, x.dtype, x, grad, accumulate, n_threads, *spans, out, sums)
    return out, out_bias


def dense_input_gradient(
    grad: NDArray[Any],
    weights: NDArray[Any],
    x: NDArray[Any] | None = None,
    activation: str = "identity",
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Compute (g w^T) * f'(x); see `fastfnn_kernels.reference.dense_input_gradient`."""
    if x is not None and activation not in CODES:
        grad_x = dense_input_gradient(grad, weights, None, "identity", out)
        return activation_gradient(x, grad_x, activation, grad_x)
    out = np.empty((grad.shape[0], weights.shape[0]), grad.dtype) if out is None else out
    y = out if x is None else x
    if grad.shape[1] <= DEPTH_CHUNK and fit_cache(grad, weights, out):
        multiply_small_back.serial[grad.dtype](grad, weights, y, CODES[activation], out)
        return out
    finish = (IDENTITY, y, CODES[activation])
    operations = 2 * grad.shape[0] * weights.size
    _divide_and_multiply(operations, grad, weights, True, NO_BIAS[grad.dtype], *finish, out=out)
    return out


def fit_cache(a: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> bool:
    """Return whether the matrices of a product fit into a core's caches."""
    return a.nbytes + b.nbytes + out.nbytes <= SMALL_BYTES


def _divide_and_multiply(
    operations: int, x: NDArray[Any], matrix: NDArray[Any], transposed: bool, *finish: Any, out: NDArray[Any]
) -> None:
    n_threads = threads_for(operations)
    grid = divide_product(*out.shape, x.itemsize, n_threads)
    n_in_place = 0 if transposed else panels_read_in_place(len(x), x.shape[1], out.shape[1], x.itemsize)
    _multiply(operations, x.dtype, x, matrix, transposed, *finish, n_in_place, n_threads, *grid, out)


@kernel
def _multiply(
    x: In2,
    matrix: In2,
    transposed: Flag,
    bias: In1,
    activation: Int,
    y: In2,
    derivative: Int,
    n_in_place: Int,
    n_threads: Int,
    tile_parts: Int,
    panel_parts: Int,
    out: Out2,
) -> None:
    """Write f(x b + bias) * g'(y), where b is the matrix or its transpose; its first panels may be read in place.

    `division.py` determines how.
    """
    n_rows, depth = x.shape
    n_columns = out.shape[1]
    lanes = VECTOR_BYTES // out.itemsize
    wide = TILE_VECTORS * lanes
    n_panels = number_of_panels(n_columns, wide)
    n_packed = n_panels - n_in_place
    panels = aligned_empty(n_panels * wide * depth if n_packed else 0, out.dtype)
    pack_parts = (n_threads + n_packed - 1) // max(n_packed, 1)
    for task in prange(n_packed * pack_parts):
        panel = n_in_place + task // pack_parts
        j, width = panel * wide, width_of_panel(panel, n_columns, wide, lanes)
        first, end = share_of(depth, task % pack_parts, pack_parts)
        if transposed:
            fill_transposed_panel(matrix, first, end - first, j, width, panels, j * depth + first * width)
        else:
            fill_panel(matrix, first, end - first, j, width, panels, j * depth + first * width)

    zeros, floor = np.zeros(wide, out.dtype), floor_of(activation, out)
    in_place = matrix.reshape(-1)
    product = Product(
        x, panels, in_place, n_in_place, padded_bias(bias, n_columns, wide), zeros, floor, y, derivative == RELU, out
    )
    conflicting = depth * x.itemsize % CONFLICTING_BYTES == 0 and depth > 0 and n_panels > 1
    most_rows = TILE_ROWS * ((number_of_tiles(n_rows) + tile_parts - 1) // tile_parts)
    copies = np.empty((n_threads, most_rows if conflicting else 0, DEPTH_CHUNK + lanes), x.dtype)
    counters = np.zeros(n_threads, np.int64)
    for worker in prange(n_threads):
        while True:
            task = next_task(counters, worker, tile_parts * panel_parts)
            if task >= tile_parts * panel_parts:
                break
            first_row, end_row = rows_of_share(n_rows, task // panel_parts, tile_parts)
            first_panel, end_panel = share_of(n_panels, task % panel_parts, panel_parts)
            multiply_block(product, copies[worker], first_row, end_row, first_panel, end_panel)
            if activation > RELU or derivative > RELU:
                first, end = first_panel * wide, min(end_panel * wide, n_columns)
                for row in range(first_row, end_row):
                    activate(out[row, first:end], activation)
                    multiply_by_derivative(out[row, first:end], y[row, first:end], derivative)


@kernel
def _multiply_few(x: In2, weights: In2, bias: In1, activation: Int, out: Out2) -> None:
    """Write f(x w + bias) row by row, without packing the weights."""
    n_rows, depth = x.shape
    n_columns = out.shape[1]
    lanes = VECTOR_BYTES // out.itemsize
    wide = FEW_ROWS_VECTORS * lanes
    start = padded_bias(bias, n_columns, wide)
    zeros, floor = np.zeros(wide, out.dtype), floor_of(activation, out)
    for panel in prange(number_of_panels(n_columns, wide)):
        first, end = panel * wide, min((panel + 1) * wide, n_columns)
        width = wide if end - first == wide else lanes
        for row in range(n_rows):
            for j in range(first, end, width):
                for k in range(0, max(depth, 1), DEPTH_CHUNK):
                    chunk = min(DEPTH_CHUNK, depth - k)
                    first_chunk, last_chunk = k == 0, k + chunk == depth
                    a = Operand(ptr(x), row * depth + k, depth, 1)
                    b = Panel(ptr(weights), k * n_columns + j, n_columns, chunk)
                    c = Target(ptr(out), row * n_columns + j, n_columns, 1, min(width, n_columns - j))
                    first_sums, offset = (start, j) if first_chunk else (zeros, 0)
                    finish = Finish(ptr(first_sums), offset, not first_chunk, floor if last_chunk else -np.inf)
                    if width == wide:
                        row_tile(a, b, c, finish)
                    else:
                        row_tail_tile(a, b, c, finish)
            if activation != RELU:
                activate(out[row, first:end], activation)
