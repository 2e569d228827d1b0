"""Register-blocked micro-kernels, written in LLVM's vector instructions.

A micro-kernel computes one tile of a product: `rows` x `vectors` accumulators stay in registers while the
reduction runs, each step loading `vectors` vectors of B, broadcasting `rows` numbers of A and doing
`rows * vectors` fused multiply-adds:

    C[i, j] = start[j] + sum_k A[i, k] B[k, j]         or, with `accumulate`,  C[i, j] += ...

Arrays come with the flat offset of their first element; A's element (i, k) lies at `i * a_row + k * a_step`.
Each output is one chain of multiply-adds over ascending k, whatever the tile, so that the same numbers give
the same bits wherever a row or column happens to lie.

Nothing outside an array is read or written: rows behind the last repeat it and are not stored, columns behind the
last are masked. Vectors are loaded and stored at the alignment of one element, since NumPy promises no more.
Addresses are walked with `gep` from the array's own pointer, never through integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastfnn_kernels.jitted._cpu import FEW_ROWS_VECTORS, SCATTERING_VECTORS, SPARSE_TILE, TILE, UNIT

CACHE_LINE = 64

INT64 = ir.IntType(64)
INT32 = ir.IntType(32)
BIT = ir.IntType(1)

# Before LLVM 22 masked loads and stores took their alignment as an argument.
MASKED_ACCESS_TAKES_ALIGNMENT = llvm.llvm_version_info < (22,)


class _VectorBuilder:
    """LLVM's builder, with the vectors of one element type."""

    def __init__(self, builder: ir.IRBuilder, element: ir.Type, itemsize: int) -> None:
        self.ir = builder
        self.element = element
        self.itemsize = itemsize
        self.lanes = UNIT.lanes(itemsize)
        self.type = ir.VectorType(element, self.lanes)
        self._suffix = f"v{self.lanes}f{8 * itemsize}"

    def address(self, base: Any, offset: Any) -> Any:
        return self.ir.bitcast(self.ir.gep(base, [offset]), self.type.as_pointer())

    def load(self, base: Any, offset: Any) -> Any:
        return self.ir.load(self.address(base, offset), align=self.itemsize)

    def store(self, value: Any, base: Any, offset: Any) -> None:
        self.ir.store(value, self.address(base, offset), align=self.itemsize)

    def mask_below(self, count: Any) -> Any:
        """Return a mask of the first `count` lanes."""
        numbers = ir.Constant(ir.VectorType(INT64, self.lanes), list(range(self.lanes)))
        return self.ir.icmp_signed("<", numbers, self._splat(count, INT64))

    def load_masked(self, base: Any, offset: Any, mask: Any) -> Any:
        """Load where the mask is set; zero stands elsewhere."""
        args = [self.address(base, offset), *self._alignment(), mask, ir.Constant(self.type, None)]
        return self._call("masked.load", self.type, args, ".p0")

    def store_masked(self, value: Any, base: Any, offset: Any, mask: Any) -> None:
        """Store where the mask is set."""
        args = [value, self.address(base, offset), *self._alignment(), mask]
        self._call("masked.store", ir.VoidType(), args, ".p0")

    def broadcast(self, scalar: Any) -> Any:
        return self._splat(scalar, self.element)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        # fmuladd is one instruction where the CPU has it, and a multiply and an add where it has not.
        return self._call("fmuladd", self.type, [a, b, c])

    def maximum(self, value: Any, floor: Any) -> Any:
        """Return the larger, and NaN where `value` is NaN."""
        below = self.ir.fcmp_ordered("<", value, floor)
        return self.ir.select(below, floor, value)

    def _splat(self, scalar: Any, element: ir.Type) -> Any:
        undefined = ir.Constant(ir.VectorType(element, self.lanes), ir.Undefined)
        single = self.ir.insert_element(undefined, scalar, ir.Constant(INT32, 0))
        return self.ir.shuffle_vector(
            single, undefined, ir.Constant(ir.VectorType(INT32, self.lanes), [0] * self.lanes)
        )

    def _alignment(self) -> list[ir.Constant]:
        return [ir.Constant(INT32, self.itemsize)] if MASKED_ACCESS_TAKES_ALIGNMENT else []

    def _call(self, operation: str, returned: ir.Type, args: list[Any], suffix: str = "") -> Any:
        signature = ir.FunctionType(returned, [arg.type for arg in args])
        name = f"llvm.{operation}.{self._suffix}{suffix}"
        return self.ir.call(cgutils.get_or_insert_function(self.ir.module, signature, name), args)


# The load of the v-th vector of a row, and the store of a value there.
Load = Callable[[Any, int], Any]
Store = Callable[[Any, Any, int], None]


def _constant(number: int) -> ir.Constant:
    return ir.Constant(INT64, number)


def _element_pointer(context: Any, builder: ir.IRBuilder, array_type: Any, array: Any, offset: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


def _existing_rows(builder: ir.IRBuilder, n_rows: Any, rows: int) -> list[Any]:
    """Number the rows of a tile; those past the last repeat it, so that nothing outside is read."""
    last = builder.sub(n_rows, _constant(1))
    return [builder.select(builder.icmp_signed("<", last, _constant(i)), last, _constant(i)) for i in range(rows)]


def _keep_rolled(builder: ir.IRBuilder, back: ir.Instruction) -> None:
    """Forbid LLVM to unroll the loop that `back` closes: the registers are full, and two rounds at once would spill."""
    module = builder.module
    option = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    loop = ir.MDValue(module, [], str(len(module.metadata)))
    loop.operands = (loop, option)  # a loop's metadata names itself first
    back.set_metadata("llvm.loop", loop)


def _reduce(
    vec: _VectorBuilder,
    depth: Any,
    start: Sequence[Any],
    a_rows: Sequence[Any],
    a_step: Any,
    row_of_b: Callable[[Any], Any],
    load_b: Callable[[Any, int], Any],
) -> list[list[Any]]:
    """Emit the loop over k.

    `start` holds the accumulators' first value for each vector of a row; `row_of_b` emits the pointer to B's k-th
    row, and `load_b` the load of one of its vectors. The numbers of A wait in registers for those vectors where they
    are fewer, and the vectors for the numbers elsewhere.
    """
    builder = vec.ir
    entry = builder.block
    loop, done = builder.append_basic_block("reduce"), builder.append_basic_block("reduced")
    builder.cbranch(builder.icmp_signed(">", depth, _constant(0)), loop, done)

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
    following = builder.add(k, _constant(1))
    k.add_incoming(_constant(0), entry)
    k.add_incoming(following, loop)
    _keep_rolled(builder, builder.cbranch(builder.icmp_signed("<", following, depth), loop, done))

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


def _store_tile(
    vec: _VectorBuilder,
    tile: list[list[Any]],
    row_of_c: Callable[[int], Any],
    n_rows: Any,
    n_columns: Any,
    accumulate: Any,
    floor: Any,
) -> None:
    """Emit the stores of what exists of a tile; `row_of_c` emits the pointer to a row of C."""
    builder, floor = vec.ir, vec.broadcast(floor)
    whole = builder.and_(
        builder.icmp_signed("==", n_rows, _constant(len(tile))),
        builder.icmp_signed("==", n_columns, _constant(len(tile[0]) * vec.lanes)),
    )

    def store_rows(load: Callable[..., Any], store: Callable[..., None], *, all_exist: bool) -> None:
        def store_row(i: int, adding: bool) -> None:
            c = row_of_c(i)
            for v, value in enumerate(tile[i]):
                total = builder.fadd(load(c, v), value) if adding else value
                store(vec.maximum(total, floor), c, v)

        with builder.if_else(accumulate) as branches:
            for branch, adding in zip(branches, (True, False), strict=True):
                with branch:
                    for i in range(len(tile)):
                        if all_exist:
                            store_row(i, adding)
                        else:
                            with builder.if_then(builder.icmp_signed("<", _constant(i), n_rows)):
                                store_row(i, adding)

    def offset(v: int) -> ir.Constant:
        return _constant(v * vec.lanes)

    with builder.if_else(whole, likely=True) as (all_of_it, part_of_it):
        with all_of_it:
            store_rows(
                lambda c, v: vec.load(c, offset(v)),
                lambda value, c, v: vec.store(value, c, offset(v)),
                all_exist=True,
            )
        with part_of_it:
            masks = [vec.mask_below(builder.sub(n_columns, offset(v))) for v in range(len(tile[0]))]
            store_rows(
                lambda c, v: vec.load_masked(c, offset(v), masks[v]),
                lambda value, c, v: vec.store_masked(value, c, offset(v), masks[v]),
                all_exist=False,
            )


class _Arguments:
    """The arguments of a micro-kernel by name, and the vectors of its dtype."""

    def __init__(self, context: Any, builder: ir.IRBuilder, names: Sequence[str], signature: Any, args: Any) -> None:
        self._context = context
        self._named = dict(zip(names, zip(signature.args, args, strict=True), strict=True))
        dtype = self._named["a"][0].dtype
        self.vec = _VectorBuilder(builder, context.get_data_type(dtype), dtype.bitwidth // 8)

    def value(self, name: str) -> Any:
        return self._named[name][1]

    def pointer(self, name: str) -> Any:
        return _element_pointer(self._context, self.vec.ir, *self._named[name], self.value(f"{name}_offset"))


def _emit_dense_tile(arguments: _Arguments, rows: int, vectors: int, *, masked: bool) -> None:
    vec, value, pointer = arguments.vec, arguments.value, arguments.pointer
    builder = vec.ir
    b, c = pointer("b"), pointer("c")
    offsets = [_constant(v * vec.lanes) for v in range(vectors)]
    masks = [vec.mask_below(builder.sub(value("n_columns"), offset)) for offset in offsets] if masked else []

    def load_b(row: Any, v: int) -> Any:
        return vec.load_masked(row, offsets[v], masks[v]) if masked else vec.load(row, offsets[v])

    numbers = _existing_rows(builder, value("n_rows"), rows)
    start, a = pointer("start"), pointer("a")
    tile = _reduce(
        vec,
        value("depth"),
        [vec.load(start, offset) for offset in offsets],
        [builder.gep(a, [builder.mul(number, value("a_row"))]) for number in numbers],
        value("a_step"),
        lambda k: builder.gep(b, [builder.mul(k, value("b_row"))]),
        load_b,
    )
    _store_tile(
        vec,
        tile,
        lambda i: builder.gep(c, [builder.mul(_constant(i), value("c_row"))]),
        *map(value, _EXTENT_AND_FINISH),
    )


def _emit_sparse_tile(arguments: _Arguments, rows: int, vectors: int) -> None:
    vec, value, pointer = arguments.vec, arguments.value, arguments.pointer
    builder = vec.ir
    a, b, indices, start = pointer("a"), pointer("b"), pointer("indices"), pointer("start")
    order, c = pointer("order"), pointer("c")
    offsets = [_constant(v * vec.lanes) for v in range(vectors)]

    tile = _reduce(
        vec,
        value("depth"),
        [vec.load(start, offset) for offset in offsets],
        [builder.gep(a, [_constant(i)]) for i in range(rows)],
        _constant(rows),
        lambda k: _row_at(builder, b, indices, k, value("b_row")),
        lambda row, v: vec.load(row, offsets[v]),
    )
    _store_tile(
        vec,
        tile,
        lambda i: _row_at(builder, c, order, _constant(i), value("c_row")),
        *map(value, _EXTENT_AND_FINISH),
    )


def _emit_scattering_tile(arguments: _Arguments, rows: int, vectors: int) -> None:
    vec, value, pointer = arguments.vec, arguments.value, arguments.pointer
    builder = vec.ir
    a, b, indices, order, c = map(pointer, ("a", "b", "indices", "order", "c"))
    b_rows = [
        _row_at(builder, b, order, number, value("b_row"))
        for number in _existing_rows(builder, value("n_rows"), rows)
    ]

    def scatter(load: Load, store: Store) -> None:
        b_vectors = [[load(b_row, v) for v in range(vectors)] for b_row in b_rows]
        with cgutils.for_range(builder, value("depth")) as k:
            target = _row_at(builder, c, indices, k.index, value("c_row"))
            entry = builder.gep(a, [builder.mul(k.index, _constant(rows))])
            numbers = [vec.broadcast(builder.load(builder.gep(entry, [_constant(i)]))) for i in range(rows)]
            for v in range(vectors):
                total = load(target, v)
                for number, b_row in zip(numbers, b_vectors, strict=True):
                    total = vec.multiply_add(number, b_row[v], total)
                store(total, target, v)

    _whole_or_masked(vec, value("n_columns"), vectors, scatter)


def _emit_panel_copy(arguments: _Arguments, vectors: int) -> None:
    vec, value = arguments.vec, arguments.value
    builder = vec.ir
    a, c = arguments.pointer("a"), arguments.pointer("c")

    def copy_rows(load: Load, store: Store) -> None:
        with cgutils.for_range(builder, value("n_rows")) as k:
            source = builder.gep(a, [builder.mul(k.index, value("a_row"))])
            target = builder.gep(c, [builder.mul(k.index, _constant(vectors * vec.lanes))])
            for v in range(vectors):
                vec.store(load(source, v), target, _constant(v * vec.lanes))

    _whole_or_masked(vec, value("n_columns"), vectors, copy_rows)


def _emit_column_sums(arguments: _Arguments, vectors: int) -> None:
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
        next_k = builder.add(k, _constant(1))
        for phi, first, after in zip(
            [k, *sums], [_constant(0), *[ir.Constant(vec.type, None)] * vectors], [next_k, *following], strict=True
        ):
            phi.add_incoming(first, entry)
            phi.add_incoming(after, loop)
        builder.cbranch(builder.icmp_signed("<", next_k, value("n_rows")), loop, done)
        builder.position_at_end(done)
        for v, total in enumerate(following):
            store(builder.fadd(load(c, v), total), c, v)

    with builder.if_then(builder.icmp_signed(">", value("n_rows"), _constant(0))):
        _whole_or_masked(vec, value("n_columns"), vectors, add_up)


def _emit_prefetch(arguments: _Arguments) -> None:
    builder, value = arguments.vec.ir, arguments.value
    a = arguments.pointer("a")
    byte_pointer = ir.IntType(8).as_pointer()
    signature = ir.FunctionType(ir.VoidType(), [byte_pointer, INT32, INT32, INT32])
    prefetch = cgutils.get_or_insert_function(builder.module, signature, "llvm.prefetch.p0")
    to_read, into_second_cache, of_data = (ir.Constant(INT32, code) for code in (0, 2, 1))
    line = _constant(CACHE_LINE // arguments.vec.itemsize)
    with cgutils.for_range(builder, value("n_rows")) as k:
        row = builder.gep(a, [builder.mul(k.index, value("a_row"))])
        with cgutils.for_range_slice(builder, _constant(0), value("n_columns"), line) as (column, _):
            address = builder.bitcast(builder.gep(row, [column]), byte_pointer)
            builder.call(prefetch, [address, to_read, into_second_cache, of_data])


def _whole_or_masked(vec: _VectorBuilder, n_columns: Any, vectors: int, emit: Callable[[Load, Store], None]) -> None:
    """Emit code twice: for rows of whole vectors, and for rows whose last columns are masked."""
    builder = vec.ir
    offsets = [_constant(v * vec.lanes) for v in range(vectors)]
    whole = builder.icmp_signed("==", n_columns, _constant(vectors * vec.lanes))
    with builder.if_else(whole, likely=True) as (all_of_it, part_of_it):
        with all_of_it:
            emit(lambda row, v: vec.load(row, offsets[v]), lambda value, row, v: vec.store(value, row, offsets[v]))
        with part_of_it:
            masks = [vec.mask_below(builder.sub(n_columns, offset)) for offset in offsets]
            emit(
                lambda row, v: vec.load_masked(row, offsets[v], masks[v]),
                lambda value, row, v: vec.store_masked(value, row, offsets[v], masks[v]),
            )


def _row_at(builder: ir.IRBuilder, base: Any, numbers: Any, k: Any, stride: Any) -> Any:
    """Point at the row of `base` whose number is the k-th of `numbers`."""
    number = builder.zext(builder.load(builder.gep(numbers, [k])), INT64)
    return builder.gep(base, [builder.mul(number, stride)])


_EXTENT_AND_FINISH = ("n_rows", "n_columns", "accumulate", "floor")
_DENSE = (
    "a", "a_offset", "a_row", "a_step", "b", "b_offset", "b_row", "depth", "start", "start_offset",
    "c", "c_offset", "c_row", *_EXTENT_AND_FINISH,
)  # fmt: skip
_SPARSE = (
    "a", "a_offset", "indices", "indices_offset", "b", "b_offset", "b_row", "depth", "start", "start_offset",
    "order", "order_offset", "c", "c_offset", "c_row", *_EXTENT_AND_FINISH,
)  # fmt: skip
_SCATTERING = (
    "a", "a_offset", "indices", "indices_offset", "depth", "order", "order_offset", "b", "b_offset", "b_row",
    "c", "c_offset", "c_row", "n_rows", "n_columns",
)  # fmt: skip
_PREFETCH = ("a", "a_offset", "a_row", "n_rows", "n_columns")
_PANEL = ("a", "a_offset", "a_row", "n_rows", "n_columns", "c", "c_offset")


def _signature(names: Sequence[str], given: Sequence[Any]) -> Any:
    """Fix the types: arrays as they come, flags boolean, the floor of A's dtype, all else integers."""
    named = dict(zip(names, given, strict=True))
    arrays = ("a", "b", "c", "start", "indices", "order")
    fixed = {"accumulate": types.boolean, "floor": named["a"].dtype}
    return types.void(*(kind if name in arrays else fixed.get(name, types.intp) for name, kind in named.items()))


def _code_of(names: Sequence[str], emit: Callable[..., None], *shape: int, **options: bool) -> Callable[..., Any]:
    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[Any]) -> Any:
        emit(_Arguments(context, builder, names, signature, args), *shape, **options)
        return context.get_dummy_value()

    return codegen


def make_dense_tile(rows: int, vectors: int, *, masked: bool = False) -> Any:
    """Build the micro-kernel for a `rows` x `vectors` tile whose B has rows `b_row` elements apart.

    B's rows are read as whole vectors, or, when `masked`, to the last of `n_columns` alone.
    """

    @intrinsic
    def dense_tile(
        typing, a, a_offset, a_row, a_step, b, b_offset, b_row, depth, start, start_offset,
        c, c_offset, c_row, n_rows, n_columns, accumulate, floor,
    ):  # fmt: skip
        given = (a, a_offset, a_row, a_step, b, b_offset, b_row, depth, start, start_offset,
                 c, c_offset, c_row, n_rows, n_columns, accumulate, floor)  # fmt: skip
        return _signature(_DENSE, given), _code_of(_DENSE, _emit_dense_tile, rows, vectors, masked=masked)

    return dense_tile


def make_sparse_tile(rows: int, vectors: int) -> Any:
    """Build the micro-kernel whose k-th row of B is `indices[k]`, for the values A, (depth, rows), of a group of rows.

    Row i of the tile is row `order[i]` of C.
    """

    @intrinsic
    def sparse_tile(
        typing, a, a_offset, indices, indices_offset, b, b_offset, b_row, depth, start, start_offset,
        order, order_offset, c, c_offset, c_row, n_rows, n_columns, accumulate, floor,
    ):  # fmt: skip
        given = (a, a_offset, indices, indices_offset, b, b_offset, b_row, depth, start, start_offset,
                 order, order_offset, c, c_offset, c_row, n_rows, n_columns, accumulate, floor)  # fmt: skip
        return _signature(_SPARSE, given), _code_of(_SPARSE, _emit_sparse_tile, rows, vectors)

    return sparse_tile


def make_scattering_tile(rows: int, vectors: int) -> Any:
    """Build the micro-kernel of the transposed product: C[indices[k]] += sum_i A[k, i] B[order[i]].

    The rows of B stay in registers while the rows of C go by.
    """

    @intrinsic
    def scattering_tile(
        typing, a, a_offset, indices, indices_offset, depth, order, order_offset, b, b_offset, b_row,
        c, c_offset, c_row, n_rows, n_columns,
    ):  # fmt: skip
        given = (a, a_offset, indices, indices_offset, depth, order, order_offset, b, b_offset, b_row,
                 c, c_offset, c_row, n_rows, n_columns)  # fmt: skip
        return _signature(_SCATTERING, given), _code_of(_SCATTERING, _emit_scattering_tile, rows, vectors)

    return scattering_tile


def make_panel_copy(vectors: int) -> Any:
    """Build the copy of the first `n_columns` columns of A to rows of `vectors` vectors, with zeros behind them."""

    @intrinsic
    def copy_panel(typing, a, a_offset, a_row, n_rows, n_columns, c, c_offset):
        given = (a, a_offset, a_row, n_rows, n_columns, c, c_offset)
        return _signature(_PANEL, given), _code_of(_PANEL, _emit_panel_copy, vectors)

    return copy_panel


def make_column_sums(vectors: int) -> Any:
    """Build the sum C[j] += sum_k A[k, j] over the first `n_columns` columns of A, one chain for each."""

    @intrinsic
    def add_column_sums(typing, a, a_offset, a_row, n_rows, n_columns, c, c_offset):
        given = (a, a_offset, a_row, n_rows, n_columns, c, c_offset)
        return _signature(_PANEL, given), _code_of(_PANEL, _emit_column_sums, vectors)

    return add_column_sums


@intrinsic
def prefetch_rows(typing, a, a_offset, a_row, n_rows, n_columns):
    """Ask for the first `n_columns` columns of some rows of A, which will be read soon, without waiting for them."""
    given = (a, a_offset, a_row, n_rows, n_columns)
    return _signature(_PREFETCH, given), _code_of(_PREFETCH, _emit_prefetch)


# Vectors of the last panel of a sparse product, where no more are needed.
SPARSE_TAIL_VECTORS = 2

dense_tile = make_dense_tile(TILE.rows, TILE.vectors)
narrow_dense_tile = make_dense_tile(TILE.rows, 1)
copy_panel = make_panel_copy(TILE.vectors)
copy_narrow_panel = make_panel_copy(1)
copy_sparse_panel = make_panel_copy(SPARSE_TILE.vectors)
copy_sparse_tail_panel = make_panel_copy(SPARSE_TAIL_VECTORS)
add_column_sums = make_column_sums(TILE.vectors)
few_rows_tile = make_dense_tile(1, FEW_ROWS_VECTORS, masked=True)
sparse_tile = make_sparse_tile(SPARSE_TILE.rows, SPARSE_TILE.vectors)
sparse_tail_tile = make_sparse_tile(SPARSE_TILE.rows, SPARSE_TAIL_VECTORS)
scattering_tile = make_scattering_tile(SPARSE_TILE.rows, SCATTERING_VECTORS)
