"""Which rows are packed together: those with their non-zeros in much the same places."""

import numpy as np
import pytest
from arrays import Unchanged, clustered, integers, mostly_zeros, read_only
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.packing import ROWS_OF_GROUP, unpack
from hypothesis import given
from hypothesis import strategies as st

SOURCES = [np.uint8, np.float32, np.float64]
N_ROWS = st.integers(0, 7) | st.sampled_from([29, 30, 31, 150])
N_INPUTS = st.integers(0, 200) | st.sampled_from([1, 8, 63, 64, 65, 127, 128, 129])
SOURCE = st.sampled_from(SOURCES)
DENSITY = st.sampled_from([0.0, 0.05, 0.3, 1.0])
SEED = st.integers(0, 2**32 - 1)


@pytest.fixture(params=SOURCES, ids=lambda source: source.__name__)
def source(request):
    return request.param


def pack_alike(kernels, x, dtype, scale=1.0):
    order = kernels.similar_rows(x)
    return kernels.pack_rows(x, dtype, scale, order)._replace(order=order.astype(np.int32))


@given(N_ROWS, N_INPUTS, SOURCE, DENSITY, SEED)
def test_the_kernel_finds_the_order_of_the_reference(n_rows, n_inputs, source, density, seed):
    rng = np.random.default_rng(seed)
    x = read_only(
        ((rng.random((n_rows, n_inputs)) < density) * rng.integers(1, 9, (n_rows, n_inputs))).astype(source)
    )
    unchanged = Unchanged(x)
    order, expected = jitted.similar_rows(x), reference.similar_rows(x)
    assert order.dtype == expected.dtype == np.int64
    assert np.array_equal(order, expected)
    assert np.array_equal(np.sort(order), np.arange(n_rows))
    unchanged.check()


def test_many_rows_of_a_few_kinds(source, rng):
    x = clustered(rng, 400, 150, source)
    order = jitted.similar_rows(x)
    assert np.array_equal(order, reference.similar_rows(x))
    assert np.array_equal(np.sort(order), np.arange(400))


@pytest.mark.parametrize("value", [0, 3])
@pytest.mark.parametrize("n_rows", range(8))
def test_equal_rows_stay_in_their_order(kernels, n_rows, value, source):
    assert kernels.similar_rows(np.full((n_rows, 70), value, source)).tolist() == list(range(n_rows))


def test_a_worked_example(kernels, source):
    """The fullest row comes first, then what differs least from all that the group holds."""
    x = np.array(
        [
            [1, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 9, 9],
            [2, 3, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 7],
            [5, 6, 7, 8, 0, 0],
            [0, 0, 0, 0, 4, 0],
            [0, 0, 5, 5, 0, 0],
        ],
        source,
    )
    assert kernels.similar_rows(x).tolist() == [4, 2, 6, 1, 3, 5, 0]


def test_nan_is_no_zero_and_minus_zero_is_one(kernels):
    x = np.array([[0, -0.0, 0], [np.nan, 0, 0], [np.inf, 1, 0]])
    assert kernels.similar_rows(x).tolist() == [2, 1, 0]


def test_groups_of_rows_alike_hold_fewer_entries(kernels, source, rng):
    x = clustered(rng, 300, 200, source)
    as_they_come = kernels.pack_rows(x, np.float32)
    alike = pack_alike(kernels, x, np.float32)
    assert len(alike.indices) < 0.6 * len(as_they_come.indices)
    assert np.array_equal(unpack(alike), x)


@given(N_ROWS, N_INPUTS, st.sampled_from([1, 5, 33, 130]), SEED)
def test_products_of_rows_in_another_order_are_exact_on_whole_numbers(n_rows, n_inputs, n_outputs, seed):
    rng, dtype = np.random.default_rng(seed), np.dtype(np.float32)
    x, weights = mostly_zeros(rng, (n_rows, n_inputs), dtype), integers(rng, (n_inputs, n_outputs), dtype)
    bias, grad = integers(rng, n_outputs, dtype), integers(rng, (n_rows, n_outputs), dtype)
    order = rng.permutation(n_rows)
    for kernels in (reference, jitted):
        packed = kernels.pack_rows(x, dtype, 1.0, order)._replace(order=order.astype(np.int32))
        assert np.array_equal(unpack(packed), x)
        expected = reference.dense_forward(x, weights, bias, "relu")
        assert np.array_equal(kernels.sparse_forward(packed, weights, bias, "relu"), expected)
        actual, actual_bias = kernels.sparse_weight_gradient(packed, grad)
        assert np.array_equal(actual, x.T @ grad)
        assert np.array_equal(actual_bias, grad.sum(axis=0))


@pytest.mark.parametrize("activation", ["identity", "relu", "sigmoid", "tanh"])
def test_each_row_is_activated_where_it_belongs(kernels, activation, variant, dtype, rng):
    x, weights = clustered(rng, 40, 60, dtype), integers(rng, (60, 150), dtype) / dtype.type(8)
    expected = kernels.sparse_forward(kernels.pack_rows(x, dtype), weights, None, activation)
    assert (
        kernels.sparse_forward(pack_alike(kernels, x, dtype), weights, None, activation).tobytes()
        == expected.tobytes()
    )


def test_a_group_is_as_large_as_the_kernels_take_it():
    assert ROWS_OF_GROUP == 3
