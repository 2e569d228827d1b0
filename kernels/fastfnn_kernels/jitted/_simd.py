"""Register-blocked micro-kernels, written in LLVM's vector instructions.

A micro-kernel computes one tile of a product: `rows` x `vectors` accumulators stay in registers while the
reduction runs, each step loading `vectors` vectors of B, broadcasting `rows` numbers of A and doing
`rows * vectors` fused multiply-adds:

    C[i, j] = start[j] + sum_k A[i, k] B[k, j]         or, with `accumulate`,  C[i, j] += ...

Arrays come with the flat offset of their first element; A's element (i, k) lies at `i * a_row + k * a_step`.
Each output is one chain of multiply-adds over ascending k, whatever the tile, so that the same numbers give
the same bits wherever a row or column happens to lie.

Vectors are loaded and stored at the alignment of one element, since NumPy promises no more. Addresses are
walked with `gep` from the array's own pointer, never through integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastfnn_kernels.jitted._cpu import TILE, UNIT

INT64 = ir.IntType(64)
INT32 = ir.IntType(32)


class _VectorBuilder:
    """LLVM's builder, with the vectors of one element type."""

    def __init__(self, builder: ir.IRBuilder, element: ir.Type, itemsize: int) -> None:
        self.ir = builder
        self.element = element
        self.itemsize = itemsize
        self.lanes = UNIT.lanes(itemsize)
        self.type = ir.VectorType(element, self.lanes)
        signature = ir.FunctionType(self.type, [self.type] * 3)
        # fmuladd is one instruction where the CPU has it, and a multiply and an add where it has not.
        name = f"llvm.fmuladd.v{self.lanes}f{8 * itemsize}"
        self._multiply_add = cgutils.get_or_insert_function(builder.module, signature, name)

    def address(self, base: Any, offset: Any) -> Any:
        return self.ir.bitcast(self.ir.gep(base, [offset]), self.type.as_pointer())

    def load(self, base: Any, offset: Any) -> Any:
        return self.ir.load(self.address(base, offset), align=self.itemsize)

    def store(self, value: Any, base: Any, offset: Any) -> None:
        self.ir.store(value, self.address(base, offset), align=self.itemsize)

    def broadcast(self, scalar: Any) -> Any:
        undefined = ir.Constant(self.type, ir.Undefined)
        single = self.ir.insert_element(undefined, scalar, ir.Constant(INT32, 0))
        return self.ir.shuffle_vector(
            single, undefined, ir.Constant(ir.VectorType(INT32, self.lanes), [0] * self.lanes)
        )

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        return self.ir.call(self._multiply_add, [a, b, c])

    def maximum(self, value: Any, floor: Any) -> Any:
        """Return the larger, and NaN where `value` is NaN."""
        below = self.ir.fcmp_ordered("<", value, floor)
        return self.ir.select(below, floor, value)


def _constant(number: int) -> ir.Constant:
    return ir.Constant(INT64, number)


def _element_pointer(context: Any, builder: ir.IRBuilder, array_type: Any, array: Any, offset: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


def _row_pointers(builder: ir.IRBuilder, first: Any, stride: Any, n_rows: Any, rows: int) -> list[Any]:
    """Point at each row of A; rows past the last one repeat it, so that nothing outside is read."""
    last = builder.sub(n_rows, _constant(1))
    pointers = []
    for i in range(rows):
        row = builder.select(builder.icmp_signed("<", last, _constant(i)), last, _constant(i))
        pointers.append(builder.gep(first, [builder.mul(row, stride)]))
    return pointers


def _reduce(
    vec: _VectorBuilder,
    depth: Any,
    start: Sequence[Any],
    a_rows: Sequence[Any],
    a_step: Any,
    b_offset: Callable[[Any], Any],
    b: Any,
) -> list[list[Any]]:
    """Emit the loop over k; `start` holds the accumulators' first value for each vector of a row."""
    builder = vec.ir
    entry = builder.block
    loop, done = builder.append_basic_block("reduce"), builder.append_basic_block("reduced")
    builder.cbranch(builder.icmp_signed(">", depth, _constant(0)), loop, done)

    builder.position_at_end(loop)
    k = builder.phi(INT64)
    sums = [[builder.phi(vec.type) for _ in start] for _ in a_rows]
    b_row, a_offset = b_offset(k), builder.mul(k, a_step)
    b_vectors = [vec.load(b, builder.add(b_row, _constant(v * vec.lanes))) for v in range(len(start))]
    updated = []
    for a_row, row_sums in zip(a_rows, sums, strict=True):
        a = vec.broadcast(builder.load(builder.gep(a_row, [a_offset])))
        updated.append([vec.multiply_add(a, x, total) for x, total in zip(b_vectors, row_sums, strict=True)])
    following = builder.add(k, _constant(1))
    k.add_incoming(_constant(0), entry)
    k.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, depth), loop, done)

    builder.position_at_end(done)
    results = []
    for row_sums, row_updated in zip(sums, updated, strict=True):
        row_results = []
        for total, value, first in zip(row_sums, row_updated, start, strict=True):
            total.add_incoming(first, entry)
            total.add_incoming(value, loop)
            result = builder.phi(vec.type)
            result.add_incoming(first, entry)
            result.add_incoming(value, loop)
            row_results.append(result)
        results.append(row_results)
    return results


def _store_whole_tile(
    vec: _VectorBuilder, tile: list[list[Any]], c: Any, c_row: Any, accumulate: Any, floor: Any
) -> None:
    builder = vec.ir

    def store(combine: Callable[[Any, Any], Any]) -> None:
        for i, row in enumerate(tile):
            row_offset = builder.mul(c_row, _constant(i))
            for v, value in enumerate(row):
                offset = builder.add(row_offset, _constant(v * vec.lanes))
                vec.store(vec.maximum(combine(value, offset), floor), c, offset)

    with builder.if_else(accumulate) as (adding, replacing):
        with adding:
            store(lambda value, offset: builder.fadd(vec.load(c, offset), value))
        with replacing:
            store(lambda value, offset: value)


def _store_part_of_tile(
    vec: _VectorBuilder,
    tile: list[list[Any]],
    c: Any,
    c_row: Any,
    n_rows: Any,
    n_columns: Any,
    accumulate: Any,
    floor: Any,
) -> None:
    """Spill the tile to the stack and copy the elements that exist, so that nothing else is written."""
    builder = vec.ir
    width = len(tile[0]) * vec.lanes
    spill = cgutils.alloca_once(builder, ir.ArrayType(vec.type, len(tile) * len(tile[0])))
    spilled = builder.bitcast(spill, vec.element.as_pointer())
    for i, row in enumerate(tile):
        for v, value in enumerate(row):
            vec.store(value, spilled, _constant(i * width + v * vec.lanes))
    with cgutils.for_range(builder, n_rows) as rows, cgutils.for_range(builder, n_columns) as columns:
        target = builder.gep(c, [builder.add(builder.mul(rows.index, c_row), columns.index)])
        value = builder.load(
            builder.gep(spilled, [builder.add(builder.mul(rows.index, _constant(width)), columns.index)])
        )
        value = builder.select(accumulate, builder.fadd(builder.load(target), value), value)
        builder.store(builder.select(builder.fcmp_ordered("<", value, floor), floor, value), target)


def _emit_tile(
    context: Any,
    builder: ir.IRBuilder,
    signature: Any,
    args: Sequence[Any],
    rows: int,
    vectors: int,
    *,
    indexed: bool,
) -> Any:
    """Emit one micro-kernel; the arguments are those of `dense_tile` and `sparse_tile`."""
    named = dict(
        zip(_ARGUMENTS_INDEXED if indexed else _ARGUMENTS, zip(signature.args, args, strict=True), strict=True)
    )

    def value(name: str) -> Any:
        return named[name][1]

    def pointer(name: str) -> Any:
        return _element_pointer(context, builder, *named[name], value(f"{name}_offset"))

    dtype = named["a"][0].dtype
    vec = _VectorBuilder(builder, context.get_data_type(dtype), dtype.bitwidth // 8)
    start, c, b_row = pointer("start"), pointer("c"), value("b_row")
    if indexed:
        indices = pointer("indices")

        def b_offset(k: Any) -> Any:
            return builder.mul(builder.zext(builder.load(builder.gep(indices, [k])), INT64), b_row)
    else:

        def b_offset(k: Any) -> Any:
            return builder.mul(k, b_row)

    tile = _reduce(
        vec,
        value("depth"),
        [vec.load(start, _constant(v * vec.lanes)) for v in range(vectors)],
        _row_pointers(builder, pointer("a"), value("a_row"), value("n_rows"), rows),
        value("a_step"),
        b_offset,
        pointer("b"),
    )
    whole = builder.and_(
        builder.icmp_signed("==", value("n_rows"), _constant(rows)),
        builder.icmp_signed("==", value("n_columns"), _constant(vectors * vec.lanes)),
    )
    target = (c, value("c_row"))
    finish = (value("accumulate"), value("floor"))
    with builder.if_else(whole, likely=True) as (all_of_it, part_of_it):
        with all_of_it:
            _store_whole_tile(vec, tile, *target, finish[0], vec.broadcast(finish[1]))
        with part_of_it:
            _store_part_of_tile(vec, tile, *target, value("n_rows"), value("n_columns"), *finish)
    return context.get_dummy_value()


_A = ("a", "a_offset", "a_row", "a_step")
_REST = (
    "b", "b_offset", "b_row", "depth", "start", "start_offset",
    "c", "c_offset", "c_row", "n_rows", "n_columns", "accumulate", "floor",
)  # fmt: skip
_ARGUMENTS = (*_A, *_REST)
_ARGUMENTS_INDEXED = (*_A, "indices", "indices_offset", *_REST)


def _tile_signature(named: dict[str, Any]) -> Any:
    """Fix the types: arrays as they come, flags boolean, the floor of A's dtype, all else integers."""
    arrays = ("a", "b", "c", "start", "indices")
    fixed = {"accumulate": types.boolean, "floor": named["a"].dtype}
    return types.void(*(kind if name in arrays else fixed.get(name, types.intp) for name, kind in named.items()))


def make_dense_tile(rows: int, vectors: int) -> Any:
    """Build the micro-kernel for a `rows` x `vectors` tile whose B has rows `b_row` elements apart."""

    @intrinsic
    def dense_tile(
        typing, a, a_offset, a_row, a_step, b, b_offset, b_row, depth,
        start, start_offset, c, c_offset, c_row, n_rows, n_columns, accumulate, floor,
    ):  # fmt: skip
        given = (a, a_offset, a_row, a_step, b, b_offset, b_row, depth,
                 start, start_offset, c, c_offset, c_row, n_rows, n_columns, accumulate, floor)  # fmt: skip
        signature = _tile_signature(dict(zip(_ARGUMENTS, given, strict=True)))

        def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Sequence[Any]) -> Any:
            return _emit_tile(context, builder, sig, args, rows, vectors, indexed=False)

        return signature, codegen

    return dense_tile


def make_sparse_tile(rows: int, vectors: int) -> Any:
    """Build the micro-kernel whose k-th row of B is `indices[k]`, for an A of non-zeros."""

    @intrinsic
    def sparse_tile(
        typing, a, a_offset, a_row, a_step, indices, indices_offset, b, b_offset, b_row, depth,
        start, start_offset, c, c_offset, c_row, n_rows, n_columns, accumulate, floor,
    ):  # fmt: skip
        given = (a, a_offset, a_row, a_step, indices, indices_offset, b, b_offset, b_row, depth,
                 start, start_offset, c, c_offset, c_row, n_rows, n_columns, accumulate, floor)  # fmt: skip
        signature = _tile_signature(dict(zip(_ARGUMENTS_INDEXED, given, strict=True)))

        def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Sequence[Any]) -> Any:
            return _emit_tile(context, builder, sig, args, rows, vectors, indexed=True)

        return signature, codegen

    return sparse_tile


SPARSE_ROWS = 4
SPARSE_VECTORS = UNIT.registers // 8

dense_tile = make_dense_tile(TILE.rows, TILE.vectors)
sparse_tile = make_sparse_tile(SPARSE_ROWS, SPARSE_VECTORS)
sparse_tail_tile = make_sparse_tile(SPARSE_ROWS, 1)
