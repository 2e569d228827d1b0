"""The arguments of micro-kernels: a few NamedTuples, and access to their fields while code is emitted.

Kernels build these tuples in the loop over tiles. LLVM keeps their fields in registers: no tuple exists in memory.
They contain pointers, from `ptr`. An array would be counted as referenced and released by each tuple with it,
for 250 cycles a tile in all. A pointer does not keep its array alive, so the array must be an argument of the
function that calls the micro-kernel, or be used in the next round of its loop too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastfnn_kernels.jitted._llvm.vectors import VectorBuilder


@intrinsic
def ptr(typing, array):  # type: ignore[no-untyped-def]
    """Return a pointer to the first element of an array."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[Any]) -> Any:
        return context.make_array(signature.args[0])(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), codegen


class Operand(NamedTuple):
    """A, which a micro-kernel reads number by number: (i, k) is at `offset + i * row + k * step` of `values`."""

    values: Any
    offset: int
    row: int
    step: int


class Panel(NamedTuple):
    """B, which a micro-kernel reads in vectors: row k of `depth` rows begins at `offset + k * row` of `values`.

    It is a packed panel, or some columns of a matrix.
    """

    values: Any
    offset: int
    row: int
    depth: int


class Group(NamedTuple):
    """A group of packed rows, which a micro-kernel reads entry by entry, from entry `first` to `first + depth`.

    Entry k has a number of each row, all adjacent in `values`, and belongs to row `indices[k]` of the other matrix.
    There are `n_entries` in all groups.
    """

    values: Any
    indices: Any
    first: int
    depth: int
    n_entries: int


class Order(NamedTuple):
    """The rows of a group in its matrix: row i of the group is row `numbers[offset + i]`, of `size` numbers."""

    numbers: Any
    offset: int
    size: int


class Columns(NamedTuple):
    """The columns of a narrow B, contiguous in `values`, one after another; column j's sums begin with `start[j]`."""

    values: Any
    start: Any
    depth: int


class Target(NamedTuple):
    """C: the first `n_rows` rows and `n_columns` columns of a tile are stored, from `offset` on, `row` apart."""

    values: Any
    offset: int
    row: int
    n_rows: int
    n_columns: int


class Finish(NamedTuple):
    """The sums begin with `start`, are added to C or replace it, and are at least `floor`."""

    start: Any
    start_offset: int
    accumulate: bool
    floor: float


class Gate(NamedTuple):
    """An array like C: if `gated`, a number of C is zero where the gate is not above zero."""

    values: Any
    gated: bool


class Ahead(NamedTuple):
    """The memory that a tile prefetches for later tiles.

    From each step to the next, `panel_step` more elements of B's array, from `panel_offset` on. And in each block of
    steps that spans a cache line, the rows `first_row` to `end_row` of the next A, which begins at `offset` of
    `values`; the next block's begin `step` elements later for each step.
    """

    panel_offset: int
    panel_step: int
    values: Any
    offset: int
    row: int
    step: int
    first_row: int
    end_row: int


class Fields:
    """The fields of a NamedTuple argument as LLVM values."""

    def __init__(self, context: Any, builder: ir.IRBuilder, kind: Any, value: Any) -> None:
        self._context, self._builder = context, builder
        self._types = dict(zip(kind.fields, kind.types, strict=True))
        self._values = {name: builder.extract_value(value, i) for i, name in enumerate(kind.fields)}

    def number(self, name: str) -> Any:
        """Return an integer of 64 bits."""
        return self._cast(name, types.intp)

    def flag(self, name: str) -> Any:
        """Return a single bit."""
        return self._cast(name, types.boolean)

    def real(self, name: str, array: str) -> Any:
        """Return a number, converted to the dtype of one of the arrays."""
        return self._cast(name, self.dtype(array))

    def pointer(self, array: str = "values", offset: str = "offset") -> Any:
        """Return a pointer to the element of an array at an offset."""
        return self.pointer_at(array, self.number(offset))

    def pointer_at(self, array: str, offset: Any) -> Any:
        """Return a pointer to the element of an array at an offset that is an LLVM value."""
        return self._builder.gep(self._values[array], [offset])

    def dtype(self, array: str = "values") -> Any:
        """Return the Numba type of an array's elements."""
        return self._types[array].dtype

    def _cast(self, name: str, target: Any) -> Any:
        return self._context.cast(self._builder, self._values[name], self._types[name], target)


def tile_code(given: Sequence[Any], emit: Callable[..., None], *shape: Any) -> tuple[Any, Callable[..., Any]]:
    """Return what Numba expects of an intrinsic: the signature, and the code generator.

    `emit` gets the vectors of the first argument's dtype, the `shape`, and the arguments: NamedTuples as `Fields`,
    others as LLVM values.
    """

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[Any]) -> Any:
        fields = [
            Fields(context, builder, kind, value) if isinstance(kind, types.BaseNamedTuple) else value
            for kind, value in zip(signature.args, args, strict=True)
        ]
        dtype = fields[0].dtype()
        emit(VectorBuilder(builder, context.get_data_type(dtype), dtype.bitwidth // 8), *shape, *fields)
        return context.get_dummy_value()

    return types.void(*given), codegen
