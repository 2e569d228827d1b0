"""Loops over contiguous vectors, which LLVM turns into vector instructions, and what they cost."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inline
from fastfnn_kernels.jitted._llvm.math import add_in_any_order

# Elements a thread takes at a time: they stay in the innermost cache.
BLOCK = 4096

# What an element costs beside a multiply-add, to decide between one thread and many.
OPERATIONS_OF_EXP = 48


@inline
def copy(source: Any, target: Any) -> None:
    """Copy as many elements as `source` has."""
    for i in range(source.size):
        target[i] = source[i]


@inline
def add(values: Any, total: Any) -> None:
    """Add as many values as there are sums."""
    for j in range(total.size):
        total[j] += values[j]


@inline
def subtract(source: Any, number: Any, target: Any) -> None:
    for j in range(source.size):
        target[j] = source[j] - number


@inline
def multiply(values: Any, factor: Any) -> None:
    for j in range(values.size):
        values[j] *= factor


@inline
def mark_any(a: Any, b: Any, c: Any, marks: Any) -> None:
    """Write 1 where one of three lines is not zero and 0 elsewhere."""
    zero = a.dtype.type(0)
    for j in range(marks.size):
        marks[j] = (a[j] != zero) | (b[j] != zero) | (c[j] != zero)


@inline
def count_nonzero(line: Any) -> int:
    """Count the numbers that are not zero."""
    zero = line.dtype.type(0)
    total = 0
    for j in range(line.size):
        total += line[j] != zero
    return total


@inline
def mark(line: Any, marks: Any) -> None:
    """Write 1 where a line is not zero and 0 elsewhere."""
    zero = line.dtype.type(0)
    for j in range(marks.size):
        marks[j] = line[j] != zero


@inline
def sum_of_squares(values: Any) -> float:
    """Add up squares, in float64."""
    total = 0.0
    for i in range(values.size):
        wide = np.float64(values[i])
        total = add_in_any_order(total, wide * wide)
    return total
