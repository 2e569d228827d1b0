"""The loop over a reduction, with a tile of accumulators in registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from fastfnn_kernels.jitted._llvm.vectors import INT64, VectorBuilder, constant

# The accumulators of a tile: for each row, one register a vector.
Sums = list[list[Any]]


def sums_of(start: Sequence[Any], rows: int) -> Sums:
    """Return accumulators that begin with the same vectors in every row."""
    return [list(start) for _ in range(rows)]


def accumulate(
    vec: VectorBuilder, first: Any, end: Any, stride: int, sums: Sums, body: Callable[[Any, Sums], Sums]
) -> Sums:
    """Emit `for k in range(first, end, stride): sums = body(k, sums)`.

    The loop stays rolled. All registers are in use, so unrolling it would spill.
    """
    builder = vec.ir
    before = builder.block
    loop, done = builder.append_basic_block("reduce"), builder.append_basic_block("reduced")
    builder.cbranch(builder.icmp_signed("<", first, end), loop, done)

    builder.position_at_end(loop)
    k = builder.phi(INT64)
    current = _phis(builder, sums)
    updated = body(k, current)
    following = builder.add(k, constant(stride))
    last = builder.block
    k.add_incoming(first, before)
    k.add_incoming(following, last)
    _connect(current, (sums, before), (updated, last))
    _keep_rolled(builder, builder.cbranch(builder.icmp_signed("<", following, end), loop, done))

    builder.position_at_end(done)
    results = _phis(builder, sums)
    _connect(results, (sums, before), (updated, last))
    return results


def _phis(builder: ir.IRBuilder, sums: Sums) -> Sums:
    return [[builder.phi(value.type) for value in row] for row in sums]


def _connect(phis: Sums, *incoming: tuple[Sums, ir.Block]) -> None:
    """Give each phi its value from each of the blocks before it."""
    for sums, block in incoming:
        for phi_row, row in zip(phis, sums, strict=True):
            for phi, value in zip(phi_row, row, strict=True):
                phi.add_incoming(value, block)


def _keep_rolled(builder: ir.IRBuilder, back: ir.Instruction) -> None:
    """Disable unrolling of the loop with the back edge `back`."""
    module = builder.module
    option = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    loop = ir.MDValue(module, [], str(len(module.metadata)))
    loop.operands = (loop, option)  # the first operand of a loop's metadata is itself
    back.set_metadata("llvm.loop", loop)


def multiply_add_step(
    vec: VectorBuilder,
    sums: Sums,
    numbers: Sequence[Callable[[], Any]],
    vectors: Sequence[Callable[[], Any]],
) -> Sums:
    """Emit one step: each row's number times each vector is added to the row's accumulator for that vector.

    `numbers` and `vectors` emit the loads. If a tile has fewer rows than vectors, A's numbers stay in registers while
    B's vectors are loaded one at a time; otherwise it is the other way around.
    """
    updated = [list(row) for row in sums]
    if len(numbers) < len(vectors):
        loaded = [number() for number in numbers]
        for v, load in enumerate(vectors):
            vector = load()
            for i, a in enumerate(loaded):
                updated[i][v] = vec.multiply_add(a, vector, sums[i][v])
    else:
        loaded = [load() for load in vectors]
        for i, number in enumerate(numbers):
            a = number()
            for v, vector in enumerate(loaded):
                updated[i][v] = vec.multiply_add(a, vector, sums[i][v])
    return updated


def reduce_tile(
    vec: VectorBuilder,
    depth: Any,
    a_rows: Sequence[Any],
    a_step: Any,
    row_of_b: Callable[[Any], Any],
    load_b: Callable[[Any, int], Any],
    first: tuple[Any, Sums],
) -> Sums:
    """Emit the loop over k, from a number and with the sums that `first` contains.

    `row_of_b` emits the pointer to B's k-th row, and `load_b` emits the load of one of its vectors.
    """
    builder = vec.ir
    first_k, sums = first

    def step(k: Any, sums: Sums) -> Sums:
        a_offset, b_row = builder.mul(k, a_step), row_of_b(k)

        def number(row: Any) -> Callable[[], Any]:
            return lambda: vec.broadcast(builder.load(builder.gep(row, [a_offset])))

        def vector(v: int) -> Callable[[], Any]:
            return lambda: load_b(b_row, v)

        return multiply_add_step(vec, sums, [number(row) for row in a_rows], [vector(v) for v in range(len(sums[0]))])

    return accumulate(vec, first_k, depth, 1, sums, step)
