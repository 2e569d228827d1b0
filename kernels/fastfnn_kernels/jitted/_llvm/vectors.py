"""Building blocks of all micro-kernels: LLVM's instructions on vectors of one element type.

Loads and stores assume the alignment of one element, because NumPy guarantees no more. Addresses are computed with
`gep` from the array's own pointer, never through integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastfnn_kernels.runtime.cpu import UNIT

INT64 = ir.IntType(64)
INT32 = ir.IntType(32)

CACHE_LINE = 64

# Before LLVM 22 masked loads and stores took their alignment as an argument.
MASKED_ACCESS_TAKES_ALIGNMENT = llvm.llvm_version_info < (22,)


class VectorBuilder:
    """LLVM's builder, extended by vectors of one element type."""

    def __init__(self, builder: ir.IRBuilder, element: ir.Type, itemsize: int) -> None:
        self.ir = builder
        self.element = element
        self.itemsize = itemsize
        self.lanes = UNIT.lanes(itemsize)
        self.line = CACHE_LINE // itemsize
        self.type = ir.VectorType(element, self.lanes)
        self._suffix = f"v{self.lanes}f{8 * itemsize}"

    def address(self, base: Any, offset: Any) -> Any:
        """Return a pointer to the vector that begins `offset` elements after `base`."""
        return self.ir.bitcast(self.ir.gep(base, [offset]), self.type.as_pointer())

    def load(self, base: Any, offset: Any) -> Any:
        """Load a whole vector."""
        return self.ir.load(self.address(base, offset), align=self.itemsize)

    def store(self, value: Any, base: Any, offset: Any) -> None:
        """Store a whole vector."""
        self.ir.store(value, self.address(base, offset), align=self.itemsize)

    def mask_below(self, count: Any) -> Any:
        """Return a mask that is set in the first `count` lanes."""
        numbers = ir.Constant(ir.VectorType(INT64, self.lanes), list(range(self.lanes)))
        return self.ir.icmp_signed("<", numbers, self._splat(count, INT64))

    def load_masked(self, base: Any, offset: Any, mask: Any) -> Any:
        """Load where the mask is set; the other lanes are zero."""
        args = [self.address(base, offset), *self._alignment(), mask, ir.Constant(self.type, None)]
        return self._call("masked.load", self.type, args, ".p0")

    def store_masked(self, value: Any, base: Any, offset: Any, mask: Any) -> None:
        """Store where the mask is set."""
        args = [value, self.address(base, offset), *self._alignment(), mask]
        self._call("masked.store", ir.VoidType(), args, ".p0")

    def broadcast(self, scalar: Any) -> Any:
        """Copy a number into every lane."""
        return self._splat(scalar, self.element)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """Return a * b + c: a single instruction if the CPU has it, otherwise a multiply and an add."""
        return self._call("fmuladd", self.type, [a, b, c])

    def maximum(self, value: Any, floor: Any) -> Any:
        """Return the larger number in each lane, and NaN where `value` is NaN."""
        below = self.ir.fcmp_ordered("<", value, floor)
        return self.ir.select(below, floor, value)

    def prefetch(self, pointer: Any, *, to_write: bool = False, cache_level: int = 2) -> None:
        """Prefetch the cache line at a pointer into the second-level cache, or into the first-level one."""
        address = ir.IntType(8).as_pointer()
        signature = ir.FunctionType(ir.VoidType(), [address, INT32, INT32, INT32])
        prefetch = cgutils.get_or_insert_function(self.ir.module, signature, "llvm.prefetch.p0")
        locality, of_data = 4 - cache_level, 1
        codes = [ir.Constant(INT32, code) for code in (int(to_write), locality, of_data)]
        self.ir.call(prefetch, [self.ir.bitcast(pointer, address), *codes])

    def sum_of_lanes(self, value: Any, first: Any) -> Any:
        """Add all lanes to `first`, in an order that suits the CPU's instructions."""
        signature = ir.FunctionType(self.element, [self.element, self.type])
        name = f"llvm.vector.reduce.fadd.{self._suffix}"
        add_up = cgutils.get_or_insert_function(self.ir.module, signature, name)
        return self.ir.call(add_up, [first, value], fastmath=("reassoc",))

    def pick(self, first: Any, second: Any, lanes: Sequence[int]) -> Any:
        """Combine lanes of two vectors; the numbers of the second vector's lanes continue those of the first."""
        return self.ir.shuffle_vector(first, second, ir.Constant(ir.VectorType(INT32, self.lanes), list(lanes)))

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


# Functions that emit the load of a row's v-th vector, or the store of a value there.
Load = Callable[[Any, int], Any]
Store = Callable[[Any, Any, int], None]


def constant(number: int) -> ir.Constant:
    """Return an LLVM constant of 64 bits."""
    return ir.Constant(INT64, number)


def element_pointer(context: Any, builder: ir.IRBuilder, array_type: Any, array: Any, offset: Any) -> Any:
    """Return a pointer to the element at a flat offset in an array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


def existing(builder: ir.IRBuilder, count: Any, numbers: int) -> list[Any]:
    """Return the index of each row of a tile. Past the last row, its index is repeated: nothing outside is read."""
    last = builder.sub(count, constant(1))
    return [builder.select(builder.icmp_signed("<", last, constant(i)), last, constant(i)) for i in range(numbers)]


class Arguments:
    """The arguments of a micro-kernel by name, and the vectors of its dtype."""

    def __init__(self, context: Any, builder: ir.IRBuilder, names: Sequence[str], signature: Any, args: Any) -> None:
        self._context = context
        self._named = dict(zip(names, zip(signature.args, args, strict=True), strict=True))
        dtype = self._named["a"][0].dtype
        self.vec = VectorBuilder(builder, context.get_data_type(dtype), dtype.bitwidth // 8)

    def value(self, name: str) -> Any:
        """Return an argument's LLVM value."""
        return self._named[name][1]

    def pointer(self, name: str, offset: str = "") -> Any:
        """Return a pointer to an array's first element, at its own offset or the one called `offset`."""
        return element_pointer(self._context, self.vec.ir, *self._named[name], self.value(offset or f"{name}_offset"))


def whole_or_masked(vec: VectorBuilder, n_columns: Any, vectors: int, emit: Callable[[Load, Store], None]) -> None:
    """Emit code in two versions: for rows of whole vectors, and for rows whose last vectors are masked."""
    builder = vec.ir
    offsets = [constant(v * vec.lanes) for v in range(vectors)]
    whole = builder.icmp_signed("==", n_columns, constant(vectors * vec.lanes))
    with builder.if_else(whole, likely=True) as (all_of_it, part_of_it):
        with all_of_it:
            emit(lambda row, v: vec.load(row, offsets[v]), lambda value, row, v: vec.store(value, row, offsets[v]))
        with part_of_it:
            masks = [vec.mask_below(builder.sub(n_columns, offset)) for offset in offsets]
            emit(
                lambda row, v: vec.load_masked(row, offsets[v], masks[v]),
                lambda value, row, v: vec.store_masked(value, row, offsets[v], masks[v]),
            )


def overlapped_or_masked(
    vec: VectorBuilder, n_columns: Any, vectors: int, emit: Callable[[int, Load, Store], None]
) -> None:
    """Emit code for rows of one to `vectors` vectors, in which the last vector ends at the end of the row.

    The last two vectors may overlap, so code that changes them must load both before storing either. A row shorter
    than one vector is masked.
    """
    builder = vec.ir
    last = builder.sub(n_columns, constant(vec.lanes))
    with builder.if_else(builder.icmp_signed(">=", last, constant(0)), likely=True) as (several, part_of_one):
        with several:
            for n_vectors in range(1, vectors + 1):
                offsets = [*(constant(v * vec.lanes) for v in range(n_vectors - 1)), last]
                beyond = builder.sub(n_columns, constant((n_vectors - 1) * vec.lanes))
                fits = builder.and_(
                    builder.icmp_signed(">", beyond, constant(0)),
                    builder.icmp_signed("<=", beyond, constant(vec.lanes)),
                )
                with builder.if_then(fits):
                    load, store = _access_at(vec, offsets)
                    emit(n_vectors, load, store)
        with part_of_one:
            mask = vec.mask_below(n_columns)
            emit(
                1,
                lambda row, v: vec.load_masked(row, constant(0), mask),
                lambda value, row, v: vec.store_masked(value, row, constant(0), mask),
            )


def _access_at(vec: VectorBuilder, offsets: Sequence[Any]) -> tuple[Load, Store]:
    return lambda row, v: vec.load(row, offsets[v]), lambda value, row, v: vec.store(value, row, offsets[v])


def signature_of(names: Sequence[str], given: Sequence[Any]) -> Any:
    """Return the signature: the types of arrays A and C as given, all others integers."""
    return types.void(*(kind if name in ("a", "c") else types.intp for name, kind in zip(names, given, strict=True)))


def code_of(names: Sequence[str], emit: Callable[..., None], *shape: int) -> Callable[..., Any]:
    """Return the code generator that Numba expects, which calls `emit` with the named arguments."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[Any]) -> Any:
        emit(Arguments(context, builder, names, signature, args), *shape)
        return context.get_dummy_value()

    return codegen
