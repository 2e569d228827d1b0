"""Groups of packed rows, and the product of one with a panel of weights, computed by one thread."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastfnn_kernels.jitted._compile.jit import inline, uncounted
from fastfnn_kernels.jitted._llvm.operands import Finish, Group, Order, Panel, Target, ptr
from fastfnn_kernels.jitted._llvm.sparse_tiles import scattering_tile, sparse_tail_tile, sparse_tile
from fastfnn_kernels.jitted._llvm.tile_shapes import SCATTERING_VECTORS, SPARSE_TAIL_VECTORS, SPARSE_TILE
from fastfnn_kernels.jitted._llvm.transfers import copy_sparse_panel, copy_sparse_tail_panel
from fastfnn_kernels.jitted._products.tile_product import VECTOR_BYTES
from fastfnn_kernels.packing import ROWS_OF_GROUP

WIDE_VECTORS = SPARSE_TILE.vectors

# A group's columns in a wide panel can be computed in as many narrow tiles, by different threads.
PIECES = WIDE_VECTORS // SPARSE_TAIL_VECTORS if WIDE_VECTORS % SPARSE_TAIL_VECTORS == 0 else 1


class Groups(NamedTuple):
    """The groups of a packed matrix: the arrays of `Packed`, of `PackedColumns` or of a batch."""

    offsets: Any
    indices: Any
    values: Any
    order: Any


@inline
def entries_of(groups: Groups, group: int) -> tuple[int, int]:
    """Return the first entry of a group, and their number."""
    first = groups.offsets[group]
    return first, groups.offsets[group + 1] - first


@uncounted
def entries_between(groups: Groups, group: int, first_index: int, end_index: int, most: int) -> tuple[int, int]:
    """Return the first entry of a group whose index is in a range, and the number of such entries; `most` exist."""
    first, depth = entries_of(groups, group)
    if first_index > 0:
        n_before = number_below(groups.indices[first : first + depth], first_index)
        first, depth = first + n_before, depth - n_before
    if end_index < most:
        depth = number_below(groups.indices[first : first + depth], end_index)
    return first, depth


@inline
def number_below(ascending: Any, limit: int) -> int:
    """Count the numbers below `limit`, by bisection."""
    below, n_left = 0, ascending.size
    while n_left > 1:
        half = n_left // 2
        below += half if ascending[below + half - 1] < limit else 0
        n_left -= half
    return below + (1 if n_left == 1 and ascending[below] < limit else 0)


@uncounted
def group_from(groups: Groups, first: int, depth: int) -> Any:
    """Return the group whose entries begin with a certain one, as micro-kernels take it."""
    return Group(ptr(groups.values), ptr(groups.indices), first, depth, groups.indices.size)


@uncounted
def order_from(groups: Groups, row: int) -> Any:
    """Return the order of the rows from a certain one on, as micro-kernels take it."""
    return Order(ptr(groups.order), row, groups.order.size)


@uncounted
def multiply_groups(
    groups: Groups, first_group: int, end_group: int, b: Panel, width: int, c: Target, finish: Finish
) -> None:
    """Write or add the rows of some groups in the columns of a panel; C has the rows of all groups.

    The `width` of tiles is a wide panel's, or that of a narrow panel or of a piece of a wide one.
    """
    is_wide = width == WIDE_VECTORS * (VECTOR_BYTES // groups.values.itemsize)
    for number in range(first_group, end_group):
        row = number * ROWS_OF_GROUP
        first, depth = entries_of(groups, number)
        group, order = group_from(groups, first, depth), order_from(groups, row)
        rows = Target(c.values, c.offset, c.row, min(ROWS_OF_GROUP, c.n_rows - row), c.n_columns)
        if is_wide:
            sparse_tile(group, b, order, rows, finish)
        else:
            sparse_tail_tile(group, b, order, rows, finish)


@uncounted
def scatter_groups(
    groups: Groups, grad: Any, first_input: int, end_input: int, first_column: int, end_column: int, c: Target
) -> None:
    """Add the products of some inputs with some columns of a gradient; C has the rows of all inputs in these columns.

    Each sum is one chain over all rows, however inputs and columns are divided.
    """
    n_rows, n_columns = grad.shape
    width = SCATTERING_VECTORS * (VECTOR_BYTES // grad.itemsize)
    for row in range(0, n_rows, ROWS_OF_GROUP):
        n_read, order = min(ROWS_OF_GROUP, n_rows - row), order_from(groups, row)
        first, depth = entries_between(groups, row // ROWS_OF_GROUP, first_input, end_input, c.n_rows)
        group = group_from(groups, first, depth)
        for j in range(first_column, end_column, width):
            columns = Target(c.values, c.offset + j - first_column, c.row, c.n_rows, min(width, end_column - j))
            scattering_tile(group, Panel(ptr(grad), j, n_columns, n_read), order, columns)


@inline
def fill_sparse_panel(
    matrix: Any, first_row: int, n_rows: int, j: int, width: int, panels: Any, panel_offset: int
) -> None:
    """Pack some rows of the columns from j on."""
    n_columns = matrix.shape[1]
    n_existing, first = min(width, n_columns - j), first_row * n_columns + j
    if width == SPARSE_TAIL_VECTORS * (VECTOR_BYTES // matrix.itemsize):
        copy_sparse_tail_panel(matrix, first, n_columns, n_rows, n_existing, panels, panel_offset)
    else:
        copy_sparse_panel(matrix, first, n_columns, n_rows, n_existing, panels, panel_offset)
