"""Products with a mostly-zero input, packed once.

Three lines share the positions of their non-zeros, so that each vector of the other operand is loaded once for three
multiply-adds. In the forward product the sums stay in registers for a whole group of lines; in the weight gradient
the gradient's rows stay there, and those of the result go by.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import get_num_threads, prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._cpu import SCATTERING_VECTORS, SPARSE_TILE, UNIT
from fastfnn_kernels.jitted._jit import Flag, In1, In2, IndicesIn1, Int, IntegersIn1, Out1, Out2, Real, inline, kernel
from fastfnn_kernels.jitted._panels import aligned_empty, fill_panel, number_of_panels, width_of_panel
from fastfnn_kernels.jitted._simd import SPARSE_TAIL_VECTORS, scattering_tile, sparse_tail_tile, sparse_tile
from fastfnn_kernels.jitted.activations import CODES, RELU, activate
from fastfnn_kernels.jitted.dense import NO_BIAS, add_column_sums, floor_of, gradients_to_write, padded_bias
from fastfnn_kernels.packing import LINES_OF_GROUP, Packed

# Pieces that a forward product is cut into at least, so that threads share one with few columns.
TASKS = 8

VECTOR_BYTES = UNIT.vector_bytes
WIDE_VECTORS = SPARSE_TILE.vectors


def sparse_forward(
    rows: Packed,
    weights: NDArray[Any],
    bias: NDArray[Any] | None = None,
    activation: str = "identity",
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Compute y = f(x w + b) for packed rows; see `fastfnn_kernels.reference.sparse_forward`."""
    dtype, n_outputs = weights.dtype, weights.shape[1]
    out = np.empty((rows.shape[0], n_outputs), dtype) if out is None else out
    bias = NO_BIAS[dtype] if bias is None else bias
    operations = 2 * rows.values.size * n_outputs
    _multiply(operations, dtype, *rows[:4], weights, bias, floor_of(activation), CODES[activation], out)
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
    _add_products(2 * rows.values.size * grad.shape[1], grad.dtype, *rows[:4], grad, accumulate, get_num_threads(), out, sums)
    return out, out_bias


@kernel
def _multiply(
    offsets: IntegersIn1,
    indices: IndicesIn1,
    values: In2,
    lines: IndicesIn1,
    weights: In2,
    bias: In1,
    floor: Real,
    activation: Int,
    out: Out2,
) -> None:
    """Write f(x w + bias); the floor is the whole of relu."""
    n_lines, n_columns = out.shape
    n_inputs = weights.shape[0]
    n_groups = offsets.size - 1
    lanes = VECTOR_BYTES // out.itemsize
    wide, narrow = WIDE_VECTORS * lanes, SPARSE_TAIL_VECTORS * lanes
    n_panels = number_of_panels(n_columns, wide)
    start = padded_bias(bias, n_columns, wide)
    panels = aligned_empty(n_inputs * n_panels * wide, out.dtype)
    for panel in prange(n_panels):
        j, width = panel * wide, width_of_panel(panel, n_columns, wide, narrow)
        fill_panel(weights, j, panels[j * n_inputs : (j + width) * n_inputs].reshape((n_inputs, width)))

    n_parts = (TASKS + n_panels - 1) // n_panels
    for task in prange(n_panels * n_parts):
        panel, part = task // n_parts, task % n_parts
        j, width = panel * wide, width_of_panel(panel, n_columns, wide, narrow)
        n_existing = min(width, n_columns - j)
        for group in range(part * n_groups // n_parts, (part + 1) * n_groups // n_parts):
            first, depth = offsets[group], offsets[group + 1] - offsets[group]
            line = group * LINES_OF_GROUP
            n_rows = min(LINES_OF_GROUP, n_lines - line)
            if width == wide:
                sparse_tile(
                    values, first * LINES_OF_GROUP, indices, first, panels, j * n_inputs, width, depth,
                    start, j, lines, line, out, j, n_columns, n_rows, n_existing, False, floor,
                )  # fmt: skip
            else:
                sparse_tail_tile(
                    values, first * LINES_OF_GROUP, indices, first, panels, j * n_inputs, width, depth,
                    start, j, lines, line, out, j, n_columns, n_rows, n_existing, False, floor,
                )  # fmt: skip
            if activation != RELU:
                for i in range(n_rows):
                    activate(out[lines[line + i], j : j + n_existing], activation)


@kernel
def _add_products(
    offsets: IntegersIn1,
    indices: IndicesIn1,
    values: In2,
    lines: IndicesIn1,
    grad: In2,
    accumulate: Flag,
    n_threads: Int,
    out: Out2,
    out_bias: Out1,
) -> None:
    """Write x^T g and the column sums of g, or add them; a task owns some columns of `out` in some of its rows."""
    n_lines, n_columns = grad.shape
    n_inputs = out.shape[0]
    width = SCATTERING_VECTORS * (VECTOR_BYTES // grad.itemsize)
    n_panels = number_of_panels(n_columns, width)
    n_parts = (n_threads + n_panels - 1) // n_panels  # each sum is one chain, wherever the parts are cut
    chunk_sums = np.empty(n_columns, out.dtype)
    if not accumulate:
        out_bias[:] = 0
    for task in prange(n_panels * n_parts):
        j, part = task // n_parts * width, task % n_parts
        end = min(j + width, n_columns)
        first_input, end_input = part * n_inputs // n_parts, (part + 1) * n_inputs // n_parts
        if not accumulate:
            for k in range(first_input, end_input):
                out[k, j:end] = 0
        for group in range(offsets.size - 1):
            line = group * LINES_OF_GROUP
            entries = indices[offsets[group] : offsets[group + 1]]
            first = offsets[group] + number_below(entries, first_input)
            depth = offsets[group] + number_below(entries, end_input) - first
            scattering_tile(
                values, first * LINES_OF_GROUP, indices, first, depth, lines, line, grad, j, n_columns,
                out, j, n_columns, min(LINES_OF_GROUP, n_lines - line), end - j,
            )  # fmt: skip
        if part == 0 and out_bias.size:
            add_column_sums(grad, j, chunk_sums[j:end], out_bias[j:end])


@inline
def number_below(ascending: Any, limit: int) -> int:
    """Count the numbers below `limit` by bisection."""
    low, high = 0, ascending.size
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] < limit:
            low = middle + 1
        else:
            high = middle
    return low
