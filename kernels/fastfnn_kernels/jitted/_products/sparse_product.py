"""The product of one group of packed rows and one panel of weights, computed by one thread."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastfnn_kernels.jitted._compile.jit import inline
from fastfnn_kernels.jitted._llvm.operands import Finish, Group, Order, Panel, Target, ptr
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
def group_of(groups: Groups, number: int) -> Any:
    """Return a group with all its entries."""
    first = groups.offsets[number]
    return group_between(groups, first, groups.offsets[number + 1])


@inline
def group_between(groups: Groups, first: int, end: int) -> Any:
    """Return some entries of a group."""
    indices = groups.indices
    return Group(ptr(groups.values), ptr(indices), first, end - first, indices.size)


@inline
def order_from(numbers: Any, row: int) -> Order:
    """Return the order of the rows from a row on."""
    return Order(ptr(numbers), row, numbers.size)


@inline
def multiply_group(group: Group, b: Panel, order: Order, c: Target, finish: Finish, is_wide: bool) -> None:
    """Write or add the rows of a group in the columns of one panel."""
    if is_wide:
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
