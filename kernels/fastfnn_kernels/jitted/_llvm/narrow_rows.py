"""Operations on rows that fit into a single vector, because LLVM does not vectorise loops over so few numbers.

A row is given by a matrix and the flat offset of its first number. Nothing past its last number is read or written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastfnn_kernels.jitted._llvm.vectors import INT32, INT64, VectorBuilder, constant, element_pointer


class _Row:
    """A row as a vector; the remaining lanes contain the number `fill`."""

    def __init__(self, vec: VectorBuilder, pointer: Any, n_columns: Any, fill: float) -> None:
        self._mask = vec.mask_below(n_columns)
        self._vec = vec
        loaded = vec.load_masked(pointer, constant(0), self._mask)
        self.values = vec.ir.select(self._mask, loaded, ir.Constant(vec.type, [fill] * vec.lanes))

    def largest(self) -> Any:
        """Return the largest number in every lane; if the row contains NaN, the result is undefined."""
        vec, largest = self._vec, self.values
        distance = vec.lanes // 2
        while distance > 0:
            places = [(lane + distance) % vec.lanes for lane in range(vec.lanes)]
            order = ir.Constant(ir.VectorType(INT32, vec.lanes), places)
            largest = vec.maximum(largest, vec.ir.shuffle_vector(largest, largest, order))
            distance //= 2
        return largest

    def store(self, values: Any, pointer: Any) -> None:
        self._vec.store_masked(values, pointer, constant(0), self._mask)


def _code_of(emit: Callable[..., Any], n_rows: int) -> Callable[..., Any]:
    """Return a code generator that calls `emit` with a pointer to each row and the other arguments."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[Any]) -> Any:
        kinds = signature.args
        dtype = kinds[0].dtype
        vec = VectorBuilder(builder, context.get_data_type(dtype), dtype.bitwidth // 8)
        pointers = [
            element_pointer(context, builder, kinds[i], args[i], args[i + 1]) for i in range(0, 2 * n_rows, 2)
        ]
        return emit(vec, *pointers, *args[2 * n_rows :])

    return codegen


def _emit_subtract_largest(vec: VectorBuilder, source: Any, target: Any, n_columns: Any) -> Any:
    row = _Row(vec, source, n_columns, float("-inf"))
    largest = row.largest()
    row.store(vec.ir.fsub(row.values, largest), target)
    return vec.ir.extract_element(largest, constant(0))


def _emit_sum(vec: VectorBuilder, source: Any, n_columns: Any) -> Any:
    return vec.sum_of_lanes(_Row(vec, source, n_columns, 0.0).values, ir.Constant(vec.element, 0.0))


def _emit_argmax(vec: VectorBuilder, source: Any, n_columns: Any) -> Any:
    builder, bits = vec.ir, ir.IntType(vec.lanes)
    row = _Row(vec, source, n_columns, float("-inf"))
    no_numbers = builder.bitcast(builder.fcmp_unordered("uno", row.values, row.values), bits)
    largest = builder.bitcast(builder.fcmp_ordered("==", row.values, row.largest()), bits)
    found = builder.select(builder.icmp_unsigned("!=", no_numbers, ir.Constant(bits, 0)), no_numbers, largest)
    signature = ir.FunctionType(bits, [bits, ir.IntType(1)])
    count_zeros = cgutils.get_or_insert_function(builder.module, signature, f"llvm.cttz.i{vec.lanes}")
    return builder.zext(builder.call(count_zeros, [found, ir.Constant(ir.IntType(1), 0)]), INT64)


@intrinsic
def subtract_largest(typing, source, source_offset, target, target_offset, n_columns):
    """Subtract a row's largest number, and return it. If one is NaN, the results are NaN or almost infinite."""
    given = (source, types.intp, target, types.intp, types.intp)
    return source.dtype(*given), _code_of(_emit_subtract_largest, 2)


@intrinsic
def sum_of_row(typing, source, source_offset, n_columns):
    """Return the sum of a row."""
    return source.dtype(source, types.intp, types.intp), _code_of(_emit_sum, 1)


@intrinsic
def argmax_of_row(typing, source, source_offset, n_columns):
    """Return the index of a row's largest number (the first of equals); NaN counts as larger than any number."""
    return types.intp(source, types.intp, types.intp), _code_of(_emit_argmax, 1)
