"""Register-blocked micro-kernels of dense products, written in LLVM's vector instructions.

A micro-kernel computes one tile of a product:

    C[i, j] = start[j] + sum_k A[i, k] B[k, j]         or, with `accumulate`,  C[i, j] += ...

During the reduction, `rows` x `vectors` accumulators stay in registers. Each step loads `vectors` vectors of B,
broadcasts `rows` numbers of A and does `rows * vectors` fused multiply-adds. Numbers below `floor` are replaced by
the floor before the tile is stored. `operands.py` describes the arguments.

Each output is a single chain of multiply-adds over ascending k, whatever the tile. The same numbers therefore give
the same bits, wherever a row or column is in a matrix.

Nothing outside an array is read or written. Rows past the last one repeat it and are not stored; columns past the
last one are masked.

The tiles here read B where it is. Those of packed panels, in `panel_tiles.py`, do the same, and prefetch.
"""

from __future__ import annotations

from typing import Any

from numba.extending import intrinsic

from fastfnn_kernels.jitted._llvm.operands import Fields, tile_code
from fastfnn_kernels.jitted._llvm.reduction import reduce_tile, sums_of
from fastfnn_kernels.jitted._llvm.tile_shapes import (
    COLUMN_ROWS,
    FEW_ROWS_VECTORS,
    FLAT_TILE,
    SHORT_COLUMN_ROWS,
    SHORT_ROWS,
    SPARSE_TILE,
    TILE,
)
from fastfnn_kernels.jitted._llvm.tile_store import store_tile
from fastfnn_kernels.jitted._llvm.vectors import Load, Store, VectorBuilder, constant, existing, whole_or_masked


def loads_of_b(vec: VectorBuilder, n_columns: Any, vectors: int, *, masked: bool) -> Load:
    """Return the function that loads a vector from a row of B; if `masked`, its first `n_columns` columns only."""
    offsets = [constant(v * vec.lanes) for v in range(vectors)]
    masks = [vec.mask_below(vec.ir.sub(n_columns, offset)) for offset in offsets] if masked else []

    def load_b(row: Any, v: int) -> Any:
        return vec.load_masked(row, offsets[v], masks[v]) if masked else vec.load(row, offsets[v])

    return load_b


def rows_of_a(vec: VectorBuilder, a: Fields, n_rows: Any, rows: int) -> list[Any]:
    """Return a pointer to each row of A; past the last row, it is repeated."""
    start, row = a.pointer(), a.number("row")
    return [vec.ir.gep(start, [vec.ir.mul(number, row)]) for number in existing(vec.ir, n_rows, rows)]


def _emit_dense_tile(
    vec: VectorBuilder,
    rows: int,
    vectors: int,
    masked: bool,
    a: Fields,
    b: Fields,
    c: Fields,
    finish: Fields,
    gate: Fields | None = None,
) -> None:
    builder = vec.ir
    matrix, start = b.pointer(), finish.pointer("start", "start_offset")
    tile = reduce_tile(
        vec,
        b.number("depth"),
        rows_of_a(vec, a, c.number("n_rows"), rows),
        a.number("step"),
        lambda k: builder.gep(matrix, [builder.mul(k, b.number("row"))]),
        loads_of_b(vec, c.number("n_columns"), vectors, masked=masked),
        (constant(0), sums_of([vec.load(start, constant(v * vec.lanes)) for v in range(vectors)], rows)),
    )
    store_tile(vec, tile, c, finish, gate)


def _emit_column_tile(
    vec: VectorBuilder, rows: int, a: Fields, b: Fields, c: Fields, finish: Fields, n_start: Any
) -> None:
    builder = vec.ir
    matrix, target = b.pointer(), c.pointer()
    a_rows = rows_of_a(vec, a, c.number("n_rows"), rows)
    c_rows = [
        builder.gep(target, [builder.mul(number, c.number("row"))])
        for number in existing(builder, c.number("n_rows"), rows)
    ]
    start = vec.load_masked(finish.pointer("start", "start_offset"), constant(0), vec.mask_below(n_start))
    floor = vec.broadcast(finish.real("floor", "start"))

    def multiply(load: Load, store: Store) -> None:
        tile = reduce_tile(
            vec,
            b.number("depth"),
            a_rows,
            a.number("step"),
            lambda k: builder.gep(matrix, [builder.mul(k, b.number("row"))]),
            load,
            (constant(0), sums_of([start], rows)),
        )
        # All results are computed before any is stored: repetitions of the last row then store the same numbers.
        totals = [
            builder.select(finish.flag("accumulate"), builder.fadd(load(c_row, 0), total), total)
            for c_row, (total,) in zip(c_rows, tile, strict=True)
        ]
        for c_row, total in zip(c_rows, totals, strict=True):
            store(vec.maximum(total, floor), c_row, 0)

    whole_or_masked(vec, c.number("n_columns"), 1, multiply)


def make_dense_tile(rows: int, vectors: int, *, masked: bool = False) -> Any:
    """Build the micro-kernel for a `rows` x `vectors` tile.

    It reads B's rows in whole vectors or, if `masked`, only the first `n_columns` columns.
    """

    @intrinsic
    def dense_tile(typing, a, b, c, finish):
        return tile_code((a, b, c, finish), _emit_dense_tile, rows, vectors, masked)

    return dense_tile


def make_gated_tile(rows: int, vectors: int) -> Any:
    """Build the micro-kernel for a `rows` x `vectors` tile with a gate; it reads B's rows in whole vectors."""

    @intrinsic
    def gated_tile(typing, a, b, c, finish, gate):
        return tile_code((a, b, c, finish, gate), _emit_dense_tile, rows, vectors, False)

    return gated_tile


def make_column_tile(rows: int) -> Any:
    """Build the micro-kernel for `rows` rows and at most one vector of columns.

    The accumulators start with the first `n_start` numbers of `start`, followed by zeros.
    """

    @intrinsic
    def column_tile(typing, a, b, c, finish, n_start):
        return tile_code((a, b, c, finish, n_start), _emit_column_tile, rows)

    return column_tile


flat_tile = make_dense_tile(FLAT_TILE.rows, FLAT_TILE.vectors)
flat_tail_tile = make_dense_tile(FLAT_TILE.rows, FLAT_TILE.vectors, masked=True)
row_tile = make_dense_tile(1, FEW_ROWS_VECTORS)
row_tail_tile = make_dense_tile(1, 1, masked=True)
column_tile = make_column_tile(COLUMN_ROWS)
short_column_tile = make_column_tile(SHORT_COLUMN_ROWS)
short_tile = make_gated_tile(SHORT_ROWS, TILE.vectors)
narrow_short_tile = make_gated_tile(SHORT_ROWS, 1)
group_tile = make_dense_tile(SPARSE_TILE.rows, SPARSE_TILE.vectors)
group_tail_tile = make_dense_tile(SPARSE_TILE.rows, 1, masked=True)
