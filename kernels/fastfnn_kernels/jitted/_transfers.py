"""Moving blocks of a matrix: copies into panels, sums of columns, and what is fetched ahead."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from fastfnn_kernels.jitted._shapes import SPARSE_TAIL_VECTORS, SPARSE_TILE, TILE
from fastfnn_kernels.jitted._vectors import (
    INT32,
    INT64,
    Arguments,
    Load,
    Store,
    code_of,
    constant,
    signature_of,
    whole_or_masked,
)

CACHE_LINE = 64

_PREFETCH = ("a", "a_offset", "a_row", "n_rows", "n_columns")
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
    builder, value = arguments.vec.ir, arguments.value
    a = arguments.pointer("a")
    byte_pointer = ir.IntType(8).as_pointer()
    signature = ir.FunctionType(ir.VoidType(), [byte_pointer, INT32, INT32, INT32])
    prefetch = cgutils.get_or_insert_function(builder.module, signature, "llvm.prefetch.p0")
    to_read, into_second_cache, of_data = (ir.Constant(INT32, code) for code in (0, 2, 1))
    line = constant(CACHE_LINE // arguments.vec.itemsize)
    with cgutils.for_range(builder, value("n_rows")) as k:
        row = builder.gep(a, [builder.mul(k.index, value("a_row"))])
        with cgutils.for_range_slice(builder, constant(0), value("n_columns"), line) as (column, _):
            address = builder.bitcast(builder.gep(row, [column]), byte_pointer)
            builder.call(prefetch, [address, to_read, into_second_cache, of_data])


def make_panel_copy(vectors: int) -> Any:
    """Build the copy of the first `n_columns` columns of A to rows of `vectors` vectors, with zeros behind them."""

    @intrinsic
    def copy_panel(typing, a, a_offset, a_row, n_rows, n_columns, c, c_offset):
        given = (a, a_offset, a_row, n_rows, n_columns, c, c_offset)
        return signature_of(_PANEL, given), code_of(_PANEL, _emit_panel_copy, vectors)

    return copy_panel


def make_column_sums(vectors: int) -> Any:
    """Build the sum C[j] += sum_k A[k, j] over the first `n_columns` columns of A, one chain for each."""

    @intrinsic
    def add_column_sums(typing, a, a_offset, a_row, n_rows, n_columns, c, c_offset):
        given = (a, a_offset, a_row, n_rows, n_columns, c, c_offset)
        return signature_of(_PANEL, given), code_of(_PANEL, _emit_column_sums, vectors)

    return add_column_sums


@intrinsic
def prefetch_rows(typing, a, a_offset, a_row, n_rows, n_columns):
    """Ask for the first `n_columns` columns of some rows of A, which will be read soon, without waiting for them."""
    given = (a, a_offset, a_row, n_rows, n_columns)
    return signature_of(_PREFETCH, given), code_of(_PREFETCH, _emit_prefetch)


copy_panel = make_panel_copy(TILE.vectors)
copy_narrow_panel = make_panel_copy(1)
copy_sparse_panel = make_panel_copy(SPARSE_TILE.vectors)
copy_sparse_tail_panel = make_panel_copy(SPARSE_TAIL_VECTORS)
add_column_sums = make_column_sums(TILE.vectors)
