"""The output layer with its loss: exact where softmax is one-hot, within the product ratio elsewhere."""

import numpy as np
import pytest
from arrays import Unchanged, integers, normals, one_hot_layer, read_only
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.jitted._llvm.tile_shapes import FLAT_TILE, TILE
from fastfnn_kernels.jitted._products.block_product import BLOCK_ROWS
from fastfnn_kernels.jitted._products.tasks import MOST_SHARES
from fastfnn_kernels.jitted._products.tile_product import DEPTH_CHUNK
from fastfnn_kernels.runtime.cpu import UNIT
from hypothesis import given
from hypothesis import strategies as st
from tolerances import assert_product_close

ACTIVATIONS = ["identity", "relu", "sigmoid", "tanh"]
DTYPE = st.sampled_from([np.float32, np.float64])
WIDTH = TILE.vectors * UNIT.lanes(4)
MANY_ROWS = (MOST_SHARES + 1) * BLOCK_ROWS + 1  # more than a block for some shares
N_ROWS = st.sampled_from([0, 1, 2, TILE.rows - 1, TILE.rows + 1, BLOCK_ROWS, 2 * BLOCK_ROWS + 1, MANY_ROWS])
NARROW = [0, 1, 2, WIDTH // 2, WIDTH // 2 + 1, WIDTH - 1, WIDTH, WIDTH + 1, 2 * WIDTH + 1]
N_INPUTS = st.sampled_from([*NARROW, DEPTH_CHUNK + 1])
N_CLASSES = st.sampled_from([1, 2, FLAT_TILE.rows - 1, FLAT_TILE.rows, FLAT_TILE.rows + 1, WIDTH, WIDTH + 1, 70])
SEED = st.integers(0, 2**32 - 1)


@given(N_ROWS, N_INPUTS, N_CLASSES, DTYPE, st.sampled_from(["identity", "relu"]), st.booleans(), SEED)
def test_whole_numbers_are_exact(n_rows, n_inputs, n_classes, dtype, activation, accumulate, seed):
    rng = np.random.default_rng(seed)
    x, labels = integers(rng, (n_rows, n_inputs), dtype), rng.integers(0, n_classes, n_rows)
    weights, bias = one_hot_layer(rng, n_inputs, n_classes, dtype)
    held = integers(rng, weights.shape, dtype), integers(rng, n_classes, dtype)
    results = [
        kernels.dense_cross_entropy(
            x, weights, bias, labels, 1.0, activation, np.full_like(x, np.nan), *map(np.copy, held), accumulate
        )
        for kernels in (jitted, reference)
    ]
    for actual, expected in zip(*results, strict=True):
        assert np.array_equal(actual, expected)


@given(N_ROWS, N_INPUTS, N_CLASSES, DTYPE, st.sampled_from(ACTIVATIONS), st.booleans(), SEED)
def test_gradients_and_loss_are_close_to_those_of_more_digits(
    n_rows, n_inputs, n_classes, dtype, activation, use_bias, seed
):
    rng = np.random.default_rng(seed)
    x, labels = integers(rng, (n_rows, n_inputs), dtype) / dtype(8), rng.integers(0, n_classes, n_rows)
    weights = integers(rng, (n_inputs, n_classes), dtype) / dtype(16)  # logits are exact
    bias = integers(rng, n_classes, dtype) if use_bias else None
    wide = [None if a is None else a.astype(np.float64) for a in (x, weights, bias)]
    expected = reference.dense_cross_entropy(*wide, labels, None, activation)
    actual = jitted.dense_cross_entropy(x, weights, bias, labels, None, activation)
    assert actual[0] == pytest.approx(expected[0], rel=8 * float(np.finfo(dtype).eps))
    assert actual[1] == expected[1]

    share = 1 / max(n_rows, 1)
    probabilities = reference.softmax(reference.dense_forward(*wide))
    of_logits = share * (probabilities + np.eye(n_classes)[labels])
    assert_product_close(actual[2], expected[2], of_logits @ abs(wide[1]).T)
    assert_product_close(actual[3], expected[3], abs(wide[0]).T @ of_logits)
    assert (actual[4] is None) == (expected[4] is None) == (not use_bias)
    if use_bias:
        assert_product_close(actual[4], expected[4], of_logits.sum(axis=0))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("n_rows", [5, MANY_ROWS])
def test_the_gradient_may_take_the_place_of_the_inputs(kernels, activation, n_rows, threads, variant, dtype, rng):
    x, weights = np.tanh(normals(rng, (n_rows, 37), dtype)), normals(rng, (37, 11), dtype)
    rest = weights, normals(rng, 11, dtype), rng.integers(0, 11, n_rows), 0.5, activation
    apart = kernels.dense_cross_entropy(x, *rest)
    assert apart[2] is not x
    in_place = kernels.dense_cross_entropy(x, *rest, out=x)
    assert in_place[2] is x
    for one, other in zip(in_place, apart, strict=True):
        assert np.array_equal(one, other)


def test_the_loss_alone(kernels, dtype, rng):
    x, weights, bias = (read_only(normals(rng, shape, dtype)) for shape in ((150, 6), (6, 3), 3))
    labels = rng.integers(0, 3, 150)
    expected = kernels.dense_cross_entropy(x, weights, bias, labels)[:2]
    assert kernels.dense_cross_entropy(x, weights, bias, labels, with_gradients=False) == (*expected, *3 * [None])


def test_arguments_are_only_read_and_outputs_are_written(kernels, dtype, rng):
    x, weights, bias = (read_only(normals(rng, shape, dtype)) for shape in ((5, 6), (6, 3), 3))
    labels = read_only(rng.integers(0, 3, 5))
    unchanged = Unchanged(x, weights, bias, labels)
    outputs = [np.full_like(like, np.nan) for like in (x, weights, bias)]
    results = kernels.dense_cross_entropy(x, weights, bias, labels, None, "relu", *outputs)
    unchanged.check()
    for result, output in zip(results[2:], outputs, strict=True):
        assert result is output
        assert np.isfinite(output).all()


def test_without_outputs_nothing_is_added_to(kernels, dtype, rng):
    x, weights, labels = normals(rng, (5, 6), dtype), normals(rng, (6, 3), dtype), rng.integers(0, 3, 5)
    for one, other in zip(
        kernels.dense_cross_entropy(x, weights, None, labels),
        kernels.dense_cross_entropy(x, weights, None, labels, accumulate=True),
        strict=True,
    ):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_and_inf_go_where_the_reference_sends_them(special, activation, dtype, rng):
    x, weights, labels = normals(rng, (40, 6), dtype), normals(rng, (6, 4), dtype), rng.integers(0, 4, 40)
    x[17, 3] = special
    expected = reference.dense_cross_entropy(x, weights, None, labels, 1.0, activation)
    actual = jitted.dense_cross_entropy(x, weights, None, labels, 1.0, activation)
    assert actual[1] == expected[1]
    for one, other in ((actual[i], expected[i]) for i in (0, 2, 3)):
        assert one == pytest.approx(other, abs=1e-4, nan_ok=True)


def test_it_agrees_with_finite_differences(kernels, rng):
    x, weights, bias = normals(rng, (7, 5), np.float64), normals(rng, (5, 3), np.float64), normals(rng, 3, np.float64)
    labels, step = rng.integers(0, 3, 7), 1e-6
    _, _, *gradients = kernels.dense_cross_entropy(x, weights, bias, labels)
    for array, gradient in zip((x, weights, bias), gradients, strict=True):
        for place in np.ndindex(array.shape):
            held = array[place]
            array[place] = held + step
            beyond = kernels.dense_cross_entropy(x, weights, bias, labels)[0]
            array[place] = held - step
            before = kernels.dense_cross_entropy(x, weights, bias, labels)[0]
            array[place] = held
            assert (beyond - before) / (2 * step) == pytest.approx(gradient[place], abs=1e-8)
