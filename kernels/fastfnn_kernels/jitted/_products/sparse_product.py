"""The product of one group of packed rows and one panel of weights, computed by one thread."""

from __future__ import annotations

from typing import Any

from fastfnn_kernels.jitted._compile.jit import inline
from fastfnn_kernels.jitted._llvm.sparse_tiles import sparse_tail_tile, sparse_tile
from fastfnn_kernels.jitted._llvm.tile_shapes import SPARSE_TAIL_VECTORS, SPARSE_TILE
from fastfnn_kernels.jitted._llvm.transfers import copy_sparse_panel, copy_sparse_tail_panel
from fastfnn_kernels.jitted._products.tile_product import VECTOR_BYTES
from fastfnn_kernels.packing import ROWS_OF_GROUP

WIDE_VECTORS = SPARSE_TILE.vectors


@inline
def multiply_group(
    values: Any,
    indices: Any,
    first: int,
    depth: int,
    panels: Any,
    panel_offset: int,
    width: int,
    start: Any,
    j: int,
    order: Any,
    row: int,
    out: Any,
    n_rows: int,
    n_columns: int,
    accumulate: bool,
    floor: float,
) -> None:
    """Write or add the rows of a group in the columns of one panel, from j on; its entries begin at `first`."""
    if width == WIDE_VECTORS * (VECTOR_BYTES // out.itemsize):
        sparse_tile(
            values, first * ROWS_OF_GROUP, indices, first, panels, panel_offset, width, depth,
            start, j, order, row, out, j, out.shape[1], n_rows, n_columns, accumulate, floor,
        )  # fmt: skip
    else:
        sparse_tail_tile(
            values, first * ROWS_OF_GROUP, indices, first, panels, panel_offset, width, depth,
            start, j, order, row, out, j, out.shape[1], n_rows, n_columns, accumulate, floor,
        )  # fmt: skip


@inline
def fill_sparse_panel(matrix: Any, j: int, width: int, panels: Any, panel_offset: int) -> None:
    """Pack the columns from j on."""
    n_rows, n_columns = matrix.shape
    n_existing = min(width, n_columns - j)
    if width == SPARSE_TAIL_VECTORS * (VECTOR_BYTES // matrix.itemsize):
        copy_sparse_tail_panel(matrix, j, n_columns, n_rows, n_existing, panels, panel_offset)
    else:
        copy_sparse_panel(matrix, j, n_columns, n_rows, n_existing, panels, panel_offset)
