"""Packing mostly-zero inputs, in two passes.

The first pass marks and counts the entries of each row or group of rows. This determines the offset of each row or
group, so threads can write them independently in the second pass. Positions are collected without branches, which the
CPU would often mispredict on pixel data. Every position is written to the slot of the next non-zero, and the slot
advances only if it is one.

Another thread may write to the inputs between the passes. The second pass keeps to the room that the first one
counted: it leaves out further non-zeros, and stores zeros in place of missing ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from fastfnn_kernels.jitted._compile.jit import (
    BytesIn2,
    Conversion,
    In2,
    Int,
    IntegersIn1,
    Out1,
    Out2,
    OutBytes2,
    OutIndices1,
    OutIntegers1,
    Real,
    SourceIn2,
    inline,
    kernel,
    threads_for,
)
from fastfnn_kernels.jitted._llvm.transfers import prefetch_rows
from fastfnn_kernels.jitted._products.indices import index_below
from fastfnn_kernels.jitted._products.loops import count_nonzero, mark, mark_any
from fastfnn_kernels.jitted._products.tasks import next_task
from fastfnn_kernels.packing import (
    ROWS_OF_GROUP,
    Compressed,
    Packed,
    PackedBatches,
    number_of_groups_in_batches,
)
from fastfnn_kernels.workspace import Workspace, empty_in

# Groups or rows that a thread packs at a time.
BLOCK = 16

# Marks past the last column of a row. They add up to at least its length, so collecting ends there at the latest.
END = 255

# Distance in groups from the group being packed to the group being prefetched.
AHEAD = 2


def pack_rows(x: NDArray[Any], dtype: Any, scale: float = 1.0, rows: NDArray[np.int64] | None = None) -> Packed:
    """Pack rows of scale * x; see `fastfnn_kernels.reference.pack_rows`."""
    rows = np.arange(len(x)) if rows is None else rows
    batch = pack_batches(x, dtype, max(len(rows), 1), scale, rows)
    return Packed(*batch[:3], np.arange(len(rows), dtype=np.int32), batch.shape)


def pack_batches(
    x: NDArray[Any],
    dtype: Any,
    batch_size: int,
    scale: float = 1.0,
    rows: NDArray[np.int64] | None = None,
    workspace: Workspace | None = None,
) -> PackedBatches:
    """Pack batches of rows of scale * x; see `fastfnn_kernels.reference.pack_batches`."""
    rows = np.arange(len(x)) if rows is None else rows
    n_rows, n_columns = len(rows), x.shape[1]
    n_groups = number_of_groups_in_batches(n_rows, batch_size)
    operations = n_rows * n_columns
    marks = empty_in(workspace, "marks", (n_groups, n_columns), np.uint8)
    offsets = empty_in(workspace, "offsets", (n_groups + 1,), np.int64)
    _mark_groups(operations, x.dtype, x, rows, batch_size, marks, offsets)
    n_entries = int(offsets[-1])
    indices = empty_in(workspace, "indices", (n_entries,), np.int32)
    values = empty_in(workspace, "values", (n_entries, ROWS_OF_GROUP), dtype)
    numbers = (scale, batch_size, threads_for(operations))
    _fill_groups(operations, Conversion(x.dtype, values.dtype), x, rows, *numbers, marks, offsets, indices, values)
    return PackedBatches(offsets, indices, values, batch_size, (n_rows, n_columns))


def compress_rows(
    x: NDArray[Any], dtype: Any, scale: float = 1.0, rows: NDArray[np.int64] | None = None
) -> Compressed:
    """Store the non-zeros of rows of scale * x; see `fastfnn_kernels.reference.compress_rows`."""
    rows = np.arange(len(x)) if rows is None else rows
    n_rows, n_columns = len(rows), x.shape[1]
    operations = n_rows * n_columns
    offsets = np.empty(n_rows + 1, np.int64)
    _count_in_rows(operations, x.dtype, x, rows, offsets)
    indices, values = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], dtype)
    _fill_rows(operations, Conversion(x.dtype, values.dtype), x, rows, scale, offsets, indices, values)
    return Compressed(offsets, indices, values, (n_rows, n_columns))


@inline
def _rows_of_group(rows: Any, batch_size: int, group: int) -> Any:
    """Return the row numbers of a group: up to three rows of one batch."""
    n_groups = (batch_size + ROWS_OF_GROUP - 1) // ROWS_OF_GROUP
    first_of_batch = group // n_groups * batch_size
    first = first_of_batch + group % n_groups * ROWS_OF_GROUP
    return rows[first : min(first + ROWS_OF_GROUP, first_of_batch + batch_size, rows.size)]


@inline
def _lines(x: Any, rows: Any) -> Any:
    """Return three rows; past the last row, the last is repeated, which marks nothing new."""
    last, n = rows.size - 1, x.shape[0]
    second, third = rows[min(1, last)], rows[min(2, last)]
    return x[index_below(rows[0], n)], x[index_below(second, n)], x[index_below(third, n)]


@inline
def _prefetch_group(x: Any, rows: Any, batch_size: int, group: int) -> None:
    """Prefetch the rows of a group, which may be anywhere in x."""
    for row in _rows_of_group(rows, batch_size, group):
        prefetch_rows(x, row * x.shape[1], x.shape[1], 1, x.shape[1])


@inline
def _add_up(counts: Any) -> None:
    """Replace the counts, at the indices from 1 on, by offsets: the start of each line and the end of the last."""
    counts[0] = 0
    for i in range(1, counts.size):
        counts[i] += counts[i - 1]


@kernel
def _mark_groups(x: In2, rows: IntegersIn1, batch_size: Int, marks: OutBytes2, offsets: OutIntegers1) -> None:
    """Write 1 where any row of a group is not zero, and 0 elsewhere; then write the offsets."""
    for group in prange(offsets.size - 1):
        _prefetch_group(x, rows, batch_size, min(group + AHEAD, offsets.size - 2))
        a, b, c = _lines(x, _rows_of_group(rows, batch_size, group))
        mark_any(a, b, c, marks[group])
        offsets[group + 1] = _sum(marks[group])
    _add_up(offsets)


@inline
def _sum(marks: Any) -> int:
    total = 0
    for j in range(marks.size):
        total += marks[j]
    return total


@kernel
def _fill_groups(
    x: SourceIn2,
    rows: IntegersIn1,
    scale: Real,
    batch_size: Int,
    n_threads: Int,
    marks: BytesIn2,
    offsets: IntegersIn1,
    indices: OutIndices1,
    values: Out2,
) -> None:
    n_groups = marks.shape[0]
    n_blocks = (n_groups + BLOCK - 1) // BLOCK
    counters = np.zeros(n_threads, np.int64)
    for worker in prange(n_threads):
        while True:
            block = next_task(counters, worker, n_blocks)
            if block >= n_blocks:
                break
            for group in range(block * BLOCK, min((block + 1) * BLOCK, n_groups)):
                first, end = offsets[group], offsets[group + 1]
                group_indices, group_values = indices[first:end], values[first:end]
                taken = _rows_of_group(rows, batch_size, group)
                a, b, c = _lines(x, taken)
                _prefetch_group(x, rows, batch_size, min(group + AHEAD, n_groups - 1))
                _collect(marks[group], group_indices)
                _take_group(a, b, c, group_indices, scale, group_values)
                group_values[:, taken.size :] = 0


@inline
def _collect(marks: Any, indices: Any) -> int:
    """Write the positions of the ones until `indices` is full; return the number of positions passed."""
    n, j = 0, 0
    while n < indices.size:
        indices[n] = j
        n += marks[j]
        j += 1
    return j


@inline
def _take_group(a: Any, b: Any, c: Any, indices: Any, scale: Any, values: Any) -> None:
    """Convert and scale the numbers of three rows at the indices."""
    for n in range(indices.size):
        j = np.uintp(indices[n])
        values[n, 0] = values.dtype.type(a[j]) * scale
        values[n, 1] = values.dtype.type(b[j]) * scale
        values[n, 2] = values.dtype.type(c[j]) * scale


@kernel
def _count_in_rows(x: In2, rows: IntegersIn1, offsets: OutIntegers1) -> None:
    for row in prange(rows.size):
        offsets[row + 1] = count_nonzero(x[index_below(rows[row], x.shape[0])])
    _add_up(offsets)


@kernel
def _fill_rows(
    x: SourceIn2, rows: IntegersIn1, scale: Real, offsets: IntegersIn1, indices: OutIndices1, values: Out1
) -> None:
    n_blocks, n_columns = (rows.size + BLOCK - 1) // BLOCK, x.shape[1]
    scratch = np.empty((n_blocks, n_columns + n_columns // END + 1), np.uint8)
    for block in prange(n_blocks):
        marks = scratch[block]
        marks[n_columns:] = END
        for row in range(block * BLOCK, min((block + 1) * BLOCK, rows.size)):
            first, end = offsets[row], offsets[row + 1]
            line = x[index_below(rows[row], x.shape[0])]
            mark(line, marks[:n_columns])
            if _collect(marks, indices[first:end]) > n_columns:  # non-zeros have gone since they were counted
                found = first + _sum(marks[:n_columns])
                for n in range(found, end):
                    indices[n], values[n] = n_columns - 1, 0
                end = found
            _take(line, indices[first:end], scale, values[first:end])


@inline
def _take(line: Any, indices: Any, scale: Any, values: Any) -> None:
    """Convert and scale the numbers at the indices."""
    for n in range(indices.size):
        values[n] = values.dtype.type(line[np.uintp(indices[n])]) * scale
