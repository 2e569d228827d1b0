"""Products with packed inputs, against the dense reference."""

import numpy as np
import pytest
from arrays import Unchanged, integers, mostly_zeros, normals, read_only
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.jitted._cpu import UNIT
from fastfnn_kernels.jitted._simd import SPARSE_ROWS, SPARSE_VECTORS
from fastfnn_kernels.jitted.sparse import BLOCK_GROUPS
from fastfnn_kernels.packing import ROWS_OF_GROUP, Packed
from fastfnn_kernels.reference import pack_columns, pack_rows
from hypothesis import given
from hypothesis import strategies as st
from tolerances import assert_product_close

BLOCK_LINES = BLOCK_GROUPS * ROWS_OF_GROUP
LANES = UNIT.lanes(4)
DTYPE = st.sampled_from([np.float32, np.float64])
N_ROWS = st.sampled_from([0, 1, 3, 4, 5, BLOCK_LINES - 1, BLOCK_LINES, BLOCK_LINES + 1, 150])
N_INPUTS = st.sampled_from([1, 2, 4, 5, 63, BLOCK_LINES + 1, 130])
N_OUTPUTS = st.sampled_from(
    [1, 2, LANES - 1, LANES, LANES + 1, SPARSE_VECTORS * LANES, SPARSE_VECTORS * LANES + LANES, 250]
)
SEED = st.integers(0, 2**32 - 1)


def test_the_micro_kernel_has_the_rows_of_a_group():
    assert SPARSE_ROWS == ROWS_OF_GROUP


@given(N_ROWS, N_INPUTS, N_OUTPUTS, DTYPE, st.sampled_from(["identity", "relu"]), SEED)
def test_forward_is_exact_on_whole_numbers(n_rows, n_inputs, n_outputs, dtype, activation, seed):
    rng = np.random.default_rng(seed)
    x, weights = mostly_zeros(rng, (n_rows, n_inputs), dtype), integers(rng, (n_inputs, n_outputs), dtype)
    bias = integers(rng, n_outputs, dtype)
    expected = reference.dense_forward(x, weights, bias, activation)
    assert np.array_equal(jitted.sparse_forward(pack_rows(x, dtype), weights, bias, activation), expected)
    assert np.array_equal(reference.sparse_forward(pack_rows(x, dtype), weights, bias, activation), expected)


@given(N_ROWS, N_INPUTS, N_OUTPUTS, DTYPE, st.booleans(), SEED)
def test_weight_gradient_is_exact_on_whole_numbers(n_rows, n_inputs, n_outputs, dtype, accumulate, seed):
    rng = np.random.default_rng(seed)
    x, grad = mostly_zeros(rng, (n_rows, n_inputs), dtype), integers(rng, (n_rows, n_outputs), dtype)
    first, first_bias = integers(rng, (n_inputs, n_outputs), dtype), integers(rng, n_outputs, dtype)
    for kernels in (reference, jitted):
        out, out_bias = first.copy(), first_bias.copy()
        kernels.sparse_weight_gradient(pack_columns(x, dtype), grad, out, out_bias, accumulate=accumulate)
        assert np.array_equal(out, x.T @ grad + (first if accumulate else 0))
        assert np.array_equal(out_bias, grad.sum(axis=0) + (first_bias if accumulate else 0))


def test_products_stay_under_the_ratio(kernels, dtype, threads, rng):
    x = np.where(rng.random((1200, 300)) < 0.2, normals(rng, (1200, 300), dtype), 0).astype(dtype)
    weights, bias, grad = normals(rng, (300, 70), dtype), normals(rng, 70, dtype), normals(rng, (1200, 70), dtype)
    wider = np.float64 if dtype == np.float32 else np.longdouble
    wide_x, wide_weights, wide_bias, wide_grad = (array.astype(wider) for array in (x, weights, bias, grad))
    exact = wide_x @ wide_weights + wide_bias
    magnitude = np.abs(wide_x) @ np.abs(wide_weights) + np.abs(wide_bias)
    assert_product_close(kernels.sparse_forward(pack_rows(x, dtype), weights, bias), exact, magnitude)
    actual, actual_bias = kernels.sparse_weight_gradient(pack_columns(x, dtype), grad)
    assert_product_close(actual, wide_x.T @ wide_grad, np.abs(wide_x.T) @ np.abs(wide_grad))
    assert_product_close(actual_bias, wide_grad.sum(axis=0), np.abs(wide_grad).sum(axis=0))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_activations_are_fused(activation, dtype, threads, rng):
    x, weights, bias = mostly_zeros(rng, (301, 40), dtype), normals(rng, (40, 33), dtype), normals(rng, 33, dtype)
    z = jitted.sparse_forward(pack_rows(x, dtype), weights, bias)
    y = jitted.sparse_forward(pack_rows(x, dtype), weights, bias, activation)
    assert np.array_equal(y, jitted.activation_forward(z, activation))


def test_out_is_written_and_inputs_are_not(kernels, dtype, rng):
    x, grad = mostly_zeros(rng, (20, 30), dtype), normals(rng, (20, 17), dtype)
    rows, columns = (
        Packed(read_only(p.offsets), read_only(p.indices), read_only(p.values), p.shape)
        for p in (pack_rows(x, dtype), pack_columns(x, dtype))
    )
    weights, bias = read_only(normals(rng, (30, 17), dtype)), read_only(normals(rng, 17, dtype))
    unchanged = Unchanged(*rows[:3], *columns[:3], weights, bias, grad)
    out = np.full((20, 17), np.nan, dtype)
    assert kernels.sparse_forward(rows, weights, bias, "relu", out) is out
    assert np.array_equal(out, kernels.sparse_forward(rows, weights, bias, "relu"))
    out, out_bias = np.full((30, 17), np.nan, dtype), np.full(17, np.nan, dtype)
    kernels.sparse_weight_gradient(columns, read_only(grad), out, out_bias)
    expected = kernels.sparse_weight_gradient(columns, grad)
    assert np.array_equal(out, expected[0])
    assert np.array_equal(out_bias, expected[1])
    unchanged.check()


def test_zeros_are_not_multiplied(dtype):
    x = np.array([[1, 0]], dtype)
    weights = np.array([[2.0], [np.nan]], dtype)
    assert jitted.sparse_forward(pack_rows(x, dtype), weights).tolist() == [[2.0]]
