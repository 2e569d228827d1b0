"""Products with packed inputs, against the dense reference."""

import numpy as np
import pytest
from arrays import Unchanged, integers, mostly_zeros, normals, read_only
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.jitted import sparse
from fastfnn_kernels.jitted._llvm.tile_shapes import SCATTERING_VECTORS, SPARSE_TAIL_VECTORS, SPARSE_TILE
from fastfnn_kernels.packing import ROWS_OF_CHUNK, ROWS_OF_GROUP, Packed, PackedColumns, pack_columns
from fastfnn_kernels.reference import pack_rows
from fastfnn_kernels.runtime.cpu import UNIT
from hypothesis import given
from hypothesis import strategies as st
from tolerances import assert_product_close

LANES = UNIT.lanes(4)
WIDTHS = [vectors * LANES for vectors in (1, SPARSE_TAIL_VECTORS, SCATTERING_VECTORS, SPARSE_TILE.vectors)]
DTYPE = st.sampled_from([np.float32, np.float64])
N_ROWS = st.integers(0, 7) | st.sampled_from([29, 30, 31, 150, 299, 300, 301])
CHUNKS = [ROWS_OF_CHUNK - 1, ROWS_OF_CHUNK, ROWS_OF_CHUNK + 1, 2 * ROWS_OF_CHUNK + 5]
N_INPUTS = st.sampled_from([1, 2, 3, 4, 5, 63, 130])
N_OUTPUTS = st.integers(1, 300) | st.sampled_from([width + more for width in WIDTHS for more in (-1, 0, 1)])
SEED = st.integers(0, 2**32 - 1)


def assert_forward_is_exact(x, weights, bias, activation):
    rows, expected = pack_rows(x, x.dtype), reference.dense_forward(x, weights, bias, activation)
    for kernels in (reference, jitted):
        assert np.array_equal(kernels.sparse_forward(rows, weights, bias, activation), expected)


def packed_both_ways(x):
    """Pack rows, and columns in an order that is not their own."""
    order = np.arange(x.shape[1])[::-1].copy()
    return pack_rows(x, x.dtype)._replace(by_columns=pack_columns(pack_rows, x, x.dtype, 1.0, order))


def assert_gradient_is_exact(x, grad, first, first_bias, accumulate):
    rows = packed_both_ways(x)
    expected = x.T @ grad + (first if accumulate else 0)
    expected_bias = grad.sum(axis=0) + (first_bias if accumulate else 0)
    for kernels, packed in ((reference, rows), (jitted, rows), (jitted, rows._replace(by_columns=None))):
        out, out_bias = first.copy(), first_bias.copy()
        kernels.sparse_weight_gradient(packed, grad, out, out_bias, accumulate=accumulate)
        assert np.array_equal(out, expected)
        assert np.array_equal(out_bias, expected_bias)


def test_the_micro_kernel_has_the_rows_of_a_group():
    assert SPARSE_TILE.rows == ROWS_OF_GROUP


@given(N_ROWS, N_INPUTS, N_OUTPUTS, DTYPE, st.sampled_from(["identity", "relu"]), SEED)
def test_forward_is_exact_on_whole_numbers(n_rows, n_inputs, n_outputs, dtype, activation, seed):
    rng = np.random.default_rng(seed)
    x, weights = mostly_zeros(rng, (n_rows, n_inputs), dtype), integers(rng, (n_inputs, n_outputs), dtype)
    assert_forward_is_exact(x, weights, integers(rng, n_outputs, dtype), activation)


@given(N_ROWS, N_INPUTS, N_OUTPUTS, DTYPE, st.booleans(), SEED)
def test_weight_gradient_is_exact_on_whole_numbers(n_rows, n_inputs, n_outputs, dtype, accumulate, seed):
    rng = np.random.default_rng(seed)
    x, grad = mostly_zeros(rng, (n_rows, n_inputs), dtype), integers(rng, (n_rows, n_outputs), dtype)
    first, first_bias = integers(rng, (n_inputs, n_outputs), dtype), integers(rng, n_outputs, dtype)
    assert_gradient_is_exact(x, grad, first, first_bias, accumulate)


@pytest.mark.parametrize("n_rows", [8, 310])
def test_every_number_of_columns_is_exact_on_whole_numbers(n_rows, variant, dtype, rng):
    x = mostly_zeros(rng, (n_rows, 23), dtype)
    weights, bias, grad = (
        integers(rng, (23, 300), dtype),
        integers(rng, 300, dtype),
        integers(rng, (n_rows, 300), dtype),
    )
    for n_outputs in range(301):
        w, b, g = (np.ascontiguousarray(array[..., :n_outputs]) for array in (weights, bias, grad))
        assert_forward_is_exact(x, w, b, "relu")
        assert_gradient_is_exact(x, g, w, b, n_outputs % 2 == 0)


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("n_inputs", [1, 2, 5, 40])
def test_the_gradient_has_the_same_bits_for_any_number_of_parts(
    monkeypatch, n_inputs, accumulate, variant, dtype, rng
):
    x = np.where(rng.random((301, n_inputs)) < 0.2, normals(rng, (301, n_inputs), dtype), 0).astype(dtype)
    rows, grad = pack_rows(x, dtype), normals(rng, (301, 70), dtype)
    first, results = normals(rng, (n_inputs, 70), dtype), set()
    for n_parts in (1, 2, 3, 4, 7, 8, n_inputs, n_inputs + 1):
        monkeypatch.setattr(sparse, "threads_for", lambda _, n_parts=n_parts: n_parts)
        out, out_bias = first.copy(), np.zeros(70, dtype)
        jitted.sparse_weight_gradient(rows, grad, out, out_bias, accumulate=accumulate)
        results.add((out.tobytes(), out_bias.tobytes()))
    assert len(results) == 1


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("n_groups", [sparse.ENTRIES_BY_COLUMNS, 3 * sparse.ENTRIES_BY_COLUMNS])
@pytest.mark.parametrize("rows_of_last", [1, 2, 3])
def test_threads_that_share_columns_find_the_bits_of_one(
    monkeypatch, n_groups, rows_of_last, accumulate, variant, dtype, rng
):
    n_rows = (n_groups - 1) * ROWS_OF_GROUP + rows_of_last
    n_columns = 4 * SCATTERING_VECTORS * UNIT.lanes(np.dtype(dtype).itemsize)
    x, grad = mostly_zeros(rng, (n_rows, 23), dtype), integers(rng, (n_rows, n_columns), dtype)
    first, first_bias = integers(rng, (23, n_columns), dtype), integers(rng, n_columns, dtype)
    rows, noise, results = pack_rows(x, dtype), normals(rng, grad.shape, dtype), set()
    for n_threads in (1, 2, 3, 4, 8):
        monkeypatch.setattr(sparse, "threads_for", lambda _, n_threads=n_threads: n_threads)
        assert_gradient_is_exact(x, grad, first, first_bias, accumulate)
        out, out_bias = first.copy(), first_bias.copy()
        jitted.sparse_weight_gradient(rows, noise, out, out_bias, accumulate=accumulate)
        results.add((out.tobytes(), out_bias.tobytes()))
    assert len(results) == 1


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("n_rows", CHUNKS)
def test_chunks_of_rows_add_up(n_rows, accumulate, variant, dtype, rng):
    x, grad = mostly_zeros(rng, (n_rows, 23), dtype), integers(rng, (n_rows, 70), dtype)
    assert_gradient_is_exact(x, grad, integers(rng, (23, 70), dtype), integers(rng, 70, dtype), accumulate)


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("n_inputs", [1, 2, 3, 4, 40])
def test_the_gradient_by_columns_has_the_same_bits_for_any_number_of_parts(
    monkeypatch, n_inputs, accumulate, variant, dtype, rng
):
    n_rows, n_columns = ROWS_OF_CHUNK + 301, SPARSE_TILE.vectors * UNIT.lanes(np.dtype(dtype).itemsize) + 70
    x = np.where(rng.random((n_rows, n_inputs)) < 0.2, normals(rng, (n_rows, n_inputs), dtype), 0).astype(dtype)
    rows, grad = packed_both_ways(x), normals(rng, (n_rows, n_columns), dtype)
    first, results = normals(rng, (n_inputs, n_columns), dtype), set()
    for n_parts in (1, 2, 3, 4, 7, 8, 16, 33):
        monkeypatch.setattr(sparse, "threads_for", lambda _, n_parts=n_parts: n_parts)
        out, out_bias = first.copy(), np.zeros(n_columns, dtype)
        jitted.sparse_weight_gradient(rows, grad, out, out_bias, accumulate=accumulate)
        results.add((out.tobytes(), out_bias.tobytes()))
    assert len(results) == 1


def test_the_gradient_by_columns_reads_the_columns_alone(dtype, rng):
    x, grad = mostly_zeros(rng, (50, 7), dtype), integers(rng, (50, 9), dtype)
    rows = packed_both_ways(x)
    gradient, _ = jitted.sparse_weight_gradient(rows._replace(values=np.full_like(rows.values, np.nan)), grad)
    assert np.array_equal(gradient, x.T @ grad)


def assert_products_close(kernels, x, weights, bias, grad):
    wider = np.float64 if x.dtype == np.float32 else np.longdouble
    wide_x, wide_weights, wide_bias, wide_grad = (array.astype(wider) for array in (x, weights, bias, grad))
    exact = wide_x @ wide_weights + wide_bias
    magnitude = np.abs(wide_x) @ np.abs(wide_weights) + np.abs(wide_bias)
    rows = pack_rows(x, x.dtype)
    assert_product_close(kernels.sparse_forward(rows, weights, bias), exact, magnitude)
    for packed in (rows, packed_both_ways(x)):
        actual, actual_bias = kernels.sparse_weight_gradient(packed, grad)
        assert_product_close(actual, wide_x.T @ wide_grad, np.abs(wide_x.T) @ np.abs(wide_grad))
        assert_product_close(actual_bias, wide_grad.sum(axis=0), np.abs(wide_grad).sum(axis=0))


def test_products_stay_under_the_ratio(kernels, dtype, threads, rng):
    x = np.where(rng.random((1200, 300)) < 0.2, normals(rng, (1200, 300), dtype), 0).astype(dtype)
    weights, bias, grad = normals(rng, (300, 70), dtype), normals(rng, 70, dtype), normals(rng, (1200, 70), dtype)
    assert_products_close(kernels, x, weights, bias, grad)


def test_long_sums_of_one_sign_stay_under_the_ratio(kernels, dtype, rng):
    """As long as a tile of the training at the largest share of non-zeros that is packed."""
    x = np.where(rng.random((3072, 30)) < 0.4, np.abs(normals(rng, (3072, 30), dtype)), 0).astype(dtype)
    weights, bias, grad = (np.abs(normals(rng, shape, dtype)) for shape in ((30, 40), 40, (3072, 40)))
    assert_products_close(kernels, x, weights, bias, grad)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_activations_are_fused(activation, dtype, threads, rng):
    x, weights, bias = mostly_zeros(rng, (301, 40), dtype), normals(rng, (40, 333), dtype), normals(rng, 333, dtype)
    z = jitted.sparse_forward(pack_rows(x, dtype), weights, bias)
    y = jitted.sparse_forward(pack_rows(x, dtype), weights, bias, activation)
    assert np.array_equal(y, jitted.activation_forward(z, activation))


@pytest.mark.parametrize("by_columns", [False, True])
def test_out_is_written_and_inputs_are_not(by_columns, kernels, dtype, rng):
    x, grad = mostly_zeros(rng, (20, 30), dtype), normals(rng, (20, 17), dtype)
    packed = packed_both_ways(x)
    columns = PackedColumns(*map(read_only, packed.by_columns))
    rows = Packed(*map(read_only, packed[:4]), packed.shape, columns if by_columns else None)
    weights, bias = read_only(normals(rng, (30, 17), dtype)), read_only(normals(rng, 17, dtype))
    unchanged = Unchanged(*rows[:4], *columns, weights, bias, grad)
    out = np.full((20, 17), np.nan, dtype)
    assert kernels.sparse_forward(rows, weights, bias, "relu", out) is out
    assert np.array_equal(out, kernels.sparse_forward(rows, weights, bias, "relu"))
    out, out_bias = np.full((30, 17), np.nan, dtype), np.full(17, np.nan, dtype)
    returned = kernels.sparse_weight_gradient(rows, read_only(grad), out, out_bias)
    assert returned[0] is out
    assert returned[1] is out_bias
    expected = kernels.sparse_weight_gradient(rows, grad)
    assert np.array_equal(out, expected[0])
    assert np.array_equal(out_bias, expected[1])
    unchanged.check()


def test_without_bias_there_is_no_bias_gradient(kernels, dtype, rng):
    rows, grad = packed_both_ways(mostly_zeros(rng, (5, 3), dtype)), normals(rng, (5, 2), dtype)
    for packed in (rows, rows._replace(by_columns=None)):
        weights, bias = kernels.sparse_weight_gradient(packed, grad, use_bias=False)
        assert weights.shape == (3, 2)
        assert bias is None


@pytest.mark.parametrize("n_rows", [1, 400])
def test_zeros_are_not_multiplied(n_rows, dtype):
    x = np.repeat(np.array([[1, 0]], dtype), n_rows, axis=0)
    weights = np.array([[2.0] * 300, [np.nan] * 300], dtype)
    assert (jitted.sparse_forward(pack_rows(x, dtype), weights) == 2).all()


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", ["identity", "relu", "sigmoid", "tanh"])
def test_nan_and_inf_go_where_the_reference_sends_them(special, activation, dtype, rng):
    """Of full rows, since the reference multiplies zeros too."""
    x, weights, bias = np.ones((7, 5), dtype), normals(rng, (5, 40), dtype), normals(rng, 40, dtype)
    x[3, 4] = weights[2, 30] = bias[35] = special
    grad = normals(rng, (7, 40), dtype)
    grad[1, 12] = special
    rows = pack_rows(x, dtype)
    gradients = reference.sparse_weight_gradient(rows, grad)
    expected = [reference.sparse_forward(rows, weights, bias, activation), *gradients, *gradients]
    actual = [jitted.sparse_forward(rows, weights, bias, activation)]
    for packed in (rows, packed_both_ways(x)):
        actual += jitted.sparse_weight_gradient(packed, grad)
    for array, wanted in zip(actual, expected, strict=True):
        assert np.array_equal(np.isnan(array), np.isnan(wanted))
        infinite = np.isinf(wanted)
        assert np.array_equal(np.isinf(array), infinite)
        assert np.array_equal(array[infinite], wanted[infinite])
