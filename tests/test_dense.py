"""Dense products: against the reference, exactly on whole numbers and within the product ratio elsewhere."""

from unittest import mock

import numpy as np
import pytest
from arrays import Unchanged, integers, misaligned, normals, read_only
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.jitted import dense as jitted_dense
from fastfnn_kernels.jitted._llvm.tile_shapes import COLUMN_ROWS, FEW_ROWS_VECTORS, FLAT_TILE, SHORT_COLUMN_ROWS, TILE
from fastfnn_kernels.jitted._products.block_product import BLOCK_ROWS
from fastfnn_kernels.jitted._products.division import TILES_OF_INPUTS, Grid, Spans
from fastfnn_kernels.jitted._products.tile_product import CONFLICTING_BYTES, DEPTH_CHUNK, ROW_CHUNK
from fastfnn_kernels.jitted.dense import FEW_INPUTS, FEW_ROWS, SMALL_BYTES
from fastfnn_kernels.runtime.cpu import UNIT
from hypothesis import given
from hypothesis import strategies as st
from tolerances import assert_product_close

ACTIVATIONS = ["identity", "relu", "sigmoid", "tanh", "softplus"]
WIDTH = TILE.vectors * UNIT.lanes(4)
FEW_ROWS_WIDTH = FEW_ROWS_VECTORS * UNIT.lanes(4)
MANY_ROWS = 16 * BLOCK_ROWS  # several tasks for each thread
MANY_PANELS = 4
FLAT_WIDTH = FLAT_TILE.vectors * UNIT.lanes(4)
MANY_INPUTS = 4 * TILES_OF_INPUTS * TILE.rows  # from here on, the weight gradient has more tasks
SPAN_ROWS = 3 * ROW_CHUNK
DTYPE = st.sampled_from([np.float32, np.float64])
ROWS = [FEW_ROWS, FEW_ROWS + 1, TILE.rows - 1, TILE.rows, TILE.rows + 1, BLOCK_ROWS - 1, BLOCK_ROWS + 1]
N_ROWS = st.sampled_from([0, 1, 2, *ROWS, 131])
BLOCK_INPUTS = TILES_OF_INPUTS * TILE.rows
N_INPUTS = st.sampled_from([1, 2, 7, TILE.rows, TILE.rows + 1, BLOCK_INPUTS - 1, BLOCK_INPUTS + 1, 205])
NARROW = [
    UNIT.lanes(8),
    UNIT.lanes(8) + 1,
    WIDTH // 2,
    WIDTH // 2 + 1,
    WIDTH - 1,
    WIDTH,
    WIDTH + 1,
    WIDTH + WIDTH // 2,
]
N_OUTPUTS = st.sampled_from(
    [1, 2, FLAT_TILE.rows, FLAT_TILE.rows + 1, *NARROW, 100, FEW_ROWS_WIDTH - 1, FEW_ROWS_WIDTH, FEW_ROWS_WIDTH + 1]
)
SEED = st.integers(0, 2**32 - 1)
LIMIT = st.sampled_from([SMALL_BYTES, -1])


def small_up_to(n_bytes):
    """Compute products of so many bytes where they lie; none where it is -1, and none as those of few inputs."""
    few_inputs = 0 if n_bytes < 0 else jitted_dense.FEW_INPUTS
    return mock.patch.multiple(jitted_dense, SMALL_BYTES=n_bytes, FEW_INPUTS=few_inputs)


@given(N_ROWS, N_INPUTS, N_OUTPUTS, DTYPE, st.booleans(), st.sampled_from(["identity", "relu"]), LIMIT, SEED)
def test_forward_is_exact_on_whole_numbers(n_rows, n_inputs, n_outputs, dtype, use_bias, activation, limit, seed):
    rng = np.random.default_rng(seed)
    x, weights = integers(rng, (n_rows, n_inputs), dtype), integers(rng, (n_inputs, n_outputs), dtype)
    bias = integers(rng, n_outputs, dtype) if use_bias else None
    expected = reference.dense_forward(x, weights, bias, activation)
    with small_up_to(limit):
        assert np.array_equal(jitted.dense_forward(x, weights, bias, activation), expected)


@given(N_ROWS, N_INPUTS, N_OUTPUTS, DTYPE, st.booleans(), LIMIT, SEED)
def test_weight_gradient_is_exact_on_whole_numbers(n_rows, n_inputs, n_outputs, dtype, accumulate, limit, seed):
    rng = np.random.default_rng(seed)
    x, grad = integers(rng, (n_rows, n_inputs), dtype), integers(rng, (n_rows, n_outputs), dtype)
    first, first_bias = integers(rng, (n_inputs, n_outputs), dtype), integers(rng, n_outputs, dtype)
    out, out_bias = first.copy(), first_bias.copy()
    with small_up_to(limit):
        jitted.dense_weight_gradient(x, grad, out, out_bias, accumulate=accumulate)
    assert np.array_equal(out, x.T @ grad + (first if accumulate else 0))
    assert np.array_equal(out_bias, grad.sum(axis=0) + (first_bias if accumulate else 0))


@given(N_ROWS, N_INPUTS, N_OUTPUTS, DTYPE, st.sampled_from(["identity", "relu"]), LIMIT, SEED)
def test_input_gradient_is_exact_on_whole_numbers(n_rows, n_inputs, n_outputs, dtype, activation, limit, seed):
    rng = np.random.default_rng(seed)
    grad, weights = integers(rng, (n_rows, n_outputs), dtype), integers(rng, (n_inputs, n_outputs), dtype)
    x = integers(rng, (n_rows, n_inputs), dtype)
    expected = reference.dense_input_gradient(grad, weights, x, activation)
    with small_up_to(limit):
        assert np.array_equal(jitted.dense_input_gradient(grad, weights, x, activation), expected)


N_SMALL = st.sampled_from(
    sorted({0, 1, 2, SHORT_COLUMN_ROWS, *range(2 * SHORT_COLUMN_ROWS, COLUMN_ROWS + 2), 25, 60})
)
N_SMALL_OUTPUTS = st.sampled_from([1, *NARROW, 2 * WIDTH + 1])


@given(N_SMALL, N_SMALL, N_SMALL_OUTPUTS, DTYPE, st.sampled_from(ACTIVATIONS), st.booleans(), SEED)
def test_small_products_have_the_bits_of_large_ones(n_rows, n_inputs, n_outputs, dtype, activation, accumulate, seed):
    rng = np.random.default_rng(seed)
    x, weights = normals(rng, (n_rows, n_inputs), dtype), normals(rng, (n_inputs, n_outputs), dtype)
    bias, grad = normals(rng, n_outputs, dtype), normals(rng, (n_rows, n_outputs), dtype)

    def products():
        sums = weights.copy(), bias.copy()
        jitted.dense_weight_gradient(x, grad, *sums, accumulate=accumulate)
        y, z = jitted.dense_forward(x, weights, bias, activation), jitted.dense_forward(x, weights)
        return [y, z, jitted.dense_input_gradient(grad, weights, x, activation), *sums]

    with small_up_to(2**20):
        small = products()
    with small_up_to(-1):
        assert [array.tobytes() for array in small] == [array.tobytes() for array in products()]


@pytest.mark.parametrize("n_rows", [FEW_INPUTS, FEW_INPUTS + 1])
@pytest.mark.parametrize("depth", [0, 1, ROW_CHUNK, ROW_CHUNK + 100, DEPTH_CHUNK, DEPTH_CHUNK + 100])
def test_small_products_of_any_depth_have_the_bits_of_large_ones(depth, n_rows, dtype, rng):
    a, b = normals(rng, (n_rows, depth), dtype), normals(rng, (depth, 3), dtype)
    back, across = np.ascontiguousarray(b.T), np.ascontiguousarray(a.T)
    assert a.nbytes + b.nbytes < SMALL_BYTES

    def products():
        return [
            jitted.dense_forward(a, b),
            *jitted.dense_weight_gradient(across, b),
            jitted.dense_input_gradient(a, back),
        ]

    small = products()
    with small_up_to(-1):
        assert [array.tobytes() for array in small] == [array.tobytes() for array in products()]


# (rows, depth, columns), where a negative depth stands for as many rows as fall into the same places of the cache.
EVERY_PATH = [
    (FEW_ROWS, 3, FEW_ROWS_WIDTH + 1),
    (FEW_ROWS, DEPTH_CHUNK + 3, 2 * FEW_ROWS_WIDTH),
    (FEW_ROWS + 1, 3, MANY_PANELS * WIDTH),
    (BLOCK_ROWS + 1, DEPTH_CHUNK + 3, MANY_PANELS * WIDTH + 1),
    (BLOCK_ROWS + 1, 30, (MANY_PANELS // 2 - 1) * WIDTH + 1),
    (MANY_ROWS - BLOCK_ROWS, 7, MANY_PANELS * WIDTH + WIDTH // 2),
    (MANY_ROWS + 1, 7, MANY_PANELS * WIDTH + WIDTH // 2 + 1),
    (FEW_ROWS + 1, -1, WIDTH + 1),
    (2 * BLOCK_ROWS + 1, -1, WIDTH // 2 - 1),
    (2 * BLOCK_ROWS + 1, -1, WIDTH + 1),
    (2 * BLOCK_ROWS + 1, -2, MANY_PANELS * WIDTH + 1),
    (MANY_ROWS + 1, -1, MANY_PANELS * WIDTH + 1),
]


def with_depth(shape, dtype):
    n_rows, depth, n_columns = shape
    return n_rows, depth if depth > 0 else -depth * CONFLICTING_BYTES // dtype.itemsize, n_columns


@pytest.mark.parametrize("shape", EVERY_PATH, ids=str)
def test_every_path_is_exact_on_whole_numbers(shape, variant, dtype, rng):
    n_rows, depth, n_columns = with_depth(shape, dtype)
    x, weights = integers(rng, (n_rows, depth), dtype), integers(rng, (depth, n_columns), dtype)
    bias, y = integers(rng, n_columns, dtype), integers(rng, (n_rows, n_columns), dtype)
    product, back = x @ weights, np.ascontiguousarray(weights.T)
    with small_up_to(-1):
        assert np.array_equal(jitted.dense_forward(x, weights, bias), product + bias)
        assert np.array_equal(jitted.dense_forward(x, weights, bias, "relu"), np.maximum(product + bias, 0))
        assert np.array_equal(jitted.dense_input_gradient(x, back), product)
        assert np.array_equal(jitted.dense_input_gradient(x, back, y, "relu"), product * (y > 0))


@pytest.mark.parametrize("limit", [SMALL_BYTES, -1])
@pytest.mark.parametrize("shape", EVERY_PATH, ids=str)
def test_every_path_computes_the_same_bits_for_a_row(shape, limit, variant, dtype, rng):
    n_rows, depth, n_columns = with_depth(shape, dtype)
    x, weights = normals(rng, (n_rows, depth), dtype), normals(rng, (depth, n_columns), dtype)
    bias = normals(rng, n_columns, dtype)
    together = jitted.dense_forward(x, weights, bias, "tanh")
    for n_taken in {min(n_rows, each) for each in (1, FEW_ROWS, FEW_ROWS + 1, BLOCK_ROWS + 1)}:
        for first in (0, n_rows - n_taken):
            with small_up_to(limit):
                alone = jitted.dense_forward(x[first : first + n_taken], weights, bias, "tanh")
            assert alone.tobytes() == together[first : first + n_taken].tobytes()
    without_bias = jitted.dense_forward(x, weights)
    assert jitted.dense_input_gradient(x, np.ascontiguousarray(weights.T)).tobytes() == without_bias.tobytes()


# (rows, inputs, outputs)
EVERY_BLOCK = [
    (3, MANY_INPUTS - 1, 3),
    (30, MANY_INPUTS + 1, WIDTH + 1),
    (ROW_CHUNK + 1, 2 * MANY_INPUTS + TILE.rows + 1, WIDTH // 2),
    (ROW_CHUNK + 1, -1, WIDTH + WIDTH // 2 + 1),
    (SPAN_ROWS + 1, -1, WIDTH),
    (2 * SPAN_ROWS, BLOCK_INPUTS + 1, WIDTH + 1),
    (ROW_CHUNK + 1, 3 * FLAT_WIDTH, FLAT_TILE.rows),
    (SPAN_ROWS + 1, 4 * FLAT_WIDTH + 1, FLAT_TILE.rows - 1),
    (3, 5 * FLAT_WIDTH - 1, FLAT_TILE.rows + 1),
]


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("shape", EVERY_BLOCK, ids=str)
def test_every_block_of_the_weight_gradient_is_exact_on_whole_numbers(shape, accumulate, variant, dtype, rng):
    n_rows, n_inputs, n_outputs = with_depth(shape, dtype)
    x, grad = integers(rng, (n_rows, n_inputs), dtype), integers(rng, (n_rows, n_outputs), dtype)
    out, out_bias = integers(rng, (n_inputs, n_outputs), dtype), integers(rng, n_outputs, dtype)
    expected = x.T @ grad + (out if accumulate else 0)
    expected_bias = grad.sum(axis=0) + (out_bias if accumulate else 0)
    jitted.dense_weight_gradient(x, grad, out, out_bias, accumulate=accumulate)
    assert np.array_equal(out, expected)
    assert np.array_equal(out_bias, expected_bias)


GRIDS = [Grid(1, 1), Grid(3, 1), Grid(1, 3), Grid(2, 2), Grid(10, 3), Grid(300, 1)]


@pytest.mark.parametrize("shape", [(9 * TILE.rows + 2, 70, 3 * WIDTH + 1), (2, 2 * DEPTH_CHUNK, WIDTH), (30, 0, 40)])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_no_division_changes_a_product(grid, shape, variant, dtype, rng):
    n_rows, depth, n_columns = shape
    x, weights = normals(rng, (n_rows, depth), dtype), normals(rng, (depth, n_columns), dtype)
    back, y = np.ascontiguousarray(weights.T), normals(rng, (n_rows, n_columns), dtype)

    def products():
        return [
            jitted.dense_forward(x, weights, None, "tanh").tobytes(),
            jitted.dense_input_gradient(x, back, y, "relu").tobytes(),
        ]

    with small_up_to(-1), mock.patch.object(jitted_dense, "FEW_ROWS", 0):
        expected = products()
        for n_in_place in (0, n_columns // (TILE.vectors * UNIT.lanes(dtype.itemsize))):
            with mock.patch.object(jitted_dense, "panels_read_in_place", return_value=n_in_place):
                assert products() == expected
        with mock.patch.object(jitted_dense, "divide_product", return_value=grid):
            assert products() == expected


SPANS = [Spans(ROW_CHUNK, 1, 1), Spans(2 * ROW_CHUNK, 5, 1), Spans(ROW_CHUNK, 2, 3), Spans(5 * ROW_CHUNK, 400, 2)]


@pytest.mark.parametrize(
    "shape", [(2 * ROW_CHUNK + 3, 100, 3 * WIDTH + 1), (40, 7 * TILE.rows, WIDTH + 1), (0, 20, 40)]
)
@pytest.mark.parametrize("spans", SPANS, ids=str)
def test_no_division_changes_a_weight_gradient(spans, shape, variant, dtype, rng):
    n_rows, n_inputs, n_columns = shape
    x, grad = normals(rng, (n_rows, n_inputs), dtype), normals(rng, (n_rows, n_columns), dtype)

    def gradients():
        start = np.ones((n_inputs, n_columns), dtype), np.ones(n_columns, dtype)
        added = jitted.dense_weight_gradient(x, grad, *start, accumulate=True)
        return [array.tobytes() for array in (*jitted.dense_weight_gradient(x, grad), *added)]

    with small_up_to(-1):
        expected = gradients()
        with mock.patch.object(jitted_dense, "divide_weight_gradient", return_value=spans):
            assert gradients() == expected


LONG = [
    1,
    ROW_CHUNK - 1,
    ROW_CHUNK,
    ROW_CHUNK + 1,
    DEPTH_CHUNK,
    DEPTH_CHUNK + 1,
    SPAN_ROWS + 1,
    2 * SPAN_ROWS,
]


@pytest.mark.parametrize("length", LONG)
def test_long_reductions_are_exact_on_whole_numbers(length, dtype, threads, rng):
    a, b, bias = integers(rng, (33, length), dtype), integers(rng, (length, 40), dtype), integers(rng, 40, dtype)
    assert np.array_equal(jitted.dense_forward(a, b, bias), a @ b + bias)
    assert np.array_equal(jitted.dense_forward(a, b, bias, "relu"), np.maximum(a @ b + bias, 0))
    weights, bias_gradient = jitted.dense_weight_gradient(np.ascontiguousarray(a.T), b)
    assert np.array_equal(weights, a @ b)
    assert np.array_equal(bias_gradient, b.sum(axis=0))
    assert np.array_equal(jitted.dense_input_gradient(a, np.ascontiguousarray(b.T)), a @ b)


def assert_every_product_close(kernels, x, weights, bias, grad):
    wider = np.float64 if x.dtype == np.float32 else np.longdouble
    wide = [array.astype(wider) for array in (x, weights, bias, grad)]
    exact_x, exact_weights, exact_bias, exact_grad = wide
    size_x, size_weights, size_bias, size_grad = (np.abs(array) for array in wide)
    z = exact_x @ exact_weights + exact_bias
    assert_product_close(kernels.dense_forward(x, weights, bias), z, size_x @ size_weights + size_bias)
    weight_gradient, bias_gradient = kernels.dense_weight_gradient(x, grad)
    assert_product_close(weight_gradient, exact_x.T @ exact_grad, size_x.T @ size_grad)
    assert_product_close(bias_gradient, exact_grad.sum(axis=0), size_grad.sum(axis=0))
    input_gradient = kernels.dense_input_gradient(grad, weights)
    assert_product_close(input_gradient, exact_grad @ exact_weights.T, size_grad @ size_weights.T)


@given(st.integers(1, 150), st.integers(1, 150), st.integers(1, 150), DTYPE, SEED)
def test_products_stay_under_the_ratio(n_rows, n_inputs, n_outputs, dtype, seed):
    rng = np.random.default_rng(seed)
    shapes = ((n_rows, n_inputs), (n_inputs, n_outputs), n_outputs, (n_rows, n_outputs))
    assert_every_product_close(jitted, *(normals(rng, shape, dtype) for shape in shapes))


@pytest.mark.parametrize("shape", [(5000, 300, 20), (60, 5000, 20)])
def test_long_sums_of_one_sign_stay_under_the_ratio(kernels, shape, dtype, rng):
    n_rows, n_inputs, n_outputs = shape
    shapes = ((n_rows, n_inputs), (n_inputs, n_outputs), n_outputs, (n_rows, n_outputs))
    assert_every_product_close(kernels, *(np.abs(normals(rng, each, dtype)) for each in shapes))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_those_on_their_own(activation, dtype, threads, rng):
    x, weights, bias = normals(rng, (70, 90), dtype) / 9, normals(rng, (90, 50), dtype), normals(rng, 50, dtype)
    grad = normals(rng, (70, 90), dtype)
    z = jitted.dense_forward(x, weights, bias)
    y = jitted.dense_forward(x, weights, bias, activation)
    assert np.array_equal(y, jitted.activation_forward(z, activation))
    assert y.shape == (70, 50)
    back = np.ascontiguousarray(weights.T)
    plain = jitted.dense_input_gradient(grad, back)
    assert np.array_equal(
        jitted.dense_input_gradient(grad, back, y, activation), jitted.activation_gradient(y, plain, activation)
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_out_is_written_and_returned(kernels, activation, dtype, rng):
    x, weights, bias = normals(rng, (20, 30), dtype), normals(rng, (30, 17), dtype), normals(rng, 17, dtype)
    grad = normals(rng, (20, 17), dtype)
    given_arrays = [read_only(array) for array in (x, weights, bias, grad)]
    unchanged = Unchanged(*given_arrays)
    x, weights, bias, grad = given_arrays
    out = np.full((20, 17), np.nan, dtype)
    assert kernels.dense_forward(x, weights, bias, activation, out) is out
    assert np.array_equal(out, kernels.dense_forward(x, weights, bias, activation))
    out = np.full((20, 30), np.nan, dtype)
    y = kernels.activation_forward(x, activation)
    assert kernels.dense_input_gradient(grad, weights, y, activation, out) is out
    assert np.array_equal(out, kernels.dense_input_gradient(grad, weights, y, activation))
    out, out_bias = np.full((30, 17), np.nan, dtype), np.full(17, np.nan, dtype)
    returned = kernels.dense_weight_gradient(x, grad, out, out_bias)
    assert returned[0] is out
    assert returned[1] is out_bias
    expected = kernels.dense_weight_gradient(x, grad)
    assert np.array_equal(out, expected[0])
    assert np.array_equal(out_bias, expected[1])
    unchanged.check()


def test_without_bias_there_is_no_bias_gradient(kernels, dtype, rng):
    x, grad = normals(rng, (5, 3), dtype), normals(rng, (5, 2), dtype)
    assert kernels.dense_weight_gradient(x, grad, use_bias=False)[1] is None


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_and_inf_go_where_the_reference_sends_them(special, activation, dtype, rng):
    x, weights, bias = normals(rng, (40, 20), dtype), normals(rng, (20, 50), dtype), normals(rng, 50, dtype)
    grad = normals(rng, (40, 50), dtype)
    x[3, 4] = weights[7, 30] = bias[45] = grad[11, 12] = special
    expected = reference.dense_forward(x, weights, bias, activation)
    expected_weights, expected_bias = reference.dense_weight_gradient(x, grad)
    expected_input = reference.dense_input_gradient(grad, weights, x, activation)
    assert_same_specials(jitted.dense_forward(x, weights, bias, activation), expected)
    actual_weights, actual_bias = jitted.dense_weight_gradient(x, grad)
    assert_same_specials(actual_weights, expected_weights)
    assert_same_specials(actual_bias, expected_bias)
    assert_same_specials(jitted.dense_input_gradient(grad, weights, x, activation), expected_input)


def assert_same_specials(actual, expected):
    assert np.array_equal(np.isnan(actual), np.isnan(expected))
    assert np.array_equal(np.isposinf(actual), np.isposinf(expected))
    assert np.array_equal(np.isneginf(actual), np.isneginf(expected))


def test_a_row_has_the_same_bits_wherever_it_stands(dtype, rng):
    x, weights, bias = normals(rng, (200, 500), dtype), normals(rng, (500, 70), dtype), normals(rng, 70, dtype)
    together = jitted.dense_forward(x, weights, bias, "tanh")
    for row in (0, 13, 14, 55, 56, 195):
        for n_rows in (1, FEW_ROWS, FEW_ROWS + 1):
            alone = jitted.dense_forward(x[row : row + n_rows], weights, bias, "tanh")
            assert alone.tobytes() == together[row : row + n_rows].tobytes()


def test_the_reference_on_a_worked_example(kernels, dtype):
    x = np.array([[1, 2], [3, -4]], dtype)
    weights = np.array([[1, 0, -1], [2, 1, 1]], dtype)
    bias = np.array([0.5, -3, 1], dtype)
    assert kernels.dense_forward(x, weights, bias).tolist() == [[5.5, -1, 2], [-4.5, -7, -6]]
    assert kernels.dense_forward(x, weights, bias, "relu").tolist() == [[5.5, 0, 2], [0, 0, 0]]
    grad = np.array([[1, 0, 2], [0, 1, -1]], dtype)
    assert kernels.dense_weight_gradient(x, grad)[0].tolist() == [[1, 3, -1], [2, -4, 8]]
    assert kernels.dense_weight_gradient(x, grad)[1].tolist() == [1, 1, 1]
    assert kernels.dense_input_gradient(grad, weights).tolist() == [[-1, 4], [1, 0]]
    assert kernels.dense_input_gradient(grad, weights, x, "relu").tolist() == [[-1, 4], [1, 0]]


@pytest.mark.parametrize("n_rows", [5, 33, 700])
def test_arrays_may_begin_at_any_byte(kernels, n_rows, dtype, rng):
    x, w, bias, g = (integers(rng, shape, dtype) for shape in ((n_rows, 200), (200, 40), (40,), (n_rows, 40)))
    expected = [reference.dense_forward(x, w, bias, "relu"), *reference.dense_weight_gradient(x, g)]
    expected.append(reference.dense_input_gradient(g, w, x, "relu"))
    x, w, bias, g = map(misaligned, (x, w, bias, g))
    out = misaligned(np.zeros((n_rows, 40), dtype))
    actual = [kernels.dense_forward(x, w, bias, "relu", out), *kernels.dense_weight_gradient(x, g)]
    actual.append(kernels.dense_input_gradient(g, w, x, "relu"))
    for array, wanted in zip(actual, expected, strict=True):
        assert np.array_equal(array, wanted)
