"""The sizes that dense products share: tiles, and the chunks of a reduction."""

from __future__ import annotations

from fastfnn_kernels.jitted._compile.jit import inline
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
