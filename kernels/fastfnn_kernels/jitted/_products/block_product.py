"""A dense product for one block of rows, computed tile by tile by one thread."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inline
from fastfnn_kernels.jitted._products.loops import copy
from fastfnn_kernels.jitted._products.panels import width_of_panel
from fastfnn_kernels.jitted._products.tile_product import (
    DEPTH_CHUNK,
    TILE_ROWS,
    TILE_VECTORS,
    VECTOR_BYTES,
    multiply_tile,
    number_of_tiles,
)

# Rows in a block, which one thread computes. Their inputs stay in cache while the panels are streamed.
TILES_OF_BLOCK = 4

BLOCK_ROWS = TILES_OF_BLOCK * TILE_ROWS


@inline
def multiply_block(
    x: Any,
    copies: Any,
    panels: Any,
    start: Any,
    zeros: Any,
    floor: float,
    gate: Any,
    gated: bool,
    out: Any,
    first_row: int,
    end_row: int,
    first_panel: int,
    end_panel: int,
) -> None:
    """Compute some rows of some panels; first copy the rows if `copies` has room for them.

    The tiles of the last panel prefetch the next chunk of the rows, or the rows of the next block.
    """
    depth, n_columns = x.shape[1], out.shape[1]
    lanes = VECTOR_BYTES // out.itemsize
    wide = TILE_VECTORS * lanes
    copying = copies.shape[0] > 0
    source, source_row = (copies, copies.shape[1]) if copying else (x, depth)
    n_tiles = number_of_tiles(end_row - first_row)
    for k in range(0, max(depth, 1), DEPTH_CHUNK):
        chunk = min(DEPTH_CHUNK, depth - k)
        first_chunk, last_chunk = k == 0, k + chunk == depth
        next_row, next_k = (end_row, 0) if last_chunk else (first_row, k + chunk)
        if copying:
            for row in range(first_row, end_row):
                copy(x[row, k : k + chunk], copies[row - first_row])
        source_offset = 0 if copying else first_row * depth + k
        for panel in range(first_panel, end_panel):
            j, width = panel * wide, width_of_panel(panel, n_columns, wide, lanes)
            panel_offset = j * depth + k * width
            next_offset = panel_offset + (width * depth if panel + 1 < end_panel else 0)
            prefetching = panel + 1 == end_panel and next_row < x.shape[0]
            for tile in range(n_tiles):
                row = first_row + tile * TILE_ROWS
                multiply_tile(
                    source, source_offset + (row - first_row) * source_row, source_row, 1,
                    panels, panel_offset, width, chunk,
                    start if first_chunk else zeros, j if first_chunk else 0, out, row * n_columns + j,
                    min(TILE_ROWS, end_row - row), min(width, n_columns - j),
                    not first_chunk, floor if last_chunk else -np.inf, gate, last_chunk and gated,
                    next_offset, tile, n_tiles,
                    x, (next_row + tile * TILE_ROWS) * depth + next_k, depth, 1, prefetching,
                )  # fmt: skip
