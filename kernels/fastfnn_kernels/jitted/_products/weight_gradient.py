"""The weight gradient of a dense layer: x^T g and the column sums of g, summed in chunks of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from fastfnn_kernels.jitted._compile.jit import Flag, In2, Int, Out1, Out2, inline, kernel
from fastfnn_kernels.jitted._llvm.dense_tiles import flat_tail_tile, flat_tile
from fastfnn_kernels.jitted._llvm.tile_shapes import FLAT_TILE
from fastfnn_kernels.jitted._llvm.transfers import add_column_sums
from fastfnn_kernels.jitted._products.loops import copy
from fastfnn_kernels.jitted._products.panels import aligned_empty, fill_panel, number_of_panels, width_of_panel
from fastfnn_kernels.jitted._products.tasks import next_task, share_of
from fastfnn_kernels.jitted._products.tile_product import (
    CONFLICTING_BYTES,
    ROW_CHUNK,
    TILE_ROWS,
    TILE_VECTORS,
    VECTOR_BYTES,
    multiply_tile,
    number_of_tiles,
    rows_of_share,
)

# The weight gradient is divided into this number of blocks of inputs, or a multiple of it. It is even, so that two
# threads get equally many.
INPUT_BLOCKS = 4

# Maximum number of tiles in such a block. Its inputs stay in cache while the panels are streamed.
BLOCK_TILES = 10

# Rows between barriers in the weight gradient. Gradient rows of more than NARROW_BYTES fill the shared cache sooner,
# so they use a third of the span.
SPAN_ROWS = 6 * ROW_CHUNK
NARROW_BYTES = 2048

FLAT_TILE_VECTORS = FLAT_TILE.vectors


@kernel
def add_products(x: In2, grad: In2, accumulate: Flag, n_threads: Int, out: Out2, out_bias: Out1) -> None:
    """Write or add x^T g and the column sums of g; no sums if `out_bias` is empty."""
    n_rows, n_inputs = x.shape
    n_columns = out.shape[1]
    lanes = VECTOR_BYTES // out.itemsize
    wide = TILE_VECTORS * lanes
    n_panels = number_of_panels(n_columns, wide)
    zeros = np.zeros(wide, out.dtype)
    span_rows = SPAN_ROWS if n_columns * out.itemsize <= NARROW_BYTES else SPAN_ROWS // 3
    panels = aligned_empty(n_panels * wide * min(span_rows, n_rows), out.dtype)
    if not accumulate:
        out_bias[:] = 0

    most_tiles = INPUT_BLOCKS * BLOCK_TILES
    n_blocks = INPUT_BLOCKS * ((number_of_tiles(n_inputs) + most_tiles - 1) // most_tiles)
    conflicting = n_inputs * x.itemsize % CONFLICTING_BYTES == 0 and n_inputs > 0 and n_panels > 1
    copies = np.empty((n_threads, ROW_CHUNK if conflicting else 0, BLOCK_TILES * TILE_ROWS + lanes), x.dtype)
    for span in range(0, max(n_rows, 1), span_rows):
        end_span = min(span + span_rows, n_rows)
        n_spanned = end_span - span
        for panel in prange(n_panels):
            j, width = panel * wide, width_of_panel(panel, n_columns, wide, lanes)
            fill_panel(grad, span, n_spanned, j, width, panels, j * n_spanned)
            if out_bias.size:
                packed = panels[j * n_spanned : (j + width) * n_spanned].reshape((n_spanned, width))
                add_sums_of_columns(packed, 0, n_spanned, 0, min(width, n_columns - j), out_bias[j:])
        counters = np.zeros(n_threads, np.int64)
        for worker in prange(n_threads):
            while True:
                block = next_task(counters, worker, n_blocks)
                if block >= n_blocks:
                    break
                first, end = rows_of_share(n_inputs, block, n_blocks)
                add_products_of_block(
                    x, copies[worker], span, end_span, first, end, panels, zeros, accumulate or span > 0, out
                )


@inline
def add_products_of_block(
    x: Any,
    copies: Any,
    span: int,
    end_span: int,
    first: int,
    end: int,
    panels: Any,
    zeros: Any,
    accumulate: bool,
    out: Any,
) -> None:
    """Compute the rows first:end of `out` over a span of rows; first copy the inputs if `copies` has room for them.

    The tiles of the middle panel prefetch the inputs of the next chunk, or of the next block's first chunk.
    """
    n_inputs, n_columns = x.shape[1], out.shape[1]
    lanes = VECTOR_BYTES // out.itemsize
    wide = TILE_VECTORS * lanes
    n_panels = number_of_panels(n_columns, wide)
    n_tiles = number_of_tiles(end - first)
    copying = copies.shape[0] > 0
    source, source_row = (copies, copies.shape[1]) if copying else (x, n_inputs)
    for row in range(span, max(end_span, span + 1), ROW_CHUNK):
        chunk = min(ROW_CHUNK, end_span - row)
        adding = accumulate or row > span
        last_chunk = row + chunk == end_span
        next_row, next_first = (span, end) if last_chunk else (row + chunk, first)
        if copying:
            for k in range(chunk):
                copy(x[row + k, first:end], copies[k])
        source_offset = 0 if copying else row * n_inputs + first
        for panel in range(n_panels):
            j, width = panel * wide, width_of_panel(panel, n_columns, wide, lanes)
            panel_offset = j * (end_span - span) + (row - span) * width
            next_offset = panel_offset + (width * (end_span - span) if panel + 1 < n_panels else 0)
            prefetching = panel == n_panels // 2 and next_first < n_inputs
            for tile in range(n_tiles):
                i = first + tile * TILE_ROWS
                n_high, n_wide = min(TILE_ROWS, end - i), min(width, n_columns - j)
                multiply_tile(
                    source, source_offset + i - first, 1, source_row, panels, panel_offset, width, chunk, zeros, 0,
                    out, i * n_columns + j, n_high, n_wide, adding, -np.inf, out, False, next_offset, tile, n_tiles,
                    x, next_row * n_inputs + next_first + tile * TILE_ROWS, n_inputs, n_inputs, prefetching,
                )  # fmt: skip


@kernel
def add_few_columns(x: In2, grad: In2, accumulate: Flag, n_threads: Int, out: Out2, out_bias: Out1) -> None:
    """Write or add g^T x and the column sums of g. A tile has as many rows as g has columns; x is not packed."""
    n_rows, n_inputs = x.shape
    n_columns = grad.shape[1]
    lanes = VECTOR_BYTES // x.itemsize
    wide = FLAT_TILE_VECTORS * lanes
    n_panels = number_of_panels(n_inputs, wide)
    zeros = np.zeros(wide, x.dtype)
    if not accumulate:
        out_bias[:] = 0
    add_sums_of_columns(grad, 0, n_rows, 0, out_bias.size, out_bias)
    for worker in prange(n_threads):
        first_panel, end_panel = share_of(n_panels, worker, n_threads)
        for row in range(0, max(n_rows, 1), ROW_CHUNK):
            chunk = min(ROW_CHUNK, n_rows - row)
            for panel in range(first_panel, end_panel):
                j = panel * wide
                if n_inputs - j >= wide:
                    flat_tile(
                        grad, row * n_columns, 1, n_columns, x, row * n_inputs + j, n_inputs, chunk, zeros, 0,
                        out, j, n_inputs, n_columns, wide, accumulate or row > 0, -np.inf, out, False,
                    )  # fmt: skip
                else:
                    flat_tail_tile(
                        grad, row * n_columns, 1, n_columns, x, row * n_inputs + j, n_inputs, chunk, zeros, 0,
                        out, j, n_inputs, n_columns, n_inputs - j, accumulate or row > 0, -np.inf, out, False,
                    )  # fmt: skip


@inline
def add_sums_of_columns(grad: Any, first_row: int, n_rows: int, first: int, end: int, out: Any) -> None:
    """Add the sums of the columns first:end, one chunk of rows after another."""
    n_columns, wide = grad.shape[1], TILE_VECTORS * (VECTOR_BYTES // grad.itemsize)
    for j in range(first, end, wide):
        for row in range(first_row, first_row + n_rows, ROW_CHUNK):
            n_summed = min(ROW_CHUNK, first_row + n_rows - row)
            add_column_sums(grad, row * n_columns + j, n_columns, n_summed, min(wide, end - j), out, j)
