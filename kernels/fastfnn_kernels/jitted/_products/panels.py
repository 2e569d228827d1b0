"""Packing the operand that a product reads repeatedly into panels, in the order in which micro-kernels read it.

A panel contains as many columns as a tile is wide, stored row by row without gaps. The last panel may be narrower.
All panels of a matrix are stored back to back in one vector. The last panel is padded with zeros. Results computed
from the padding are never stored, but other numbers there could be slow, for example subnormal ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inline, uncounted
from fastfnn_kernels.jitted._llvm.transfers import (
    copy_narrow_panel,
    copy_narrow_transposed_panel,
    copy_panel,
    copy_transposed_panel,
)
from fastfnn_kernels.jitted._llvm.vectors import CACHE_LINE
from fastfnn_kernels.jitted._products.loops import copy
from fastfnn_kernels.runtime.cpu import UNIT

VECTOR_BYTES = UNIT.vector_bytes

# The direction of a copy between a matrix and its panels. For literals, functions would be compiled once more.
INTO_PANELS, OUT_OF_PANELS = np.bool_(True), np.bool_(False)


@inline
def aligned_empty(size: int, dtype: Any) -> Any:
    """Allocate a vector aligned to a cache line, since a load or store that crosses two lines takes twice as long."""
    vector = np.empty(size + CACHE_LINE, dtype)
    first = -vector.ctypes.data % CACHE_LINE // vector.itemsize
    return vector[first : first + size]


@inline
def number_of_panels(n_columns: int, wide: int) -> int:
    """Return the number of panels of `wide` columns, including the last."""
    return (n_columns + wide - 1) // wide


@inline
def width_of_panel(panel: int, n_columns: int, wide: int, narrow: int) -> int:
    """Return `narrow` for a last panel with few enough columns, and `wide` for all others."""
    return narrow if n_columns - panel * wide <= narrow else wide


@uncounted
def fill_panel(matrix: Any, first_row: int, n_rows: int, j: int, width: int, panels: Any, panel_offset: int) -> None:
    """Pack some rows of the columns from j on."""
    n_columns = matrix.shape[1]
    n_existing = min(width, n_columns - j)
    if width == VECTOR_BYTES // matrix.itemsize:
        copy_narrow_panel(matrix, first_row * n_columns + j, n_columns, n_rows, n_existing, panels, panel_offset)
    else:
        copy_panel(matrix, first_row * n_columns + j, n_columns, n_rows, n_existing, panels, panel_offset)


@uncounted
def fill_transposed_panel(
    matrix: Any, first_column: int, n_columns: int, j: int, width: int, panels: Any, panel_offset: int
) -> None:
    """Pack some columns of the rows from j on, as rows of columns."""
    depth = matrix.shape[1]
    n_existing = min(width, matrix.shape[0] - j)
    first = j * depth + first_column
    if width == VECTOR_BYTES // matrix.itemsize:
        copy_narrow_transposed_panel(matrix, first, depth, n_existing, n_columns, panels, panel_offset)
    else:
        copy_transposed_panel(matrix, first, depth, n_existing, n_columns, panels, panel_offset)


@inline
def transpose(matrix: Any, transposed: Any) -> None:
    """Write the transpose of a small matrix."""
    for j in range(matrix.shape[0]):
        row = matrix[j]
        for k in range(row.size):
            transposed[k, j] = row[k]


@inline
def padded_bias(bias: Any, n_columns: int, wide: int) -> Any:
    """Return the bias, padded with zeros to the end of the last panel; all zeros if the bias is empty."""
    start = np.zeros(number_of_panels(n_columns, wide) * wide, bias.dtype)
    copy(bias, start)
    return start
