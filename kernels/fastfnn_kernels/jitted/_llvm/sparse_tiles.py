"""Micro-kernels of products with packed groups of sparse rows, in which indices select the rows of an operand.

As in `dense_tiles`, the data that is used again stays in registers: the accumulators, or the vectors of one operand.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from fastfnn_kernels.jitted._llvm.dense_tiles import loads_of_b
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
    Arguments,
    Load,
    Store,
    VectorBuilder,
    code_of,
    constant,
    existing,
    overlapped_or_masked,
    signature_of,
)

EXTENT_AND_FINISH = ("n_rows", "n_columns", "accumulate", "floor")
_SPARSE = (
    "a", "a_offset", "indices", "indices_offset", "b", "b_offset", "b_row", "depth", "start", "start_offset",
    "order", "order_offset", "c", "c_offset", "c_row", *EXTENT_AND_FINISH,
)  # fmt: skip
_SCATTERING = (
    "a", "a_offset", "indices", "indices_offset", "depth", "order", "order_offset", "b", "b_offset", "b_row",
    "c", "c_offset", "c_row", "n_rows", "n_columns",
)  # fmt: skip


def _emit_sparse_tile(arguments: Arguments, rows: int, vectors: int, *, masked: bool) -> None:
    vec, value, pointer = arguments.vec, arguments.value, arguments.pointer
    builder = vec.ir
    a, b, indices, start = pointer("a"), pointer("b"), pointer("indices"), pointer("start")
    order, c = pointer("order"), pointer("c")
    load_b = loads_of_b(vec, value("n_columns"), vectors, masked=masked)
    offsets = [constant(v * vec.lanes) for v in range(vectors)]
    last = builder.sub(builder.sub(arguments.size("indices"), value("indices_offset")), constant(1))

    def row_of_b(k: Any) -> Any:
        if ENTRIES_AHEAD:
            later = builder.add(k, constant(ENTRIES_AHEAD))
            later = builder.select(builder.icmp_signed("<", later, last), later, last)
            _prefetch_row(vec, _row_at(builder, b, indices, later, value("b_row")), offsets)
        return _row_at(builder, b, indices, k, value("b_row"))

    _prefetch_next_rows(arguments, c, order, rows, offsets)
    tile = reduce_tile(
        vec,
        value("depth"),
        [builder.gep(a, [constant(i)]) for i in range(rows)],
        constant(rows),
        row_of_b,
        load_b,
        (constant(0), sums_of([vec.load(start, constant(v * vec.lanes)) for v in range(vectors)], rows)),
    )
    store_rows(
        vec,
        tile,
        lambda i: _row_at(builder, c, order, constant(i), value("c_row")),
        None,
        *map(value, EXTENT_AND_FINISH),
    )


def _emit_scattering_tile(arguments: Arguments, rows: int, vectors: int) -> None:
    vec, value, pointer = arguments.vec, arguments.value, arguments.pointer
    builder = vec.ir
    a, b, indices, order, c = map(pointer, ("a", "b", "indices", "order", "c"))
    b_rows = [
        _row_at(builder, b, order, number, value("b_row")) for number in existing(builder, value("n_rows"), rows)
    ]

    def scatter(n_vectors: int, load: Load, store: Store) -> None:
        b_vectors = [[load(b_row, v) for v in range(n_vectors)] for b_row in b_rows]
        with cgutils.for_range(builder, value("depth")) as k:
            target = _row_at(builder, c, indices, k.index, value("c_row"))
            entry = builder.gep(a, [builder.mul(k.index, constant(rows))])
            numbers = [vec.broadcast(builder.load(builder.gep(entry, [constant(i)]))) for i in range(rows)]

            def add_products(v: int, total: Any) -> Any:
                for number, b_row in zip(numbers, b_vectors, strict=True):
                    total = vec.multiply_add(number, b_row[v], total)
                return total

            *alone, last = range(n_vectors)
            for v in alone[:-1]:
                store(add_products(v, load(target, v)), target, v)
            overlapping = [*alone[-1:], last]
            for v, total in [(v, load(target, v)) for v in overlapping]:
                store(add_products(v, total), target, v)

    overlapped_or_masked(vec, value("n_columns"), vectors, scatter)


def _prefetch_next_rows(arguments: Arguments, c: Any, order: Any, rows: int, offsets: list[ir.Constant]) -> None:
    """Emit prefetches of the next group's rows of C."""
    builder = arguments.vec.ir
    last = builder.sub(builder.sub(arguments.size("order"), arguments.value("order_offset")), constant(1))
    for number in range(rows, 2 * rows):
        following = builder.select(builder.icmp_signed("<", constant(number), last), constant(number), last)
        row = _row_at(builder, c, order, following, arguments.value("c_row"))
        for offset in offsets:
            arguments.vec.prefetch(builder.gep(row, [offset]))


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

    Row i of the tile is row `order[i]` of C. B's rows are read in whole vectors or, if `masked`, only the first
    `n_columns` columns.
    """

    @intrinsic
    def sparse_tile(
        typing, a, a_offset, indices, indices_offset, b, b_offset, b_row, depth, start, start_offset,
        order, order_offset, c, c_offset, c_row, n_rows, n_columns, accumulate, floor,
    ):  # fmt: skip
        given = (a, a_offset, indices, indices_offset, b, b_offset, b_row, depth, start, start_offset,
                 order, order_offset, c, c_offset, c_row, n_rows, n_columns, accumulate, floor)  # fmt: skip
        return signature_of(_SPARSE, given), code_of(_SPARSE, _emit_sparse_tile, rows, vectors, masked=masked)

    return sparse_tile


def make_scattering_tile(rows: int, vectors: int) -> Any:
    """Build the micro-kernel of the transposed product: C[indices[k]] += sum_i A[k, i] B[order[i]].

    The rows of B stay in registers while the rows of C are loaded and stored. Masked stores would take twice as long.
    """

    @intrinsic
    def scattering_tile(
        typing, a, a_offset, indices, indices_offset, depth, order, order_offset, b, b_offset, b_row,
        c, c_offset, c_row, n_rows, n_columns,
    ):  # fmt: skip
        given = (a, a_offset, indices, indices_offset, depth, order, order_offset, b, b_offset, b_row,
                 c, c_offset, c_row, n_rows, n_columns)  # fmt: skip
        return signature_of(_SCATTERING, given), code_of(_SCATTERING, _emit_scattering_tile, rows, vectors)

    return scattering_tile


sparse_tile = make_sparse_tile(SPARSE_TILE.rows, SPARSE_TILE.vectors)
sparse_tail_tile = make_sparse_tile(SPARSE_TILE.rows, SPARSE_TAIL_VECTORS)
masked_sparse_tile = make_sparse_tile(SPARSE_TILE.rows, 1, masked=True)
sparse_row_tile = make_sparse_tile(1, FEW_ROWS_VECTORS)
masked_sparse_row_tile = make_sparse_tile(1, 1, masked=True)
scattering_tile = make_scattering_tile(SPARSE_TILE.rows, SCATTERING_VECTORS)
