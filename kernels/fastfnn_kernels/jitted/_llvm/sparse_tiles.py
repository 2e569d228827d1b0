"""Micro-kernels of products with packed groups of sparse rows, in which indices select the rows of an operand.

As in `dense_tiles`, the data that is used again stays in registers: the accumulators, or the vectors of one operand.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from fastfnn_kernels.jitted._llvm.dense_tiles import loads_of_b
from fastfnn_kernels.jitted._llvm.operands import Fields, tile_code
from fastfnn_kernels.jitted._llvm.reduction import reduce_tile, sums_of
from fastfnn_kernels.jitted._llvm.tile_shapes import (
    ENTRIES_AHEAD,
    FEW_ROWS_VECTORS,
    SCATTERING_VECTORS,
    SPARSE_TAIL_VECTORS,
    SPARSE_TILE,
)
from fastfnn_kernels.jitted._llvm.tile_store import store_rows
from fastfnn_kernels.jitted._llvm.vectors import (
    INT64,
    Load,
    Store,
    VectorBuilder,
    constant,
    existing,
    overlapped_or_masked,
)


def _emit_sparse_tile(
    vec: VectorBuilder,
    rows: int,
    vectors: int,
    masked: bool,
    group: Fields,
    b: Fields,
    order: Fields,
    *result: Fields,
) -> None:
    builder, (c, finish) = vec.ir, result
    values, indices = _entries(vec, group, rows)
    matrix, b_row, start = b.pointer(), b.number("row"), finish.pointer("start", "start_offset")
    targets, numbers = c.pointer(), order.pointer("numbers")
    load_b = loads_of_b(vec, c.number("n_columns"), vectors, masked=masked)
    offsets = [constant(v * vec.lanes) for v in range(vectors)]
    last = builder.sub(builder.sub(group.number("n_entries"), group.number("first")), constant(1))

    def row_of_b(k: Any) -> Any:
        if ENTRIES_AHEAD:
            later = builder.add(k, constant(ENTRIES_AHEAD))
            later = builder.select(builder.icmp_signed("<", later, last), later, last)
            _prefetch_row(vec, _row_at(builder, matrix, indices, later, b_row), offsets)
        return _row_at(builder, matrix, indices, k, b_row)

    _prefetch_next_rows(vec, c, order, rows, offsets)
    tile = reduce_tile(
        vec,
        group.number("depth"),
        [builder.gep(values, [constant(i)]) for i in range(rows)],
        constant(rows),
        row_of_b,
        load_b,
        (constant(0), sums_of([vec.load(start, constant(v * vec.lanes)) for v in range(vectors)], rows)),
    )
    n_rows = c.number("n_rows")

    def row_of_c(i: int) -> Any:
        return _row_at(builder, targets, numbers, constant(i), c.number("row"))

    store_rows(vec, tile, row_of_c, None, n_rows, c, finish)


def _emit_scattering_tile(
    vec: VectorBuilder, rows: int, vectors: int, group: Fields, b: Fields, order: Fields, c: Fields
) -> None:
    builder = vec.ir
    values, indices = _entries(vec, group, rows)
    matrix, numbers, targets = b.pointer(), order.pointer("numbers"), c.pointer()
    b_rows = [
        _row_at(builder, matrix, numbers, number, b.number("row"))
        for number in existing(builder, b.number("depth"), rows)
    ]

    def scatter(n_vectors: int, load: Load, store: Store) -> None:
        b_vectors = [[load(b_row, v) for v in range(n_vectors)] for b_row in b_rows]
        with cgutils.for_range(builder, group.number("depth")) as k:
            target = _row_at(builder, targets, indices, k.index, c.number("row"))
            entry = builder.gep(values, [builder.mul(k.index, constant(rows))])
            factors = [vec.broadcast(builder.load(builder.gep(entry, [constant(i)]))) for i in range(rows)]

            def add_products(v: int, total: Any) -> Any:
                for factor, b_row in zip(factors, b_vectors, strict=True):
                    total = vec.multiply_add(factor, b_row[v], total)
                return total

            *alone, last = range(n_vectors)
            for v in alone[:-1]:
                store(add_products(v, load(target, v)), target, v)
            overlapping = [*alone[-1:], last]
            for v, total in [(v, load(target, v)) for v in overlapping]:
                store(add_products(v, total), target, v)

    overlapped_or_masked(vec, c.number("n_columns"), vectors, scatter)


def _entries(vec: VectorBuilder, group: Fields, rows: int) -> tuple[Any, Any]:
    """Return pointers to the values and to the index of a group's first entry."""
    first = group.number("first")
    return group.pointer_at("values", vec.ir.mul(first, constant(rows))), group.pointer_at("indices", first)


def _prefetch_next_rows(vec: VectorBuilder, c: Fields, order: Fields, rows: int, offsets: list[ir.Constant]) -> None:
    """Emit prefetches of the next group's rows of C."""
    builder, targets, numbers = vec.ir, c.pointer(), order.pointer("numbers")
    last = builder.sub(builder.sub(order.number("size"), order.number("offset")), constant(1))
    for number in range(rows, 2 * rows):
        following = builder.select(builder.icmp_signed("<", constant(number), last), constant(number), last)
        row = _row_at(builder, targets, numbers, following, c.number("row"))
        for offset in offsets:
            vec.prefetch(builder.gep(row, [offset]))


def _prefetch_row(vec: VectorBuilder, row: Any, offsets: list[ir.Constant]) -> None:
    """Emit prefetches of the vectors of a row into the first-level cache."""
    for offset in offsets:
        vec.prefetch(vec.ir.gep(row, [offset]), cache_level=1)


def _row_at(builder: ir.IRBuilder, base: Any, numbers: Any, k: Any, stride: Any) -> Any:
    """Return a pointer to a row of `base`; the row's number is `numbers[k]`."""
    number = builder.zext(builder.load(builder.gep(numbers, [k])), INT64)
    return builder.gep(base, [builder.mul(number, stride)])


def make_sparse_tile(rows: int, vectors: int, *, masked: bool = False) -> Any:
    """Build the micro-kernel of a packed group: its values A, (depth, rows), times the rows `indices` of B.

    Row i of the tile is row i of the `order` in C. B's rows are read in whole vectors or, if `masked`, only the first
    `n_columns` columns.
    """

    @intrinsic
    def sparse_tile(typing, group, b, order, c, finish):
        return tile_code((group, b, order, c, finish), _emit_sparse_tile, rows, vectors, masked)

    return sparse_tile


def make_scattering_tile(rows: int, vectors: int) -> Any:
    """Build the micro-kernel of the transposed product: C[indices[k]] += sum_i A[k, i] B[order[i]].

    B's `depth` is the number of rows in the group. They stay in registers while the rows of C are loaded and stored.
    Masked stores would take twice as long.
    """

    @intrinsic
    def scattering_tile(typing, group, b, order, c):
        return tile_code((group, b, order, c), _emit_scattering_tile, rows, vectors)

    return scattering_tile


sparse_tile = make_sparse_tile(SPARSE_TILE.rows, SPARSE_TILE.vectors)
sparse_tail_tile = make_sparse_tile(SPARSE_TILE.rows, SPARSE_TAIL_VECTORS)
masked_sparse_tile = make_sparse_tile(SPARSE_TILE.rows, 1, masked=True)
sparse_row_tile = make_sparse_tile(1, FEW_ROWS_VECTORS)
masked_sparse_row_tile = make_sparse_tile(1, 1, masked=True)
scattering_tile = make_scattering_tile(SPARSE_TILE.rows, SCATTERING_VECTORS)
