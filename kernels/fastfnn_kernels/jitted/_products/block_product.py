"""A dense product for one block of rows, computed tile by tile by one thread."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastfnn_kernels.jitted._compile.jit import force_inline, uncounted
from fastfnn_kernels.jitted._llvm.dense_tiles import narrow_short_tile, short_tile
from fastfnn_kernels.jitted._llvm.operands import Ahead, Finish, Gate, Operand, Panel, Target, ptr
from fastfnn_kernels.jitted._llvm.panel_tiles import narrow_panel_tile, panel_tile
from fastfnn_kernels.jitted._llvm.tile_shapes import SHORT_ROWS
from fastfnn_kernels.jitted._llvm.transfers import copy_rows
from fastfnn_kernels.jitted._products.panels import width_of_panel
from fastfnn_kernels.jitted._products.tasks import share_of
from fastfnn_kernels.jitted._products.tile_product import (
    DEPTH_CHUNK,
    TILE_ROWS,
    TILE_VECTORS,
    VECTOR_BYTES,
    number_of_tiles,
)

# Rows in a block of the kernels that compute several layers for one block after another.
TILES_OF_BLOCK = 4

BLOCK_ROWS = TILES_OF_BLOCK * TILE_ROWS


class Product(NamedTuple):
    """A product of x with a packed matrix, and what follows it."""

    x: Any
    panels: Any
    matrix: Any  # not packed, where the first panels are read
    n_in_place: Any  # panels that are not packed
    start: Any  # the first number of each sum, padded to the end of the last panel
    zeros: Any  # as many as a panel has columns
    floor: Any
    gate: Any  # like `out`, see `operands.Gate`; it is read even if it is not used
    gated: Any
    out: Any


@uncounted
def multiply_block(
    product: Product, copies: Any, first_row: int, end_row: int, first_panel: int, end_panel: int
) -> None:
    """Compute some rows of some panels; first copy the rows if `copies` has room for them.

    Each panel's tiles prefetch a share of the next chunk of the rows, or of the rows of the next block.
    """
    x, out = product.x, product.out
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
            copy_rows(x, first_row * depth + k, depth, end_row - first_row, chunk, copies, 0, source_row)
        source_offset = 0 if copying else first_row * depth + k
        for panel in range(first_panel, end_panel):
            j, width = panel * wide, width_of_panel(panel, n_columns, wide, lanes)
            panel_offset = j * depth + k * width
            next_offset = panel_offset + (width * depth if panel + 1 < end_panel else 0)
            panel_step = (width + n_tiles - 1) // max(n_tiles, 1) if panel + 1 >= product.n_in_place else 0
            first_ahead, end_ahead = share_of(TILE_ROWS, panel - first_panel, end_panel - first_panel)
            if next_row >= x.shape[0]:
                end_ahead = first_ahead
            start, start_offset = (product.start, j) if first_chunk else (product.zeros, 0)
            b = Panel(ptr(product.panels), panel_offset, width, chunk)
            if panel < product.n_in_place:
                b = Panel(ptr(product.matrix), k * n_columns + j, n_columns, chunk)
            finish = Finish(ptr(start), start_offset, not first_chunk, product.floor if last_chunk else -np.inf)
            gate = Gate(ptr(product.gate), last_chunk and product.gated)
            for tile in range(n_tiles):
                row = first_row + tile * TILE_ROWS
                n_rows, existing = min(TILE_ROWS, end_row - row), min(width, n_columns - j)
                a = Operand(ptr(source), source_offset + (row - first_row) * source_row, source_row, 1)
                c = Target(ptr(out), row * n_columns + j, n_columns, n_rows, existing)
                next_a = (next_row + tile * TILE_ROWS) * depth + next_k
                panel_ahead = next_offset + tile * chunk * panel_step
                ahead = Ahead(panel_ahead, panel_step, ptr(x), next_a, depth, 1, first_ahead, end_ahead)
                if n_rows < TILE_ROWS:
                    multiply_last_rows(a, b, c, finish, gate, width > lanes)
                elif width > lanes:
                    panel_tile(a, b, c, finish, gate, ahead)
                else:
                    narrow_panel_tile(a, b, c, finish, gate, ahead)


@force_inline
def multiply_last_rows(a: Operand, b: Panel, c: Target, finish: Finish, gate: Gate, is_wide: bool) -> None:
    """Compute the rows that do not fill a tile, in short tiles."""
    for row in range(0, c.n_rows, SHORT_ROWS):
        rows = Operand(a.values, a.offset + row * a.row, a.row, a.step)
        n_rows = min(SHORT_ROWS, c.n_rows - row)
        target = Target(c.values, c.offset + row * c.row, c.row, n_rows, c.n_columns)
        if is_wide:
            short_tile(rows, b, target, finish, gate)
        else:
            narrow_short_tile(rows, b, target, finish, gate)
