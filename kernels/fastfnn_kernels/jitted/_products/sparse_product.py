"""The product of one group of packed rows and one panel of weights, computed by one thread."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastfnn_kernels.jitted._compile.jit import inline
from fastfnn_kernels.jitted._llvm.operands import Finish, Group, Order, Panel, Target
from fastfnn_kernels.jitted._llvm.sparse_tiles import sparse_tail_tile, sparse_tile
from fastfnn_kernels.jitted._llvm.tile_shapes import SPARSE_TAIL_VECTORS, SPARSE_TILE
from fastfnn_kernels.jitted._llvm.transfers import copy_sparse_panel, copy_sparse_tail_panel
from fastfnn_kernels.jitted._products.tile_product import VECTOR_BYTES

WIDE_VECTORS = SPARSE_TILE.vectors


class Groups(NamedTuple):
    """The groups of a packed matrix: the arrays of `Packed`, of `PackedColumns` or of a batch."""

    offsets: Any
    indices: Any
    values: Any
    order: Any


@inline
def group_of(groups: Groups, number: int) -> Group:
    """Return a group with all its entries."""
    first = groups.offsets[number]
    return Group(groups.values, groups.indices, first, groups.offsets[number + 1] - first)


@inline
def multiply_group(group: Group, b: Panel, order: Order, c: Target, finish: Finish) -> None:
    """Write or add the rows of a group in the columns of one panel."""
    if b.row == WIDE_VECTORS * (VECTOR_BYTES // c.values.itemsize):
        sparse_tile(group, b, order, c, finish)
    else:
        sparse_tail_tile(group, b, order, c, finish)


@inline
def fill_sparse_panel(matrix: Any, j: int, width: int, panels: Any, panel_offset: int) -> None:
    """Pack the columns from j on."""
    n_rows, n_columns = matrix.shape
    n_existing = min(width, n_columns - j)
    if width == SPARSE_TAIL_VECTORS * (VECTOR_BYTES // matrix.itemsize):
        copy_sparse_tail_panel(matrix, j, n_columns, n_rows, n_existing, panels, panel_offset)
    else:
        copy_sparse_panel(matrix, j, n_columns, n_rows, n_existing, panels, panel_offset)
