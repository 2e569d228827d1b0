"""Moving blocks of a matrix: packing into panels, sums of columns, and prefetching."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from fastfnn_kernels.jitted._llvm.tile_shapes import SPARSE_TAIL_VECTORS, SPARSE_TILE, TILE
from fastfnn_kernels.jitted._llvm.vectors import (
    INT64,
    Arguments,
    Load,
    Store,
    VectorBuilder,
    code_of,
    constant,
    signature_of,
    whole_or_masked,
)

_PREFETCH = ("a", "a_offset", "a_row", "n_rows", "n_columns")
_ROWS = ("a", "a_offset", "a_row", "n_rows", "n_columns", "c", "c_offset", "c_row")
_PANEL = ("a", "a_offset", "a_row", "n_rows", "n_columns", "c", "c_offset")


def _emit_panel_copy(arguments: Arguments, vectors: int) -> None:
    vec, value = arguments.vec, arguments.value
    builder = vec.ir
    a, c = arguments.pointer("a"), arguments.pointer("c")

    def copy_rows(load: Load, store: Store) -> None:
        with cgutils.for_range(builder, value("n_rows")) as k:
            source = builder.gep(a, [builder.mul(k.index, value("a_row"))])
            target = builder.gep(c, [builder.mul(k.index, constant(vectors * vec.lanes))])
            for v in range(vectors):
                vec.store(load(source, v), target, constant(v * vec.lanes))

    whole_or_masked(vec, value("n_columns"), vectors, copy_rows)


def _emit_transposed_copy(arguments: Arguments, vectors: int) -> None:
    vec, value = arguments.vec, arguments.value
    builder = vec.ir
    a, c = arguments.pointer("a"), arguments.pointer("c")
    lanes = constant(vec.lanes)

    def row_of_a(i: int, first: Any, k: Any) -> Any:
        return builder.gep(a, [builder.add(builder.mul(builder.add(first, constant(i)), value("a_row")), k)])

    def row_of_c(i: int, first: Any, k: Any) -> Any:
        width = constant(vectors * vec.lanes)
        return builder.gep(c, [builder.add(builder.mul(builder.add(k, constant(i)), width), first)])

    def copy_block(first: Any, k: Any) -> None:
        rows = [vec.load(row_of_a(i, first, k), constant(0)) for i in range(vec.lanes)]
        for i, row in enumerate(_transposed(vec, rows)):
            vec.store(row, row_of_c(i, first, k), constant(0))

    def copy_part_of_block(first: Any, k: Any, n_rows: Any, n_columns: Any) -> None:
        rows = []
        for i in range(vec.lanes):
            exists = builder.icmp_signed("<", constant(i), n_rows)
            mask = vec.mask_below(builder.select(exists, n_columns, constant(0)))
            rows.append(vec.load_masked(row_of_a(i, first, k), constant(0), mask))
        for i, row in enumerate(_transposed(vec, rows)):
            with builder.if_then(builder.icmp_signed("<", constant(i), n_columns)):
                vec.store(row, row_of_c(i, first, k), constant(0))

    width = constant(vectors * vec.lanes)
    with (
        cgutils.for_range_slice(builder, constant(0), width, lanes) as (first, _),
        cgutils.for_range_slice(builder, constant(0), value("n_columns"), lanes) as (k, _),
    ):
        n_rows, n_columns = builder.sub(value("n_rows"), first), builder.sub(value("n_columns"), k)
        whole = builder.and_(builder.icmp_signed(">=", n_rows, lanes), builder.icmp_signed(">=", n_columns, lanes))
        with builder.if_else(whole, likely=True) as (all_of_it, part_of_it):
            with all_of_it:
                copy_block(first, k)
            with part_of_it:
                copy_part_of_block(first, k, n_rows, n_columns)


def _transposed(vec: VectorBuilder, rows: list[Any]) -> list[Any]:
    """Emit the transposition of a square of vectors, by swapping blocks of 1, 2, 4, ... rows and lanes.

    In each round, two rows whose numbers differ in a single bit exchange the lanes whose numbers have the other value
    of that bit.
    """
    distance = 1
    while distance < vec.lanes:
        swapped = list(rows)
        for i in range(vec.lanes):
            if not i & distance:
                upper, lower = rows[i], rows[i + distance]
                kept = [lane & distance == 0 for lane in range(vec.lanes)]
                swapped[i] = vec.pick(
                    upper, lower, [lane if keep else vec.lanes + lane - distance for lane, keep in enumerate(kept)]
                )
                swapped[i + distance] = vec.pick(
                    upper, lower, [lane + distance if keep else vec.lanes + lane for lane, keep in enumerate(kept)]
                )
        rows = swapped
        distance *= 2
    return rows


def _emit_column_sums(arguments: Arguments, vectors: int) -> None:
    vec, value = arguments.vec, arguments.value
    builder = vec.ir
    a, c = arguments.pointer("a"), arguments.pointer("c")

    def add_up(load: Load, store: Store) -> None:
        entry = builder.block
        loop, done = builder.append_basic_block("add"), builder.append_basic_block("added")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(INT64)
        sums = [builder.phi(vec.type) for _ in range(vectors)]
        row = builder.gep(a, [builder.mul(k, value("a_row"))])
        following = [builder.fadd(load(row, v), total) for v, total in enumerate(sums)]
        next_k = builder.add(k, constant(1))
        for phi, first, after in zip(
            [k, *sums], [constant(0), *[ir.Constant(vec.type, None)] * vectors], [next_k, *following], strict=True
        ):
            phi.add_incoming(first, entry)
            phi.add_incoming(after, loop)
        builder.cbranch(builder.icmp_signed("<", next_k, value("n_rows")), loop, done)
        builder.position_at_end(done)
        for v, total in enumerate(following):
            store(builder.fadd(load(c, v), total), c, v)

    with builder.if_then(builder.icmp_signed(">", value("n_rows"), constant(0))):
        whole_or_masked(vec, value("n_columns"), vectors, add_up)


def _emit_prefetch(arguments: Arguments) -> None:
    vec, value = arguments.vec, arguments.value
    builder = vec.ir
    a = arguments.pointer("a")
    line = constant(vec.line)
    with cgutils.for_range(builder, value("n_rows")) as k:
        row = builder.gep(a, [builder.mul(k.index, value("a_row"))])
        with cgutils.for_range_slice(builder, constant(0), value("n_columns"), line) as (column, _):
            vec.prefetch(builder.gep(row, [column]))


def _emit_row_copy(arguments: Arguments) -> None:
    vec, value = arguments.vec, arguments.value
    builder = vec.ir
    a, c, n_columns, lanes = arguments.pointer("a"), arguments.pointer("c"), value("n_columns"), constant(vec.lanes)
    last = builder.sub(n_columns, lanes)  # the last vector may overlap the one before it
    mask = vec.mask_below(n_columns)
    with cgutils.for_range(builder, value("n_rows")) as k:
        source = builder.gep(a, [builder.mul(k.index, value("a_row"))])
        target = builder.gep(c, [builder.mul(k.index, value("c_row"))])
        with builder.if_else(builder.icmp_signed(">=", last, constant(0)), likely=True) as (several, part_of_one):
            with several:
                with cgutils.for_range_slice(builder, constant(0), last, lanes) as (column, _):
                    vec.store(vec.load(source, column), target, column)
                vec.store(vec.load(source, last), target, last)
            with part_of_one:
                vec.store_masked(vec.load_masked(source, constant(0), mask), target, constant(0), mask)


@intrinsic
def copy_rows(typing, a, a_offset, a_row, n_rows, n_columns, c, c_offset, c_row):
    """Copy the first `n_columns` columns of some rows of A to rows of C."""
    given = (a, a_offset, a_row, n_rows, n_columns, c, c_offset, c_row)
    return signature_of(_ROWS, given), code_of(_ROWS, _emit_row_copy)


def make_transfer(emit: Callable[[Arguments, int], None], vectors: int) -> Any:
    """Build an intrinsic that moves `n_rows` x `n_columns` numbers from A to C, which has rows of `vectors` vectors.

    `emit` determines the operation. It may copy the rows and pad them with zeros after the last column, transpose
    them and pad with zeros after the last row, or add their sums to a single row, as one chain for each column.
    """

    @intrinsic
    def transfer(typing, a, a_offset, a_row, n_rows, n_columns, c, c_offset):
        given = (a, a_offset, a_row, n_rows, n_columns, c, c_offset)
        return signature_of(_PANEL, given), code_of(_PANEL, emit, vectors)

    return transfer


@intrinsic
def prefetch_rows(typing, a, a_offset, a_row, n_rows, n_columns):
    """Prefetch the first `n_columns` columns of some rows of A."""
    given = (a, a_offset, a_row, n_rows, n_columns)
    return signature_of(_PREFETCH, given), code_of(_PREFETCH, _emit_prefetch)


copy_panel = make_transfer(_emit_panel_copy, TILE.vectors)
copy_narrow_panel = make_transfer(_emit_panel_copy, 1)
copy_transposed_panel = make_transfer(_emit_transposed_copy, TILE.vectors)
copy_narrow_transposed_panel = make_transfer(_emit_transposed_copy, 1)
copy_sparse_panel = make_transfer(_emit_panel_copy, SPARSE_TILE.vectors)
copy_sparse_tail_panel = make_transfer(_emit_panel_copy, SPARSE_TAIL_VECTORS)
add_column_sums = make_transfer(_emit_column_sums, TILE.vectors)
