"""Register-blocked micro-kernels of dense products, written in LLVM's vector instructions.

A micro-kernel computes one tile of a product:

    C[i, j] = start[j] + sum_k A[i, k] B[k, j]         or, with `accumulate`,  C[i, j] += ...

During the reduction, `rows` x `vectors` accumulators stay in registers. Each step loads `vectors` vectors of B,
broadcasts `rows` numbers of A and does `rows * vectors` fused multiply-adds.

Two operations are applied before the tile is stored. Numbers below `floor` are replaced by the floor. With `gated`,
numbers are replaced by zero where the array `gate`, which has C's shape, is not above zero.

Each array comes with the flat offset of its first element. The offset of A's element (i, k) from there is
`i * a_row + k * a_step`. Each output is a single chain of multiply-adds over ascending k, whatever the tile. The same
numbers therefore give the same bits, wherever a row or column is in a matrix.

Nothing outside an array is read or written. Rows past the last one repeat it and are not stored; columns past the
last one are masked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from llvmlite import ir
from numba.extending import intrinsic

from fastfnn_kernels.jitted._llvm.tile_shapes import (
    COLUMN_ROWS,
    FEW_ROWS_VECTORS,
    FLAT_TILE,
    SHORT_COLUMN_ROWS,
    SPARSE_TILE,
    TILE,
)
from fastfnn_kernels.jitted._llvm.transfers import CACHE_LINE
from fastfnn_kernels.jitted._llvm.vectors import (
    INT64,
    Arguments,
    Load,
    Store,
    VectorBuilder,
    code_of,
    constant,
    existing,
    signature_of,
    whole_or_masked,
)


def _keep_rolled(builder: ir.IRBuilder, back: ir.Instruction) -> None:
    """Disable unrolling of the loop with the back edge `back`: all registers are in use, so unrolling would spill."""
    module = builder.module
    option = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    loop = ir.MDValue(module, [], str(len(module.metadata)))
    loop.operands = (loop, option)  # the first operand of a loop's metadata is itself
    back.set_metadata("llvm.loop", loop)


def reduce_tile(
    vec: VectorBuilder,
    depth: Any,
    start: Sequence[Any],
    a_rows: Sequence[Any],
    a_step: Any,
    row_of_b: Callable[[Any], Any],
    load_b: Callable[[Any, int], Any],
) -> list[list[Any]]:
    """Emit the loop over k.

    `start` contains the accumulators' initial value for each vector of a row. `row_of_b` emits the pointer to B's
    k-th row, and `load_b` emits the load of one of its vectors. If a tile has fewer rows than vectors, A's numbers
    stay in registers while B's vectors are loaded one at a time; otherwise it is the other way around.
    """
    builder = vec.ir
    entry = builder.block
    loop, done = builder.append_basic_block("reduce"), builder.append_basic_block("reduced")
    builder.cbranch(builder.icmp_signed(">", depth, constant(0)), loop, done)

    builder.position_at_end(loop)
    k = builder.phi(INT64)
    sums = [[builder.phi(vec.type) for _ in start] for _ in a_rows]
    a_offset, b_row = builder.mul(k, a_step), row_of_b(k)
    n_rows, n_vectors = len(a_rows), len(start)

    def number(i: int) -> Any:
        return vec.broadcast(builder.load(builder.gep(a_rows[i], [a_offset])))

    updated = [list(row_sums) for row_sums in sums]
    if n_rows < n_vectors:
        numbers = [number(i) for i in range(n_rows)]
        for v in range(n_vectors):
            vector = load_b(b_row, v)
            for i in range(n_rows):
                updated[i][v] = vec.multiply_add(numbers[i], vector, sums[i][v])
    else:
        b_vectors = [load_b(b_row, v) for v in range(n_vectors)]
        for i in range(n_rows):
            a = number(i)
            for v in range(n_vectors):
                updated[i][v] = vec.multiply_add(a, b_vectors[v], sums[i][v])
    following = builder.add(k, constant(1))
    end_of_loop = builder.block
    k.add_incoming(constant(0), entry)
    k.add_incoming(following, end_of_loop)
    _keep_rolled(builder, builder.cbranch(builder.icmp_signed("<", following, depth), loop, done))

    builder.position_at_end(done)
    results = []
    for row_sums, row_updated in zip(sums, updated, strict=True):
        row_results = []
        for total, value, first in zip(row_sums, row_updated, start, strict=True):
            total.add_incoming(first, entry)
            total.add_incoming(value, end_of_loop)
            result = builder.phi(vec.type)
            result.add_incoming(first, entry)
            result.add_incoming(value, end_of_loop)
            row_results.append(result)
        results.append(row_results)
    return results


def _cases(builder: ir.IRBuilder, first: Any, second: Any) -> Iterator[tuple[bool, bool]]:
    """Yield each case of two conditions; the caller emits the code for each case into a separate branch."""
    with builder.if_else(first) as outer:
        for outer_branch, first_holds in zip(outer, (True, False), strict=True):
            with outer_branch, builder.if_else(second) as inner:
                for inner_branch, second_holds in zip(inner, (True, False), strict=True):
                    with inner_branch:
                        yield first_holds, second_holds


def store_tile(
    vec: VectorBuilder,
    tile: list[list[Any]],
    row_of_c: Callable[[int], Any],
    gate: tuple[Callable[[int], Any], Any] | None,
    n_rows: Any,
    n_columns: Any,
    accumulate: Any,
    floor: Any,
) -> None:
    """Emit the stores of the part of a tile that is inside the matrix.

    `row_of_c` emits the pointer to a row of C. `gate` is a pair: a function that does the same for the gate, and the
    flag `gated`.
    """
    builder, floor = vec.ir, vec.broadcast(floor)
    zero = ir.Constant(vec.type, None)
    row_of_gate, gated = gate or (row_of_c, ir.Constant(ir.IntType(1), 0))
    whole = builder.and_(
        builder.icmp_signed("==", n_rows, constant(len(tile))),
        builder.icmp_signed("==", n_columns, constant(len(tile[0]) * vec.lanes)),
    )

    def finish(value: Any, adding: bool, gating: bool, i: int, v: int, load: Callable[[Any, int], Any]) -> Any:
        total = vec.maximum(builder.fadd(load(row_of_c(i), v), value) if adding else value, floor)
        return (
            builder.select(builder.fcmp_ordered(">", load(row_of_gate(i), v), zero), total, zero) if gating else total
        )

    def offset(v: int) -> ir.Constant:
        return constant(v * vec.lanes)

    def store_all_of_it(adding: bool, gating: bool) -> None:
        for i, row in enumerate(tile):
            for v, value in enumerate(row):
                finished = finish(value, adding, gating, i, v, lambda base, v: vec.load(base, offset(v)))
                vec.store(finished, row_of_c(i), offset(v))

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


def loads_of_b(arguments: Arguments, vectors: int, *, masked: bool) -> tuple[list[ir.Constant], Load]:
    """Return the offset of each vector in a row, and the function that loads a vector from a row of B."""
    vec = arguments.vec
    offsets = [constant(v * vec.lanes) for v in range(vectors)]
    n_columns = arguments.value("n_columns")
    masks = [vec.mask_below(vec.ir.sub(n_columns, offset)) for offset in offsets] if masked else []

    def load_b(row: Any, v: int) -> Any:
        return vec.load_masked(row, offsets[v], masks[v]) if masked else vec.load(row, offsets[v])

    return offsets, load_b


def _emit_dense_tile(
    arguments: Arguments, rows: int, vectors: int, *, masked: bool = False, ahead: bool = False
) -> None:
    vec, value, pointer = arguments.vec, arguments.value, arguments.pointer
    builder = vec.ir
    b, c, gate = pointer("b"), pointer("c"), pointer("gate", "c_offset")
    offsets, load_b = loads_of_b(arguments, vectors, masked=masked)
    numbers = existing(builder, value("n_rows"), rows)
    start, a = pointer("start"), pointer("a")

    def row_of_b(k: Any) -> Any:
        if ahead:
            vec.prefetch(builder.gep(pointer("b", "ahead_offset"), [builder.mul(k, value("ahead_step"))]))
            _prefetch_tile(vec, k, rows, vectors, c, gate, value("c_row"))
            with builder.if_then(value("prefetching")):
                _prefetch_next_tile(vec, k, rows, pointer("next_a"), value("next_a_row"), value("next_a_step"))
        return builder.gep(b, [builder.mul(k, value("b_row"))])

    tile = reduce_tile(
        vec,
        value("depth"),
        [vec.load(start, offset) for offset in offsets],
        [builder.gep(a, [builder.mul(number, value("a_row"))]) for number in numbers],
        value("a_step"),
        row_of_b,
        load_b,
    )
    store_tile(
        vec,
        tile,
        lambda i: builder.gep(c, [builder.mul(constant(i), value("c_row"))]),
        (lambda i: builder.gep(gate, [builder.mul(constant(i), value("c_row"))]), value("gated")),
        *map(value, EXTENT_AND_FINISH),
    )


def _prefetch_tile(vec: VectorBuilder, k: Any, rows: int, vectors: int, c: Any, gate: Any, c_row: Any) -> None:
    """Emit the k-th step's prefetch of C or of the gate: one cache line.

    The steps form rounds over the tile's rows. The first round prefetches each row's first line of C, the second
    round the first line of the gate, the third round the next line of C, and so on. Prefetching several lines in a
    step would delay the product's own loads.
    """
    builder = vec.ir
    row, round_ = _row_and_round(builder, k, rows)
    array = builder.select(builder.trunc(round_, ir.IntType(1)), gate, c)
    column = builder.mul(builder.lshr(round_, constant(1)), constant(CACHE_LINE // vec.itemsize))
    last = constant(vectors * vec.lanes - 1)
    column = builder.select(builder.icmp_signed("<", column, last), column, last)
    vec.prefetch(builder.gep(array, [builder.add(builder.mul(row, c_row), column)]), to_write=True)


def _prefetch_next_tile(vec: VectorBuilder, k: Any, rows: int, a: Any, a_row: Any, a_step: Any) -> None:
    """Emit the k-th step's prefetch of a later tile's A: as many numbers of a row as a round has steps."""
    builder = vec.ir
    row, round_ = _row_and_round(builder, k, rows)
    steps = _steps_of_round(rows)
    first = builder.add(builder.mul(row, a_row), builder.mul(builder.mul(round_, constant(steps)), a_step))
    for column in range(0, steps, CACHE_LINE // vec.itemsize):
        vec.prefetch(builder.gep(a, [builder.add(first, constant(column))]))


def _row_and_round(builder: ir.IRBuilder, k: Any, rows: int) -> tuple[Any, Any]:
    """Return the row that the k-th step prefetches, and the number of complete rounds before it."""
    steps = _steps_of_round(rows)
    return builder.and_(k, constant(steps - 1)), builder.lshr(k, constant(steps.bit_length() - 1))


def _steps_of_round(rows: int) -> int:
    """Return the smallest power of two that is at least `rows`."""
    return 1 << (rows - 1).bit_length()


def _emit_column_tile(arguments: Arguments, rows: int) -> None:
    vec, value, pointer = arguments.vec, arguments.value, arguments.pointer
    builder = vec.ir
    a, b, c = map(pointer, ("a", "b", "c"))
    numbers = existing(builder, value("n_rows"), rows)
    a_rows = [builder.gep(a, [builder.mul(number, value("a_row"))]) for number in numbers]
    c_rows = [builder.gep(c, [builder.mul(number, value("c_row"))]) for number in numbers]
    start = vec.load_masked(pointer("start"), constant(0), vec.mask_below(value("n_start")))
    floor = vec.broadcast(value("floor"))

    def multiply(load: Load, store: Store) -> None:
        tile = reduce_tile(
            vec,
            value("depth"),
            [start],
            a_rows,
            value("a_step"),
            lambda k: builder.gep(b, [builder.mul(k, value("b_row"))]),
            load,
        )
        # All results are computed before any is stored: repetitions of the last row then store the same numbers.
        totals = [
            builder.select(value("accumulate"), builder.fadd(load(c_row, 0), total), total)
            for c_row, (total,) in zip(c_rows, tile, strict=True)
        ]
        for c_row, total in zip(c_rows, totals, strict=True):
            store(vec.maximum(total, floor), c_row, 0)

    whole_or_masked(vec, value("n_columns"), 1, multiply)


EXTENT_AND_FINISH = ("n_rows", "n_columns", "accumulate", "floor")
_DENSE = (
    "a", "a_offset", "a_row", "a_step", "b", "b_offset", "b_row", "depth", "start", "start_offset",
    "c", "c_offset", "c_row", *EXTENT_AND_FINISH, "gate", "gated",
)  # fmt: skip
_PANEL = (
    *_DENSE, "ahead_offset", "ahead_step", "next_a", "next_a_offset", "next_a_row", "next_a_step", "prefetching",
)  # fmt: skip
_COLUMN = (
    "a", "a_offset", "a_row", "a_step", "b", "b_offset", "b_row", "depth", "start", "start_offset", "n_start",
    "c", "c_offset", "c_row", *EXTENT_AND_FINISH,
)  # fmt: skip


def make_dense_tile(rows: int, vectors: int, *, masked: bool = False) -> Any:
    """Build the micro-kernel for a `rows` x `vectors` tile with a stride of `b_row` elements between B's rows.

    It reads B's rows in whole vectors or, if `masked`, only the first `n_columns` columns.
    """

    @intrinsic
    def dense_tile(
        typing, a, a_offset, a_row, a_step, b, b_offset, b_row, depth, start, start_offset,
        c, c_offset, c_row, n_rows, n_columns, accumulate, floor, gate, gated,
    ):  # fmt: skip
        given = (a, a_offset, a_row, a_step, b, b_offset, b_row, depth, start, start_offset,
                 c, c_offset, c_row, n_rows, n_columns, accumulate, floor, gate, gated)  # fmt: skip
        return signature_of(_DENSE, given), code_of(_DENSE, _emit_dense_tile, rows, vectors, masked=masked)

    return dense_tile


def make_panel_tile(rows: int, vectors: int) -> Any:
    """Build the micro-kernel for a `rows` x `vectors` tile whose B is a panel that is followed by the next panel.

    Each step prefetches one address in B, beginning at `ahead_offset` and advancing by `ahead_step`, and one line of
    C or of the gate. If `prefetching`, it also prefetches A for a later tile: with rounds of r steps, the k-th step
    prefetches the address `(k % r) * next_a_row + (k - k % r) * next_a_step`.
    """

    @intrinsic
    def panel_tile(
        typing, a, a_offset, a_row, a_step, b, b_offset, b_row, depth, start, start_offset,
        c, c_offset, c_row, n_rows, n_columns, accumulate, floor, gate, gated, ahead_offset, ahead_step,
        next_a, next_a_offset, next_a_row, next_a_step, prefetching,
    ):  # fmt: skip
        given = (a, a_offset, a_row, a_step, b, b_offset, b_row, depth, start, start_offset,
                 c, c_offset, c_row, n_rows, n_columns, accumulate, floor, gate, gated,
                 ahead_offset, ahead_step, next_a, next_a_offset, next_a_row, next_a_step, prefetching)  # fmt: skip
        return signature_of(_PANEL, given), code_of(_PANEL, _emit_dense_tile, rows, vectors, ahead=True)

    return panel_tile


def make_column_tile(rows: int) -> Any:
    """Build the micro-kernel for `rows` rows and at most one vector of columns, with both operands unpacked.

    The accumulators start with the first `n_start` numbers of `start`, followed by zeros.
    """

    @intrinsic
    def column_tile(
        typing, a, a_offset, a_row, a_step, b, b_offset, b_row, depth, start, start_offset, n_start,
        c, c_offset, c_row, n_rows, n_columns, accumulate, floor,
    ):  # fmt: skip
        given = (a, a_offset, a_row, a_step, b, b_offset, b_row, depth, start, start_offset, n_start,
                 c, c_offset, c_row, n_rows, n_columns, accumulate, floor)  # fmt: skip
        return signature_of(_COLUMN, given), code_of(_COLUMN, _emit_column_tile, rows)

    return column_tile


panel_tile = make_panel_tile(TILE.rows, TILE.vectors)
narrow_panel_tile = make_panel_tile(TILE.rows, 1)
flat_tile = make_dense_tile(FLAT_TILE.rows, FLAT_TILE.vectors)
flat_tail_tile = make_dense_tile(FLAT_TILE.rows, FLAT_TILE.vectors, masked=True)
row_tile = make_dense_tile(1, FEW_ROWS_VECTORS)
row_tail_tile = make_dense_tile(1, 1, masked=True)
column_tile = make_column_tile(COLUMN_ROWS)
short_column_tile = make_column_tile(SHORT_COLUMN_ROWS)
group_tile = make_dense_tile(SPARSE_TILE.rows, SPARSE_TILE.vectors)
group_tail_tile = make_dense_tile(SPARSE_TILE.rows, 1, masked=True)
