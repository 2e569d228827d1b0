"""Inputs stored without their zeros: groups of rows, and compressed rows."""

import itertools

import numpy as np
import pytest
from arrays import Unchanged, mostly_zeros, normals, read_only
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.jitted.packing import BLOCK
from fastfnn_kernels.packing import ROWS_OF_CHUNK, ROWS_OF_GROUP, Packed, number_of_groups, pack_columns, unpack
from hypothesis import given
from hypothesis import strategies as st

SOURCES = [np.uint8, np.float32, np.float64]
BLOCK_LINES = BLOCK * ROWS_OF_GROUP
N_ROWS = st.sampled_from([*range(8), BLOCK, BLOCK + 1, BLOCK_LINES - 1, BLOCK_LINES, BLOCK_LINES + 1, 150])
N_INPUTS = st.sampled_from([0, 1, 2, 4, 5, 31, 32, 33, 63, 64, 65, 130])
DTYPE = st.sampled_from([np.float32, np.float64])
SOURCE = st.sampled_from(SOURCES)
SEED = st.integers(0, 2**32 - 1)


@pytest.fixture(params=SOURCES, ids=lambda source: source.__name__)
def source(request):
    return request.param


def expanded(compressed):
    """Write a compressed matrix out in full."""
    matrix = np.zeros(compressed.shape, compressed.values.dtype)
    row = np.repeat(np.arange(compressed.shape[0]), np.diff(compressed.offsets))
    matrix[row, compressed.indices] = compressed.values
    return matrix


def arrays_of(stored):
    return [part for part in stored if isinstance(part, np.ndarray)]


def assert_same(actual, expected):
    """Check that every bit of a packed or compressed matrix is as expected."""
    assert actual.shape == expected.shape
    assert type(actual) is type(expected)
    for array, wanted in zip(*map(arrays_of, (actual, expected)), strict=True):
        assert (array.dtype, array.shape) == (wanted.dtype, wanted.shape)
        assert array.flags.c_contiguous
        assert array.tobytes() == wanted.tobytes()


@given(N_ROWS, N_INPUTS, DTYPE, SOURCE, SEED)
def test_packing_loses_nothing(n_rows, n_inputs, dtype, source, seed):
    x = read_only(mostly_zeros(np.random.default_rng(seed), (n_rows, n_inputs), source))
    expected = x.astype(dtype) * dtype(0.5)
    unchanged = Unchanged(x)
    for kernels in (reference, jitted):
        assert np.array_equal(unpack(kernels.pack_rows(x, dtype, 0.5)), expected)
        assert np.array_equal(expanded(kernels.compress_rows(x, dtype, 0.5)), expected)
    unchanged.check()


@given(N_ROWS, N_INPUTS, DTYPE, SOURCE, SEED)
def test_the_kernels_store_what_the_reference_stores(n_rows, n_inputs, dtype, source, seed):
    rng = np.random.default_rng(seed)
    x = mostly_zeros(rng, (n_rows, n_inputs), source)
    rows = rng.integers(0, n_rows, rng.integers(0, 2 * n_rows)) if n_rows else None
    for name in ("pack_rows", "compress_rows"):
        expected = getattr(reference, name)(x, dtype, 0.3, rows)
        assert_same(getattr(jitted, name)(x, dtype, 0.3, rows), expected)


@given(N_ROWS, st.sampled_from([1, 2, 3, 4, 5, 6, 50, 200]), DTYPE, SOURCE, SEED)
def test_batches_are_packed_each_on_its_own(n_rows, batch_size, dtype, source, seed):
    rng = np.random.default_rng(seed)
    x = mostly_zeros(rng, (n_rows, 33), source)
    rows = rng.integers(0, n_rows, rng.integers(0, 2 * n_rows)) if n_rows else None
    expected = reference.pack_batches(x, dtype, batch_size, 0.3, rows)
    assert_same(jitted.pack_batches(x, dtype, batch_size, 0.3, rows), expected)
    taken = x if rows is None else x[rows]
    assert expected.shape == taken.shape
    assert expected.batch_size == batch_size
    firsts = range(0, len(taken), batch_size)
    for first, batch in zip(firsts, expected.batches(), strict=True):
        assert_same(batch, reference.pack_rows(taken[first : first + batch_size], dtype, 0.3))


@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
def test_many_threads_store_the_same(source, density, dtype, threads, rng):
    x = ((rng.random((1201, 783)) < density) * rng.integers(1, 256, (1201, 783))).astype(source)
    rows = rng.permutation(len(x))
    assert_same(jitted.pack_rows(x, dtype, 1 / 255, rows), reference.pack_rows(x, dtype, 1 / 255, rows))
    assert_same(jitted.compress_rows(x, dtype, 1 / 255, rows), reference.compress_rows(x, dtype, 1 / 255, rows))
    expected = reference.pack_batches(x, dtype, 100, 1 / 255, rows)
    assert_same(jitted.pack_batches(x, dtype, 100, 1 / 255, rows), expected)


def test_rows_are_taken_in_their_order_and_may_come_twice(kernels, source, dtype):
    x = np.arange(12).reshape(4, 3).astype(source)
    rows = read_only(np.array([3, 0, 0, 2, 3]))
    unchanged = Unchanged(x, rows)
    assert np.array_equal(unpack(kernels.pack_rows(x, dtype, rows=rows)), x[rows])
    assert np.array_equal(expanded(kernels.compress_rows(x, dtype, rows=rows)), x[rows])
    unchanged.check()


def test_no_rows_are_taken(kernels, dtype, rng):
    x, rows = normals(rng, (4, 3), dtype), np.zeros(0, np.int64)
    assert kernels.pack_rows(x, dtype, rows=rows).shape == (0, 3)
    assert kernels.compress_rows(x, dtype, rows=rows).offsets.tolist() == [0]


def test_a_worked_example(kernels):
    x = np.array([[0, 5, 0], [0, 0, 0], [0, 6, 7], [0, 0, 0], [8, 0, 0]], np.uint8)
    packed = kernels.pack_rows(x, np.float32)
    assert packed.offsets.tolist() == [0, 2, 3]
    assert packed.indices.tolist() == [1, 2, 0]
    assert packed.values.tolist() == [[5, 0, 6], [0, 0, 7], [0, 8, 0]]
    assert packed.order.tolist() == [0, 1, 2, 3, 4]
    assert packed.shape == (5, 3)
    compressed = kernels.compress_rows(x, np.float32)
    assert compressed.offsets.tolist() == [0, 1, 1, 3, 3, 4]
    assert compressed.indices.tolist() == [1, 1, 2, 0]
    assert compressed.values.tolist() == [5, 6, 7, 8]
    for stored in (packed, compressed):
        assert stored.nbytes == sum(array.nbytes for array in arrays_of(stored))


def test_rows_are_written_out_where_their_order_says(dtype):
    offsets, indices = np.array([0, 2, 3]), np.array([0, 2, 1], np.int32)
    values, order = np.array([[1, 2, 3], [4, 0, 5], [6, 0, 0]], dtype), np.array([3, 0, 2, 1], np.int32)
    matrix = unpack(Packed(offsets, indices, values, order, (4, 3)))
    assert matrix.dtype == dtype
    assert matrix.tolist() == [[2, 0, 0], [0, 6, 0], [3, 0, 5], [1, 0, 4]]


def unpacked_columns(columns, shape):
    """Write a matrix stored by columns out in full, entry by entry."""
    matrix, n_groups = np.zeros(shape, columns.values.dtype), number_of_groups(shape[1])
    for number, (first, end) in enumerate(itertools.pairwise(columns.offsets)):
        chunk, group = divmod(number, n_groups)
        taken = columns.order[group * ROWS_OF_GROUP : (group + 1) * ROWS_OF_GROUP]
        rows = chunk * ROWS_OF_CHUNK + columns.indices[first:end]
        assert (np.diff(rows) > 0).all()
        matrix[rows[:, None], taken] = columns.values[first:end, : len(taken)]
        assert not columns.values[first:end, len(taken) :].any()
    return matrix


@pytest.mark.parametrize("n_rows", [0, 1, 5, ROWS_OF_CHUNK, ROWS_OF_CHUNK + 1, 2 * ROWS_OF_CHUNK + 7])
@pytest.mark.parametrize("n_columns", [1, 3, 4, 8])
def test_columns_hold_the_matrix(n_rows, n_columns, source, dtype, kernels, rng):
    x, order = read_only(mostly_zeros(rng, (n_rows, n_columns), source)), rng.permutation(n_columns)
    unchanged = Unchanged(x, order)
    columns = pack_columns(kernels.pack_rows, x, dtype, 0.5, order)
    assert [part.dtype for part in columns] == [np.int64, np.int32, dtype, np.int32]
    assert columns.order.tolist() == order.tolist()
    assert np.array_equal(unpacked_columns(columns, x.shape), x.astype(dtype) * dtype.type(0.5))
    unchanged.check()


def test_a_worked_example_by_columns(kernels):
    x = np.array([[0, 5, 0, 0], [0, 0, 0, 0], [0, 6, 7, 9]], np.uint8)
    columns = pack_columns(kernels.pack_rows, x, np.float32, 1.0, np.array([2, 0, 1, 3]))
    assert columns.offsets.tolist() == [0, 2, 3]
    assert columns.indices.tolist() == [0, 2, 2]
    assert columns.values.tolist() == [[0, 0, 5], [7, 0, 6], [9, 0, 0]]
    assert columns.order.tolist() == [2, 0, 1, 3]
    rows = kernels.pack_rows(x, np.float32)
    assert rows._replace(by_columns=columns).nbytes == rows.nbytes + sum(array.nbytes for array in columns)


@pytest.mark.parametrize(("n_rows", "n_groups"), [(0, 0), (1, 1), (3, 1), (4, 2), (6, 2), (7, 3)])
def test_number_of_groups(n_rows, n_groups):
    assert number_of_groups(n_rows) == n_groups


@pytest.mark.parametrize("source", [np.float32, np.float64])
def test_nan_and_inf_are_kept_and_minus_zero_is_a_zero(kernels, source, dtype):
    x = np.array([[0, np.nan, -0.0, np.inf, 1e-45]], source)
    compressed = kernels.compress_rows(x, dtype)
    assert compressed.indices.tolist() == [1, 3, 4]
    assert np.array_equal(compressed.values, x[0, [1, 3, 4]].astype(dtype), equal_nan=True)
    assert kernels.pack_rows(x, dtype).indices.tolist() == [1, 3, 4]


def test_every_pixel_is_scaled_as_numpy_scales_it(kernels, dtype):
    pixels = np.arange(256, dtype=np.uint8).reshape(2, 128)
    expected = pixels.astype(dtype) * dtype.type(1 / 255)
    assert np.array_equal(unpack(kernels.pack_rows(pixels, dtype, 1 / 255)), expected)
    assert np.array_equal(expanded(kernels.compress_rows(pixels, dtype, 1 / 255)), expected)
