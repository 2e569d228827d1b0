"""The weight gradient of a dense layer: x^T g and the column sums of g, summed in chunks of rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from fastfnn_kernels.jitted._compile.jit import Flag, In2, Int, Out1, Out2, kernel, uncounted
from fastfnn_kernels.jitted._llvm.dense_tiles import flat_tail_tile, flat_tile
from fastfnn_kernels.jitted._llvm.operands import Ahead, Finish, Gate, Operand, Panel, Target, ptr
from fastfnn_kernels.jitted._llvm.panel_tiles import columns_panel_tile, narrow_columns_panel_tile
from fastfnn_kernels.jitted._llvm.tile_shapes import FLAT_TILE
from fastfnn_kernels.jitted._llvm.transfers import add_column_sums, copy_rows
from fastfnn_kernels.jitted._llvm.vectors import CACHE_LINE
from fastfnn_kernels.jitted._products.block_product import multiply_last_rows
from fastfnn_kernels.jitted._products.loops import add
from fastfnn_kernels.jitted._products.panels import aligned_empty, fill_panel, number_of_panels, width_of_panel
from fastfnn_kernels.jitted._products.tasks import next_task, share_of
from fastfnn_kernels.jitted._products.tile_product import (
    ROW_CHUNK,
    TILE_ROWS,
    TILE_VECTORS,
    VECTOR_BYTES,
    number_of_tiles,
    rows_of_share,
)

FLAT_TILE_VECTORS = FLAT_TILE.vectors


@kernel
def add_products(
    x: In2,
    grad: In2,
    accumulate: Flag,
    n_threads: Int,
    span_rows: Int,
    input_parts: Int,
    panel_parts: Int,
    out: Out2,
    out_bias: Out1,
) -> None:
    """Write or add x^T g and the column sums of g; no sums if `out_bias` is empty.

    Threads wait for each other after each span of rows, and after its gradient is packed. See
    `division.divide_weight_gradient`.
    """
    n_rows, n_inputs = x.shape
    n_columns = out.shape[1]
    lanes = VECTOR_BYTES // out.itemsize
    wide = TILE_VECTORS * lanes
    n_panels = number_of_panels(n_columns, wide)
    zeros = np.zeros(wide, out.dtype)
    panels = aligned_empty(n_panels * wide * min(span_rows, n_rows), out.dtype)
    if not accumulate:
        out_bias[:] = 0
    sums = np.zeros((span_rows // ROW_CHUNK, n_columns), out.dtype)
    copying = n_panels > panel_parts
    widest = TILE_ROWS * ((number_of_tiles(n_inputs) + input_parts - 1) // input_parts)
    copies = np.empty((n_threads, ROW_CHUNK if copying else 0, widest + lanes), x.dtype)
    for span in range(0, max(n_rows, 1), span_rows):
        end_span = min(span + span_rows, n_rows)
        n_spanned = end_span - span
        n_chunks = (n_spanned + ROW_CHUNK - 1) // ROW_CHUNK
        sums[:] = 0
        for task in prange(n_panels * n_chunks):
            panel, chunk = task // n_chunks, task % n_chunks
            j, width = panel * wide, width_of_panel(panel, n_columns, wide, lanes)
            first, n_packed = chunk * ROW_CHUNK, min(ROW_CHUNK, n_spanned - chunk * ROW_CHUNK)
            offset = j * n_spanned + first * width
            fill_panel(grad, span + first, n_packed, j, width, panels, offset)
            if out_bias.size:
                packed = panels[offset : offset + n_packed * width].reshape((n_packed, width))
                add_sums_of_columns(packed, 0, n_packed, 0, min(width, n_columns - j), sums[chunk, j:])
        for chunk in range(n_chunks):
            add(sums[chunk, : out_bias.size], out_bias)
        gradient = Gradient(x, span, end_span, panels, zeros, accumulate or span > 0, out)
        counters = np.zeros(n_threads, np.int64)
        for worker in prange(n_threads):
            while True:
                task = next_task(counters, worker, input_parts * panel_parts)
                if task >= input_parts * panel_parts:
                    break
                first, end = rows_of_share(n_inputs, task // panel_parts, input_parts)
                first_panel, end_panel = share_of(n_panels, task % panel_parts, panel_parts)
                add_products_of_block(gradient, copies[worker], first, end, first_panel, end_panel)


class Gradient(NamedTuple):
    """The weight gradient of a span of rows."""

    x: Any
    span: Any
    end_span: Any
    panels: Any  # the rows of g
    zeros: Any  # as many as a panel has columns
    accumulate: Any
    out: Any


@uncounted
def add_products_of_block(
    gradient: Gradient, copies: Any, first: int, end: int, first_panel: int, end_panel: int
) -> None:
    """Compute the rows first:end of some panels of `out`; first copy the inputs if `copies` has room for them.

    Each panel's tiles prefetch a share of the inputs of the next chunk, or of the next block's first chunk.
    """
    x, span, end_span, out = gradient.x, gradient.span, gradient.end_span, gradient.out
    n_inputs, n_columns = x.shape[1], out.shape[1]
    lanes = VECTOR_BYTES // out.itemsize
    wide = TILE_VECTORS * lanes
    n_tiles = number_of_tiles(end - first)
    copying = copies.shape[0] > 0
    source, source_row = (copies, copies.shape[1]) if copying else (x, n_inputs)
    for row in range(span, max(end_span, span + 1), ROW_CHUNK):
        chunk = min(ROW_CHUNK, end_span - row)
        last_chunk = row + chunk == end_span
        next_row, next_first = (span, end) if last_chunk else (row + chunk, first)
        if copying:
            copy_rows(x, row * n_inputs + first, n_inputs, chunk, end - first, copies, 0, source_row)
        source_offset = 0 if copying else row * n_inputs + first
        finish = Finish(ptr(gradient.zeros), 0, gradient.accumulate or row > span, -np.inf)
        gate = Gate(ptr(out), False)
        for panel in range(first_panel, end_panel):
            j, width = panel * wide, width_of_panel(panel, n_columns, wide, lanes)
            panel_offset = j * (end_span - span) + (row - span) * width
            next_offset = panel_offset + (width * (end_span - span) if panel + 1 < end_panel else 0)
            panel_step = (width + n_tiles - 1) // max(n_tiles, 1)
            first_ahead, end_ahead = share_of(CACHE_LINE // x.itemsize, panel - first_panel, end_panel - first_panel)
            if next_first >= n_inputs:
                end_ahead = first_ahead
            b = Panel(ptr(gradient.panels), panel_offset, width, chunk)
            for tile in range(n_tiles):
                i = first + tile * TILE_ROWS
                a = Operand(ptr(source), source_offset + i - first, 1, source_row)
                c = Target(ptr(out), i * n_columns + j, n_columns, min(TILE_ROWS, end - i), min(width, n_columns - j))
                next_a = next_row * n_inputs + next_first + tile * TILE_ROWS
                ahead = Ahead(
                    next_offset + tile * chunk * panel_step, panel_step,
                    ptr(x), next_a, n_inputs, n_inputs, first_ahead, end_ahead,
                )  # fmt: skip
                if end - i < TILE_ROWS:
                    multiply_last_rows(a, b, c, finish, gate, width > lanes)
                elif width > lanes:
                    columns_panel_tile(a, b, c, finish, gate, ahead)
                else:
                    narrow_columns_panel_tile(a, b, c, finish, gate, ahead)


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
    n_chunks = (n_rows + ROW_CHUNK - 1) // ROW_CHUNK
    sums = np.zeros((n_chunks, out_bias.size), x.dtype)
    for worker in prange(n_threads):
        first_panel, end_panel = share_of(n_panels, worker, n_threads)
        first_chunk, end_chunk = share_of(n_chunks, worker, n_threads)
        for chunk in range(first_chunk, end_chunk):
            n_summed = min(ROW_CHUNK, n_rows - chunk * ROW_CHUNK)
            add_sums_of_columns(grad, chunk * ROW_CHUNK, n_summed, 0, out_bias.size, sums[chunk])
        for row in range(0, max(n_rows, 1), ROW_CHUNK):
            chunk = min(ROW_CHUNK, n_rows - row)
            for panel in range(first_panel, end_panel):
                j = panel * wide
                a = Operand(ptr(grad), row * n_columns, 1, n_columns)
                b = Panel(ptr(x), row * n_inputs + j, n_inputs, chunk)
                c = Target(ptr(out), j, n_inputs, n_columns, min(wide, n_inputs - j))
                finish = Finish(ptr(zeros), 0, accumulate or row > 0, -np.inf)
                if n_inputs - j >= wide:
                    flat_tile(a, b, c, finish)
                else:
                    flat_tail_tile(a, b, c, finish)
    for chunk in range(n_chunks):
        add(sums[chunk], out_bias)


@uncounted
def add_sums_of_columns(grad: Any, first_row: int, n_rows: int, first: int, end: int, out: Any) -> None:
    """Add the sums of the columns first:end, one chunk of rows after another."""
    n_columns, wide = grad.shape[1], TILE_VECTORS * (VECTOR_BYTES // grad.itemsize)
    for j in range(first, end, wide):
        for row in range(first_row, first_row + n_rows, ROW_CHUNK):
            n_summed = min(ROW_CHUNK, first_row + n_rows - row)
            add_column_sums(grad, row * n_columns + j, n_columns, n_summed, min(wide, end - j), out, j)
