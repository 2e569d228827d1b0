"""Products with a mostly-zero input, packed once.

Four neighbouring lines share the positions of their non-zeros, so that each vector of the other operand is
loaded once for four multiply-adds; the sums stay in registers for a whole line.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._cpu import UNIT
from fastfnn_kernels.jitted._jit import (
    In1,
    In2,
    IndicesIn1,
    Int,
    IntegersIn1,
    Out2,
    Real,
    inline,
    kernel,
)
from fastfnn_kernels.jitted._simd import SPARSE_VECTORS, sparse_tail_tile, sparse_tile
from fastfnn_kernels.jitted.activations import CODES, RELU, activate
from fastfnn_kernels.jitted.dense import add_column_sums, dense_weight_gradient, floor_of, prepare_gradients
from fastfnn_kernels.packing import LINES_OF_GROUP, Packed, unpack

# Groups of lines that one thread computes: the panel of the other operand stays in cache.
BLOCK_GROUPS = 16

VECTOR_BYTES = UNIT.vector_bytes


def sparse_forward(
    rows: Packed,
    weights: NDArray[Any],
    bias: NDArray[Any] | None = None,
    activation: str = "identity",
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Compute y = f(x w + b) for packed rows; see `fastfnn_kernels.reference.sparse_forward`."""
    n_rows, n_outputs = rows.shape[0], weights.shape[1]
    out = np.empty((n_rows, n_outputs), weights.dtype) if out is None else out
    padded = _whole_vectors(weights)
    start = np.zeros(padded.shape[1], weights.dtype)
    if bias is not None:
        start[:n_outputs] = bias
    finish = (floor_of(activation), CODES[activation])
    _multiply(2 * rows.values.size * n_outputs, weights.dtype, *rows[:3], padded, start, *finish, out)
    return out


def sparse_weight_gradient(
    columns: Packed,
    grad: NDArray[Any],
    out: NDArray[Any] | None = None,
    out_bias: NDArray[Any] | None = None,
    use_bias: bool = True,
    accumulate: bool = False,
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Compute x^T g and the column sums of g; see `fastfnn_kernels.reference.sparse_weight_gradient`."""
    out, out_bias = prepare_gradients(columns.shape[0], grad, out, out_bias, use_bias, accumulate)
    _add_products(2 * columns.values.size * grad.shape[1], grad.dtype, *columns[:3], _whole_vectors(grad), out)
    if out_bias is not None:
        add_column_sums(grad, out_bias)
    return out, out_bias


def sparse_weight_gradient_of_rows(
    rows: Packed,
    grad: NDArray[Any],
    out: NDArray[Any] | None = None,
    out_bias: NDArray[Any] | None = None,
    use_bias: bool = True,
    accumulate: bool = False,
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Compute x^T g and the column sums of g; see `fastfnn_kernels.reference.sparse_weight_gradient_of_rows`."""
    return dense_weight_gradient(unpack(rows), grad, out, out_bias, use_bias, accumulate)


def _whole_vectors(matrix: NDArray[Any]) -> NDArray[Any]:
    """Return the matrix with columns of zeros behind it until a row is a whole number of vectors."""
    n_columns = matrix.shape[1]
    missing = -n_columns % UNIT.lanes(matrix.itemsize)
    if missing == 0:
        return matrix
    padded = np.zeros((matrix.shape[0], n_columns + missing), matrix.dtype)
    padded[:, :n_columns] = matrix
    return padded


@inline
def _multiply_groups(
    offsets: Any,
    indices: Any,
    values: Any,
    first_group: int,
    end_group: int,
    matrix: Any,
    start: Any,
    out: Any,
    accumulate: bool,
    floor: float,
) -> None:
    """Compute the rows of `out` that some groups of lines stand for, panel by panel."""
    n_lines, n_columns = out.shape
    stride = matrix.shape[1]
    lanes = VECTOR_BYTES // matrix.itemsize
    width = SPARSE_VECTORS * lanes
    j = 0
    while j < stride:
        wide = j + width <= stride
        for group in range(first_group, end_group):
            first, line = offsets[group], group * LINES_OF_GROUP
            n_rows = min(LINES_OF_GROUP, n_lines - line)
            if wide:
                sparse_tile(
                    values, first * LINES_OF_GROUP, 1, LINES_OF_GROUP, indices, first,
                    matrix, j, stride, offsets[group + 1] - first, start, j,
                    out, line * n_columns + j, n_columns, n_rows, min(width, n_columns - j), accumulate, floor,
                )  # fmt: skip
            else:
                sparse_tail_tile(
                    values, first * LINES_OF_GROUP, 1, LINES_OF_GROUP, indices, first,
                    matrix, j, stride, offsets[group + 1] - first, start, j,
                    out, line * n_columns + j, n_columns, n_rows, min(lanes, n_columns - j), accumulate, floor,
                )  # fmt: skip
        j += width if wide else lanes


@kernel
def _multiply(
    offsets: IntegersIn1,
    indices: IndicesIn1,
    values: In2,
    weights: In2,
    start: In1,
    floor: Real,
    activation: Int,
    out: Out2,
) -> None:
    """Write f(x w + start); the floor is the whole of relu."""
    n_rows, n_columns = out.shape
    n_groups = offsets.size - 1
    flat = out.reshape(-1)
    for block in prange((n_groups + BLOCK_GROUPS - 1) // BLOCK_GROUPS):
        first = block * BLOCK_GROUPS
        end = min(first + BLOCK_GROUPS, n_groups)
        _multiply_groups(offsets, indices, values, first, end, weights, start, out, False, floor)
        if activation != RELU:
            end_row = min(end * LINES_OF_GROUP, n_rows)
            activate(flat[first * LINES_OF_GROUP * n_columns : end_row * n_columns], activation)


@kernel
def _add_products(offsets: IntegersIn1, indices: IndicesIn1, values: In2, grad: In2, out: Out2) -> None:
    """Add x^T g to `out`."""
    n_groups = offsets.size - 1
    zeros = np.zeros(grad.shape[1], out.dtype)
    for block in prange((n_groups + BLOCK_GROUPS - 1) // BLOCK_GROUPS):
        first = block * BLOCK_GROUPS
        end = min(first + BLOCK_GROUPS, n_groups)
        _multiply_groups(offsets, indices, values, first, end, grad, zeros, out, True, -np.inf)
