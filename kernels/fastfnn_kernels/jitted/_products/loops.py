"""Loops over contiguous vectors, which LLVM turns into vector instructions.

The functions take views and count from zero. An index that could be negative would need a test for Python's
wraparound, and LLVM does not vectorise a loop with such a test.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inline
from fastfnn_kernels.jitted._llvm.math import add_in_any_order, flush_subnormal, smallest_normal

# Elements that a thread processes at a time. They stay in the first-level cache.
BLOCK = 4096

# Cost of an element with an exponential, in multiply-adds; it decides between one thread and many.
OPERATIONS_OF_EXP = 48


@inline
def copy(source: Any, target: Any) -> None:
    """Copy all elements of `source`."""
    for i in range(source.size):
        target[i] = source[i]


@inline
def add(values: Any, total: Any) -> None:
    """Add `values` to `total`, for all elements of `total`."""
    for j in range(total.size):
        total[j] += values[j]


@inline
def subtract(source: Any, number: Any, target: Any) -> None:
    """Write source - number."""
    for j in range(source.size):
        target[j] = source[j] - number


@inline
def multiply(values: Any, factor: Any) -> None:
    """Multiply all values by a number."""
    for j in range(values.size):
        values[j] *= factor


@inline
def multiply_and_flush(values: Any, factor: Any) -> None:
    """Multiply all values by a number; a product that would be subnormal is 0, and is not even computed."""
    zero = values.dtype.type(0)
    least = smallest_normal(zero) / abs(factor)
    for j in range(values.size):
        values[j] = (zero if abs(values[j]) < least else values[j]) * factor


@inline
def flush(values: Any) -> None:
    """Write 0 where a value is subnormal."""
    for j in range(values.size):
        values[j] = flush_subnormal(values[j])


@inline
def mark_any(a: Any, b: Any, c: Any, marks: Any) -> None:
    """Write 1 where any of three lines is not zero, and 0 elsewhere."""
    zero = a.dtype.type(0)
    for j in range(marks.size):
        marks[j] = (a[j] != zero) | (b[j] != zero) | (c[j] != zero)


@inline
def count_nonzero(line: Any) -> int:
    """Count the non-zeros of a line."""
    zero = line.dtype.type(0)
    total = 0
    for j in range(line.size):
        total += line[j] != zero
    return total


@inline
def mark(line: Any, marks: Any) -> None:
    """Write 1 where a line is not zero, and 0 elsewhere."""
    zero = line.dtype.type(0)
    for j in range(marks.size):
        marks[j] = line[j] != zero


@inline
def sum_in_order(values: Any) -> float:
    """Return the sum of float64 numbers, added one after another."""
    total = 0.0
    for value in values:
        total += value
    return total


@inline
def sum_of_squares(values: Any) -> float:
    """Return the sum of squares, in float64."""
    total = 0.0
    for i in range(values.size):
        wide = np.float64(values[i])
        total = add_in_any_order(total, wide * wide)
    return total
