"""Storing a finished tile: sums are added to C or replace it, bounded below, and gated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir

from fastfnn_kernels.jitted._llvm.operands import Fields
from fastfnn_kernels.jitted._llvm.reduction import Sums
from fastfnn_kernels.jitted._llvm.vectors import VectorBuilder, constant


def store_tile(
    vec: VectorBuilder, tile: Sums, c: Fields, finish: Fields, gate: Fields | None = None, n_rows: Any = None
) -> None:
    """Emit the stores of the part of a tile that is inside the matrix; its rows may be a constant, `n_rows`."""
    builder = vec.ir
    target, c_row = c.pointer(), c.number("row")

    def row_at(base: Any) -> Callable[[int], Any]:
        return lambda i: builder.gep(base, [builder.mul(constant(i), c_row)])

    gates = (row_at(gate.pointer_at("values", c.number("offset"))), gate.flag("gated")) if gate else None
    store_rows(vec, tile, row_at(target), gates, n_rows or c.number("n_rows"), c, finish)


def store_rows(
    vec: VectorBuilder,
    tile: Sums,
    row_of_c: Callable[[int], Any],
    gate: tuple[Callable[[int], Any], Any] | None,
    n_rows: Any,
    c: Fields,
    finish: Fields,
) -> None:
    """Emit the stores of some rows, whose pointers `row_of_c` emits.

    `gate` is a pair: a function that emits the pointers to the gate's rows, and the flag `gated`.
    """
    builder, n_columns = vec.ir, c.number("n_columns")
    accumulate, floor = finish.flag("accumulate"), vec.broadcast(finish.real("floor", "start"))
    zero = ir.Constant(vec.type, None)
    row_of_gate, gated = gate or (row_of_c, ir.Constant(ir.IntType(1), 0))
    whole = builder.and_(
        builder.icmp_signed("==", n_rows, constant(len(tile))),
        builder.icmp_signed("==", n_columns, constant(len(tile[0]) * vec.lanes)),
    )

    def finished(value: Any, adding: bool, gating: bool, i: int, v: int, load: Callable[[Any, int], Any]) -> Any:
        total = vec.maximum(builder.fadd(load(row_of_c(i), v), value) if adding else value, floor)
        return (
            builder.select(builder.fcmp_ordered(">", load(row_of_gate(i), v), zero), total, zero) if gating else total
        )

    def offset(v: int) -> ir.Constant:
        return constant(v * vec.lanes)

    def store_all_of_it(adding: bool, gating: bool) -> None:
        for i, row in enumerate(tile):
            for v, value in enumerate(row):
                total = finished(value, adding, gating, i, v, lambda base, v: vec.load(base, offset(v)))
                vec.store(total, row_of_c(i), offset(v))

    def store_part_of_it() -> None:
        masks = [vec.mask_below(builder.sub(n_columns, offset(v))) for v in range(len(tile[0]))]

        def load(base: Any, v: int) -> Any:
            return vec.load_masked(base, offset(v), masks[v])

        for i, row in enumerate(tile):
            with builder.if_then(builder.icmp_signed("<", constant(i), n_rows)):
                for v, value in enumerate(row):
                    added = builder.select(accumulate, builder.fadd(load(row_of_c(i), v), value), value)
                    total = vec.maximum(added, floor)
                    is_open = builder.fcmp_ordered(">", load(row_of_gate(i), v), zero)
                    total = builder.select(gated, builder.select(is_open, total, zero), total)
                    vec.store_masked(total, row_of_c(i), offset(v), masks[v])

    with builder.if_else(whole, likely=True) as (all_of_it, part_of_it):
        with all_of_it:
            for adding, gating in _cases(builder, accumulate, gated):
                store_all_of_it(adding, gating)
        with part_of_it:
            store_part_of_it()


def _cases(builder: ir.IRBuilder, first: Any, second: Any) -> Iterator[tuple[bool, bool]]:
    """Yield each case of two conditions; the caller emits the code for each case into a separate branch."""
    with builder.if_else(first) as outer:
        for outer_branch, first_holds in zip(outer, (True, False), strict=True):
            with outer_branch, builder.if_else(second) as inner:
                for inner_branch, second_holds in zip(inner, (True, False), strict=True):
                    with inner_branch:
                        yield first_holds, second_holds
