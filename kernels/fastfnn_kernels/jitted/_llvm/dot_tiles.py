"""Products with too few columns to fill a vector: here the vectors run along the reduction instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.extending import intrinsic

from fastfnn_kernels.jitted._compile.jit import inline
from fastfnn_kernels.jitted._llvm.dense_tiles import rows_of_a
from fastfnn_kernels.jitted._llvm.operands import Columns, Fields, Operand, Target, ptr, tile_code
from fastfnn_kernels.jitted._llvm.tile_shapes import DOT_TILE
from fastfnn_kernels.jitted._llvm.vectors import INT64, VectorBuilder, constant, existing

DOT_ROWS, FEW_OUTPUTS = DOT_TILE.rows, DOT_TILE.vectors


def _emit_dot_tile(vec: VectorBuilder, a: Fields, columns: Fields, c: Fields) -> None:
    builder, depth, n_rows, n_columns = vec.ir, columns.number("depth"), c.number("n_rows"), c.number("n_columns")
    start, b, targets = (
        columns.pointer_at("start", constant(0)),
        columns.pointer_at("values", constant(0)),
        c.pointer(),
    )
    a_rows = rows_of_a(vec, a, n_rows, DOT_ROWS)
    b_rows = [builder.gep(b, [builder.mul(j, depth)]) for j in existing(builder, n_columns, FEW_OUTPUTS)]

    def add_products(sums: Sequence[Any], load: Callable[[Any], Any]) -> list[Any]:
        b_vectors = [load(row) for row in b_rows]
        pairs = [(a_vector, b_vector) for a_vector in map(load, a_rows) for b_vector in b_vectors]
        return [vec.multiply_add(*pair, total) for pair, total in zip(pairs, sums, strict=True)]

    whole = builder.mul(builder.sdiv(depth, constant(vec.lanes)), constant(vec.lanes))
    sums = _sum_of_whole_vectors(vec, whole, add_products)
    mask = vec.mask_below(builder.sub(depth, whole))
    totals = add_products(sums, lambda row: vec.load_masked(row, whole, mask))
    for i in range(DOT_ROWS):
        for j in range(FEW_OUTPUTS):
            exists = builder.and_(
                builder.icmp_signed("<", constant(i), n_rows),
                builder.icmp_signed("<", constant(j), n_columns),
            )
            with builder.if_then(exists):
                total = vec.sum_of_lanes(totals[i * FEW_OUTPUTS + j], builder.load(builder.gep(start, [constant(j)])))
                place = builder.add(builder.mul(constant(i), c.number("row")), constant(j))
                builder.store(total, builder.gep(targets, [place]))


def _sum_of_whole_vectors(vec: VectorBuilder, whole: Any, add_products: Callable[..., list[Any]]) -> list[Any]:
    """Emit the loop over the first `whole` numbers of each row, a multiple of the vector width."""
    builder = vec.ir
    entry, nothing = builder.block, ir.Constant(vec.type, None)
    loop, done = builder.append_basic_block("dot"), builder.append_basic_block("dotted")
    builder.cbranch(builder.icmp_signed(">", whole, constant(0)), loop, done)

    builder.position_at_end(loop)
    k = builder.phi(INT64)
    sums = [builder.phi(vec.type) for _ in range(DOT_ROWS * FEW_OUTPUTS)]
    updated = add_products(sums, lambda row: vec.load(row, k))
    following = builder.add(k, constant(vec.lanes))
    k.add_incoming(constant(0), entry)
    k.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, whole), loop, done)

    builder.position_at_end(done)
    results = [builder.phi(vec.type) for _ in sums]
    for total, result, value in zip(sums, results, updated, strict=True):
        for phi in (total, result):
            phi.add_incoming(nothing, entry)
            phi.add_incoming(value, loop)
    return results


@intrinsic
def dot_tile(typing, a, columns, c):
    """Compute C[i, j] = start[j] + sum_k A[i, k] B[k, j] for an A whose rows are contiguous.

    Each output consists of one chain of multiply-adds for each lane of a vector. The same numbers give the same bits,
    wherever a row is in the matrix.
    """
    return tile_code((a, columns, c), _emit_dot_tile)


@inline
def multiply_by_columns(x: Any, columns: Any, start: Any, out: Any) -> None:
    """Compute x w + start for a w with few columns, which are stored contiguously in `columns`."""
    n_rows, depth = x.shape
    n_columns = out.shape[1]
    of_w = Columns(ptr(columns), ptr(start), depth)
    for row in range(0, n_rows, DOT_ROWS):
        c = Target(ptr(out), row * n_columns, n_columns, min(DOT_ROWS, n_rows - row), n_columns)
        dot_tile(Operand(ptr(x), row * depth, depth, 1), of_w, c)
