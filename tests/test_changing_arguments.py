"""Arguments that another thread or process writes to while a kernel runs: old numbers or new ones, but no crash."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from changing_arguments import PARTS
from fastfnn_kernels import reference
from fastfnn_kernels.jitted import packing
from fastfnn_kernels.jitted._compile.jit import Conversion
from processes import finish, start
from scipy import sparse

from fastfnn.inputs.csr import as_csr, compress_entries, pack_entries, take_rows, write_dense


@pytest.mark.parametrize("part", PARTS)
def test_nothing_outside_the_arguments_is_touched(part):
    finish(start(Path(__file__).parent / "changing_arguments.py", arguments=[part]), timeout=300)


def second_pass(counted, x, dtype):
    """Return what the second pass stores of rows whose non-zeros were counted before they changed."""
    n_rows = len(x)
    offsets = reference.compress_rows(counted, dtype).offsets
    indices, values = np.full(offsets[-1], -7, np.int32), np.full(offsets[-1], np.nan, dtype)
    packing._fill_rows(0, Conversion(x.dtype, dtype), x, np.arange(n_rows), 0.5, offsets, indices, values)
    bounds = itertools.pairwise(offsets)
    return [(indices[first:end].tolist(), values[first:end].tolist()) for first, end in bounds]


def test_lost_non_zeros_are_stored_as_zeros_of_the_last_column(variant, dtype):
    counted = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 0, 1], [0, 0, 0, 0, 0], [1, 1, 0, 0, 0]], np.uint8)
    now = np.array([[0, 0, 8, 0, 6], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 2, 0, 0, 0]], np.uint8)
    first, second, third, fourth = second_pass(counted, now, dtype)
    assert first == ([2, 4, 4, 4, 4], [4, 3, 0, 0, 0])
    assert second == ([4, 4, 4], [0, 0, 0])
    assert third == ([], [])
    assert fourth == ([1, 4], [1, 0])


def test_more_non_zeros_than_counted_are_left_out(variant, dtype):
    counted = np.array([[0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 1]], np.float32)
    now = np.full((3, 4), 2, np.float32)
    assert second_pass(counted, now, dtype) == [([0], [1]), ([], []), ([0, 1], [1, 1])]


@pytest.mark.parametrize("source", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("n_columns", [1, 7, 64, 130])
def test_any_change_between_the_passes_keeps_to_the_columns(variant, source, n_columns, dtype, rng):
    draw = lambda: (rng.random((70, n_columns)) < rng.random((70, 1))).astype(source)  # noqa: E731
    counted, now = draw(), draw()
    lengths = np.count_nonzero(counted, axis=1)
    for row, (indices, values) in enumerate(second_pass(counted, now, dtype)):
        expected = np.flatnonzero(now[row])[: lengths[row]].tolist()
        n_missing = lengths[row] - len(expected)
        assert indices == expected + [n_columns - 1] * n_missing
        assert values == [0.5] * len(expected) + [0.0] * n_missing


def test_groups_keep_to_the_columns_that_were_marked(variant, dtype, rng):
    counted, now = (rng.integers(0, 2, (9, 40)).astype(np.uint8) for _ in range(2))
    expected = reference.pack_rows(counted, dtype, 0.5)
    marks = counted.reshape(3, 3, 40).any(axis=1).astype(np.uint8)
    indices, values = np.full_like(expected.indices, -7), np.full_like(expected.values, np.nan)
    conversion = Conversion(now.dtype, dtype)
    packing._fill_groups(0, conversion, now, np.arange(9), 0.5, 9, 1, marks, expected.offsets, indices, values)
    assert indices.tolist() == expected.indices.tolist()
    group = np.repeat(np.arange(3), np.diff(expected.offsets))
    assert np.array_equal(values, 0.5 * now.reshape(3, 3, 40)[group, :, indices])


def test_rows_of_a_csr_array_that_changes_stay_inside():
    X = sparse.csr_array((np.ones(6, np.float32), [0, 2, 3, 1, 2, 0], [0, 3, 5, 6]), (3, 4))
    X.indptr = X.indptr.astype(np.int64)
    csr = as_csr(X, "X")
    X.indices[[1, 4]] = [2**30, -5]
    X.indptr[1:3] = [-9, 2**30]
    for rows in (slice(0, 3), np.array([2, 0, 1])):
        entries = take_rows(csr, rows)
        assert entries.columns.min() >= 0
        assert entries.columns.max() < 4
        assert len(entries.rows) == len(entries.columns) == len(entries.values) == 6
        assert not np.shares_memory(entries.columns, X.indices)
        for stored in (pack_entries(entries), compress_entries(entries)):
            assert stored.indices.min() >= 0
            assert stored.indices.max() < 4
        write_dense(entries, np.empty((3, 4), np.float32))
