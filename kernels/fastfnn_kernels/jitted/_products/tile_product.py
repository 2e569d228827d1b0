"""One tile of a dense product, computed by the micro-kernel for its panel's width."""

from __future__ import annotations

from typing import Any

from fastfnn_kernels.jitted._compile.jit import force_inline, inline
from fastfnn_kernels.jitted._llvm.dense_tiles import narrow_panel_tile, panel_tile
from fastfnn_kernels.jitted._llvm.tile_shapes import TILE
from fastfnn_kernels.jitted._products.tasks import share_of
from fastfnn_kernels.runtime.cpu import UNIT

# Steps of a reduction over a layer's inputs or outputs, and over rows, before the sum is added to the total. Chunks
# of both operands stay in cache. Chunks of rows are shorter, because the weight gradient's blocks are wider.
DEPTH_CHUNK = 1024
ROW_CHUNK = 512

# Rows with a stride of a multiple of this share a few sets of the first-level cache and evict each other.
CONFLICTING_BYTES = 4096

TILE_ROWS = TILE.rows
TILE_VECTORS = TILE.vectors
VECTOR_BYTES = UNIT.vector_bytes


@inline
def number_of_tiles(n_rows: int) -> int:
    """Return the number of tiles for some rows, including the last."""
    return (n_rows + TILE_ROWS - 1) // TILE_ROWS


@inline
def rows_of_share(n_rows: int, task: int, n_tasks: int) -> tuple[int, int]:
    """Return a task's first row and end: whole tiles, except possibly the last."""
    first, end = share_of(number_of_tiles(n_rows), task, n_tasks)
    return min(first * TILE_ROWS, n_rows), min(end * TILE_ROWS, n_rows)


@force_inline
def multiply_tile(
    x: Any,
    x_offset: int,
    x_row: int,
    x_step: int,
    panels: Any,
    panel_offset: int,
    width: int,
    depth: int,
    start: Any,
    start_offset: int,
    out: Any,
    out_offset: int,
    n_rows: int,
    n_columns: int,
    accumulate: bool,
    floor: float,
    gate: Any,
    gated: bool,
    next_offset: int,
    tile: int,
    n_tiles: int,
    next_x: Any,
    next_x_offset: int,
    next_x_row: int,
    next_x_step: int,
    prefetching: bool,
) -> None:
    """Compute one tile with the micro-kernel for its panel's width.

    `tile` is its index among the `n_tiles` tiles that use the panel. Each of them prefetches a share of the next
    panel. If `prefetching`, it also prefetches the rows that will be used next instead of x's.
    """
    out_row = out.shape[1]
    ahead_step = (width + n_tiles - 1) // n_tiles
    ahead_offset = next_offset + tile * depth * ahead_step
    if width == VECTOR_BYTES // out.itemsize:
        narrow_panel_tile(
            x, x_offset, x_row, x_step, panels, panel_offset, width, depth, start, start_offset,
            out, out_offset, out_row, n_rows, n_columns, accumulate, floor, gate, gated,
            ahead_offset, ahead_step, next_x, next_x_offset, next_x_row, next_x_step, prefetching,
        )  # fmt: skip
    else:
        panel_tile(
            x, x_offset, x_row, x_step, panels, panel_offset, width, depth, start, start_offset,
            out, out_offset, out_row, n_rows, n_columns, accumulate, floor, gate, gated,
            ahead_offset, ahead_step, next_x, next_x_offset, next_x_row, next_x_step, prefetching,
        )  # fmt: skip
