"""The micro-kernels of large products: a tile whose B is a packed panel, followed by the next panel.

A whole tile is reduced in blocks of steps that span one cache line. Each block begins with its prefetches: of the
next panel, of the lines that the tile will store, and of the next A. The loop inside contains nothing but loads,
broadcasts, multiply-adds and its counters: 47 instructions for 28 multiply-adds with AVX-512, 23 for 12 with AVX2. A
CPU with two FMA units has no time for more. All rows of a tile exist: the last rows of a matrix, which do not fill a
tile, have shorter tiles in `dense_tiles.py`, without prefetches.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from fastfnn_kernels.jitted._llvm.operands import Fields, tile_code
from fastfnn_kernels.jitted._llvm.reduction import Sums, accumulate, multiply_add_step, sums_of
from fastfnn_kernels.jitted._llvm.tile_shapes import STEPS_OF_ROUND, TILE
from fastfnn_kernels.jitted._llvm.tile_store import store_tile
from fastfnn_kernels.jitted._llvm.vectors import VectorBuilder, constant
from fastfnn_kernels.runtime.cpu import UNIT


def _emit_panel_tile(
    vec: VectorBuilder, rows: int, vectors: int, unit_row: bool, a: Fields, b: Fields, c: Fields, *others: Fields
) -> None:
    builder = vec.ir
    finish, gate, ahead = others
    depth, width = b.number("depth"), vectors * vec.lanes
    panel, b_row, start = b.pointer(), b.number("row"), finish.pointer("start", "start_offset")
    addresses = _addresses_of_a(vec, a, rows, unit_row)
    prefetch = _prefetches(vec, b, c, gate, ahead, rows, width)

    def row_of_b(k: Any) -> Any:
        return builder.gep(panel, [builder.mul(k, b_row)])

    def steps(n_steps: int, k: Any, state: Sums) -> Sums:
        *sums, pointers = state
        for u in range(n_steps):
            row = builder.gep(row_of_b(k), [builder.mul(b_row, constant(u))])
            numbers = [_broadcast_at(vec, partial(addresses.of, pointers, k, u, i)) for i in range(rows)]
            sums = multiply_add_step(vec, sums, numbers, [_vector_at(vec, row, v) for v in range(vectors)])
            if n_steps > 1:
                _keep_order(builder)
        return [*sums, addresses.advanced(pointers)]

    def block(k: Any, state: Sums) -> Sums:
        prefetch(k)
        end = builder.add(k, constant(vec.line))
        end = builder.select(builder.icmp_signed("<", end, in_rounds), end, in_rounds)
        return accumulate(vec, k, end, STEPS_OF_ROUND, state, partial(steps, STEPS_OF_ROUND))

    in_rounds = builder.and_(depth, constant(-STEPS_OF_ROUND))
    sums = sums_of([vec.load(start, constant(v * vec.lanes)) for v in range(vectors)], rows)
    state = accumulate(vec, constant(0), in_rounds, vec.line, [*sums, addresses.first], block)
    if STEPS_OF_ROUND > 1:
        state = accumulate(vec, in_rounds, depth, STEPS_OF_ROUND - 1, state, partial(steps, STEPS_OF_ROUND - 1))
    store_tile(vec, state[:-1], c, finish, gate, constant(rows))


def _vector_at(vec: VectorBuilder, row: Any, v: int) -> Callable[[], Any]:
    return lambda: vec.load(row, constant(v * vec.lanes))


def _broadcast_at(vec: VectorBuilder, address: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: vec.broadcast(vec.ir.load(address()))


class _Addresses(NamedTuple):
    """The addresses of A's numbers in the inner loop."""

    first: list[Any]  # pointers that move from round to round
    advanced: Callable[[list[Any]], list[Any]]
    of: Callable[[list[Any], Any, int, int], Any]  # of row i in step k + u, by the pointers of the round


def _addresses_of_a(vec: VectorBuilder, a: Fields, rows: int, unit_row: bool) -> _Addresses:
    if UNIT.name == "NEON":
        return _by_index(vec, a, rows)
    return _of_adjacent_rows(vec, a) if unit_row else _by_multiples(vec, a, rows)


def _of_adjacent_rows(vec: VectorBuilder, a: Fields) -> _Addresses:
    """Address the adjacent numbers of a step by one pointer and constants."""
    builder, step = vec.ir, a.number("step")

    def advanced(pointers: list[Any]) -> list[Any]:
        return [builder.gep(pointers[0], [builder.mul(constant(STEPS_OF_ROUND), step)])]

    def of(pointers: list[Any], k: Any, u: int, i: int) -> Any:
        return builder.gep(builder.gep(pointers[0], [builder.mul(constant(u), step)]), [constant(i)])

    return _Addresses([a.pointer()], advanced, of)


def _by_index(vec: VectorBuilder, a: Fields, rows: int) -> _Addresses:
    """Address each row by a pointer, with the step as its index; NEON has 31 registers for pointers.

    The pointers are hidden from the compiler, which would otherwise load adjacent numbers in pairs, into registers
    that the tile needs.
    """
    builder, start, row, step = vec.ir, a.pointer(), a.number("row"), a.number("step")
    pointers = [_hidden(builder, builder.gep(start, [builder.mul(constant(i), row)])) for i in range(rows)]

    def of(_: list[Any], k: Any, u: int, i: int) -> Any:
        return builder.gep(pointers[i], [builder.mul(builder.add(k, constant(u)), step)])

    return _Addresses([], lambda _: [], of)


def _by_multiples(vec: VectorBuilder, a: Fields, rows: int) -> _Addresses:
    """Address the rows by two pointers, and by multiples of the distance between rows.

    x86 adds another register times 1, 2, 4 or 8 to a pointer for free. So two pointers and three multiples reach 14
    rows, where a pointer for each row would take more registers than there are. All of them are hidden from the
    compiler, which would otherwise compute a pointer for each row, and keep these on the stack.
    """
    builder, start, row = vec.ir, a.pointer(), a.number("row")
    half = (rows + 1) // 2
    factors = [_factor_and_scale(i) for i in range(1, half)]
    distances = {
        factor: _hidden(builder, builder.mul(row, constant(factor * vec.itemsize)))
        for factor in sorted({factor for factor, _ in factors})
    }
    first = [_hidden(builder, builder.gep(start, [builder.mul(constant(i), row)])) for i in (0, half)]

    def advanced(pointers: list[Any]) -> list[Any]:
        return [_hidden(builder, builder.gep(pointer, [constant(STEPS_OF_ROUND)])) for pointer in pointers]

    def of(pointers: list[Any], k: Any, u: int, i: int) -> Any:
        at = builder.gep(pointers[i // half], [constant(u)])
        if i % half == 0:
            return at
        factor, scale = factors[i % half - 1]
        at = builder.bitcast(at, ir.IntType(8).as_pointer())
        return builder.bitcast(builder.gep(at, [builder.mul(distances[factor], constant(scale))]), start.type)

    return _Addresses(first, advanced, of)


def _factor_and_scale(number: int) -> tuple[int, int]:
    """Return the odd factor of a number, and the power of two."""
    scale = number & -number
    return number // scale, scale


def _keep_order(builder: ir.IRBuilder) -> None:
    """Keep the compiler from moving the next step's loads before this point, where their registers are in use."""
    builder.asm(ir.FunctionType(ir.VoidType(), []), "", "", [], side_effect=True)


def _hidden(builder: ir.IRBuilder, value: Any) -> Any:
    """Return a value whose origin the compiler cannot see, so that it keeps the value in a register."""
    identity = ir.InlineAsm(ir.FunctionType(value.type, [value.type]), "", "=r,0", side_effect=False)
    return builder.call(identity, [value])


# Rows of C, and of the gate, that each block prefetches until there are no more. Tiles have even heights.
ROWS_OF_BLOCK = 2


def _prefetches(
    vec: VectorBuilder, b: Fields, c: Fields, gate: Fields, ahead: Fields, rows: int, width: int
) -> Callable[[Any], None]:
    """Return what emits the prefetches of the block of steps that begins with k."""
    builder = vec.ir
    next_panel, panel_step = b.pointer_at("values", ahead.number("panel_offset")), ahead.number("panel_step")
    next_a, rows_ahead = ahead.pointer(), (ahead.number("first_row"), ahead.number("end_row"), constant(1))
    targets, gates = c.pointer(), gate.pointer_at("values", c.number("offset"))

    def prefetch(k: Any) -> None:
        # A block's share of the next panel is as many lines as a step's share has elements.
        at = builder.gep(next_panel, [builder.mul(k, panel_step)])
        with cgutils.for_range(builder, panel_step) as counted:
            vec.prefetch(builder.gep(at, [builder.mul(counted.index, constant(vec.line))]))
        at = builder.gep(next_a, [builder.mul(k, ahead.number("step"))])
        with cgutils.for_range_slice(builder, *rows_ahead) as (i, _):
            vec.prefetch(builder.gep(at, [builder.mul(i, ahead.number("row"))]))
        first = builder.mul(builder.sdiv(k, constant(vec.line)), constant(ROWS_OF_BLOCK))
        with builder.if_then(builder.icmp_signed("<", first, constant(rows))):
            for i in range(ROWS_OF_BLOCK):
                offset = builder.mul(builder.add(first, constant(i)), c.number("row"))
                _prefetch_row(vec, builder.gep(targets, [offset]), width, to_write=True)
                with builder.if_then(gate.flag("gated")):
                    _prefetch_row(vec, builder.gep(gates, [offset]), width)

    return prefetch


def _prefetch_row(vec: VectorBuilder, row: Any, width: int, *, to_write: bool = False) -> None:
    """Prefetch all lines of a row, which may begin within a line."""
    for column in (*range(0, width, vec.line), width - 1):
        vec.prefetch(vec.ir.gep(row, [constant(column)]), to_write=to_write)


def make_panel_tile(rows: int, vectors: int, *, unit_row: bool) -> Any:
    """Build the micro-kernel for a whole `rows` x `vectors` tile whose B is a panel, followed by the next panel.

    With `unit_row`, A's `row` is 1: the rows are adjacent numbers, and their addresses are constants. Otherwise its
    `step` is 1.
    """

    @intrinsic
    def panel_tile(typing, a, b, c, finish, gate, ahead):  # type: ignore[no-untyped-def]
        return tile_code((a, b, c, finish, gate, ahead), _emit_panel_tile, rows, vectors, unit_row)

    return panel_tile


panel_tile = make_panel_tile(TILE.rows, TILE.vectors, unit_row=False)
narrow_panel_tile = make_panel_tile(TILE.rows, 1, unit_row=False)
columns_panel_tile = make_panel_tile(TILE.rows, TILE.vectors, unit_row=True)
narrow_columns_panel_tile = make_panel_tile(TILE.rows, 1, unit_row=True)
