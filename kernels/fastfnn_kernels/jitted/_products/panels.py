"""The operand of a product that is read again and again, laid out as its micro-kernel reads it.

A panel is as many columns as a tile is wide, one row after the other without gaps; the last panel may be
narrower. All panels of a matrix stand behind each other in one vector. Behind the last column stand zeros: what is
computed from them is never stored, and anything else there might be slow numbers, such as subnormal ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inline
from fastfnn_kernels.jitted._llvm.transfers import (
    CACHE_LINE,
    copy_narrow_panel,
    copy_narrow_transposed_panel,
    copy_panel,
    copy_transposed_panel,
)
from fastfnn_kernels.jitted._products.loops import copy
from fastfnn_kernels.runtime.cpu import UNIT

VECTOR_BYTES = UNIT.vector_bytes


@inline
def aligned_empty(size: int, dtype: Any) -> Any:
    """Allocate a vector that begins at a cache line: a load or store across two lines takes twice as long."""
    vector = np.empty(size + CACHE_LINE, dtype)
    first = -vector.ctypes.data % CACHE_LINE // vector.itemsize
    return vector[first : first + size]


@inline
def number_of_panels(n_columns: int, wide: int) -> int:
    """Count the panels of `wide` columns, the last one included."""
    return (n_columns + wide - 1) // wide


@inline
def width_of_panel(panel: int, n_columns: int, wide: int, narrow: int) -> int:
    """Return `narrow` for a last panel that needs no more, and `wide` for all others."""
    return narrow if n_columns - panel * wide <= narrow else wide


@inline
def fill_panel(matrix: Any, first_row: int, n_rows: int, j: int, width: int, panels: Any, panel_offset: int) -> None:
    """Lay out some rows of the columns from j on."""
    n_columns = matrix.shape[1]
    n_existing = min(width, n_columns - j)
    if width == VECTOR_BYTES // matrix.itemsize:
        copy_narrow_panel(matrix, first_row * n_columns + j, n_columns, n_rows, n_existing, panels, panel_offset)
    else:
        copy_panel(matrix, first_row * n_columns + j, n_columns, n_rows, n_existing, panels, panel_offset)


@inline
def fill_transposed_panel(matrix: Any, j: int, width: int, panels: Any, panel_offset: int) -> None:
    """Lay out the rows from j on, as columns."""
    depth = matrix.shape[1]
    n_existing = min(width, matrix.shape[0] - j)
    if width == VECTOR_BYTES // matrix.itemsize:
        copy_narrow_transposed_panel(matrix, j * depth, depth, n_existing, depth, panels, panel_offset)
    else:
        copy_transposed_panel(matrix, j * depth, depth, n_existing, depth, panels, panel_offset)


@inline
def transpose(matrix: Any, transposed: Any) -> None:
    """Write the transpose of a small matrix, without gaps."""
    for j in range(matrix.shape[0]):
        row = matrix[j]
        for k in range(row.size):
            transposed[k, j] = row[k]


@inline
def padded_bias(bias: Any, n_columns: int, wide: int) -> Any:
    """Return the bias with zeros behind it to the end of the last panel; zeros alone where it is empty."""
    start = np.zeros(number_of_panels(n_columns, wide) * wide, bias.dtype)
    copy(bias, start)
    return start
