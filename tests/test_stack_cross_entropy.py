"""The loss and all gradients of a small network by one call: exact on whole numbers, close to float64 elsewhere."""

import itertools

import numpy as np
import pytest
from arrays import Unchanged, integers, normals, one_hot_layer, read_only
from fastfnn_kernels import jitted, reference, runtime
from fastfnn_kernels.jitted._llvm.dot_tiles import FEW_OUTPUTS
from fastfnn_kernels.jitted._llvm.tile_shapes import COLUMN_ROWS, TILE
from fastfnn_kernels.jitted._products.tasks import MOST_SHARES
from fastfnn_kernels.jitted.stack_cross_entropy import BLOCK_ROWS
from fastfnn_kernels.runtime.cpu import UNIT
from hypothesis import given
from hypothesis import strategies as st
from layer_stacks import ACTIVATIONS, as_float64, draw_layers, joined, split, stack_cross_entropy

DTYPE = st.sampled_from([np.float32, np.float64])
SEED = st.integers(0, 2**32 - 1)
WIDE = TILE.vectors * UNIT.lanes(4)
MANY_ROWS = (MOST_SHARES + 1) * BLOCK_ROWS + 1  # more than a block for some shares
N_ROWS = st.sampled_from([0, 1, 2, TILE.rows - 1, TILE.rows + 1, BLOCK_ROWS, 2 * BLOCK_ROWS + 1, MANY_ROWS])
WIDTH = st.sampled_from(
    [1, 2, FEW_OUTPUTS, FEW_OUTPUTS + 1, COLUMN_ROWS, COLUMN_ROWS + 1, WIDE // 2 + 1, WIDE, WIDE + 1, 70]
)
WIDTHS = st.lists(WIDTH, min_size=2, max_size=4)


@given(N_ROWS, WIDTHS, st.booleans(), DTYPE, st.booleans(), SEED)
def test_whole_numbers_are_exact(n_rows, widths, use_bias, dtype, accumulate, seed):
    rng = np.random.default_rng(seed)
    # From -1 to 1 before the last layer: sums stay far below 2**24.
    weights = [integers(rng, shape, dtype) // 4 for shape in itertools.pairwise(widths[:-1])]
    biases = [integers(rng, w.shape[1], dtype) if use_bias else None for w in weights]
    last, last_bias = one_hot_layer(rng, widths[-2], widths[-1], dtype)
    layers = ([*weights, last], [*biases, last_bias], [*rng.choice(["identity", "relu"], len(weights)), "identity"])
    x, labels = integers(rng, (n_rows, widths[0]), dtype), rng.integers(0, widths[-1], n_rows)
    held = integers(rng, joined(*layers[:2]).size, dtype)
    results = [
        stack_cross_entropy(kernels, x, *layers, labels, 1.0, 2.0, 4.0, held.copy(), accumulate)
        for kernels in (jitted, reference)
    ]
    (loss, n_correct, gradient), (exact_loss, exact_correct, exact_gradient) = results
    assert (loss, n_correct) == (exact_loss, exact_correct)
    assert np.array_equal(gradient, exact_gradient)


@given(N_ROWS, WIDTHS, st.booleans(), DTYPE, SEED)
def test_gradients_and_loss_are_close_to_those_of_more_digits(n_rows, widths, use_bias, dtype, seed):
    rng = np.random.default_rng(seed)
    weights, biases = draw_layers(rng, widths, dtype, use_bias)
    activations = rng.choice(ACTIVATIONS, len(weights)).tolist()
    x, labels = normals(rng, (n_rows, widths[0]), dtype), rng.integers(0, widths[-1], n_rows)
    wide = (x.astype(np.float64), as_float64(weights), as_float64(biases), activations)
    exact = stack_cross_entropy(reference, *wide, labels, None, 0.1, 0.2)
    actual = stack_cross_entropy(jitted, x, weights, biases, activations, labels, None, 0.1, 0.2)
    limit = 256 * float(np.finfo(dtype).eps)
    assert actual[0] == pytest.approx(exact[0], rel=limit)
    assert abs(actual[1] - exact[1]) <= ties(wide, limit)
    sizes = largest_terms(*wide, labels)
    layers = [split(gradient, weights, biases) for gradient in (actual[2], exact[2])]
    for made, expected, parameters, size in zip(
        *map(in_order, (*layers, (weights, biases), (sizes, sizes))), strict=True
    ):
        if parameters is not None:
            largest = size + float(np.abs(parameters).max(initial=0))
            np.testing.assert_allclose(made, expected, rtol=0, atol=limit * largest, equal_nan=False)


def in_order(layers):
    """List all weights, then all biases."""
    weights, biases = layers
    return [*weights, *biases]


def ties(network, limit):
    """Count the rows whose two largest outputs are about as large as each other."""
    logits = np.sort(reference.stack_forward(*network), axis=1)
    if logits.shape[1] == 1:
        return 0
    return int(np.sum(logits[:, -1] - logits[:, -2] <= limit * (1 + np.abs(logits[:, -1]))))


def largest_terms(x, weights, biases, activations, labels):
    """Return the largest sum of |x| |g| over the rows for each layer, by the layers' own operations."""
    outputs = [x]
    for w, b, activation in zip(weights, biases, activations, strict=True):
        outputs.append(reference.dense_forward(outputs[-1], w, b, activation))
    grad = reference.activation_gradient(
        outputs[-1], reference.softmax_cross_entropy(outputs[-1], labels)[1], activations[-1]
    )
    sizes = []
    for layer in reversed(range(len(weights))):
        sizes.insert(0, float((np.abs(outputs[layer]).T + 1).max(initial=1) * np.abs(grad).sum(axis=0).max()))
        if layer > 0:
            grad = reference.dense_input_gradient(grad, weights[layer], outputs[layer], activations[layer - 1])
    return sizes


@pytest.mark.parametrize("n_rows", [3, MANY_ROWS])
def test_threads_and_variants_give_the_same_bits(n_rows, threads, variant, dtype, rng):
    weights, biases = draw_layers(rng, [5, 40, 3], dtype.type)
    x, labels = normals(rng, (n_rows, 5), dtype), rng.integers(0, 3, n_rows)
    arguments = (x, weights, biases, ["tanh", "identity"], labels)
    loss, n_correct, gradient = stack_cross_entropy(jitted, *arguments)
    with runtime.threads(1):
        again = stack_cross_entropy(jitted, *arguments)
    assert (loss, n_correct) == again[:2]
    assert gradient.tobytes() == again[2].tobytes()


def test_arguments_are_only_read_and_the_gradient_is_written(kernels, dtype, rng):
    parameters = joined(*draw_layers(rng, [6, 5, 4], dtype.type))
    x, labels = normals(rng, (30, 6), dtype), rng.integers(0, 4, 30)
    unchanged = Unchanged(x, labels, parameters)
    network = (read_only(parameters), (5, 4), ("relu", "sigmoid"), (True, True))
    arguments = (read_only(x), *network, read_only(labels), 0.5, 0.1, 0.2)
    out = np.full_like(parameters, np.nan)
    expected = kernels.stack_cross_entropy(*arguments)
    loss, n_correct, written = kernels.stack_cross_entropy(*arguments, out)
    unchanged.check()
    assert (loss, n_correct) == expected[:2]
    assert written is out
    assert np.array_equal(out, expected[2])


def test_sums_go_on_where_earlier_rows_left_them(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [6, 20, 4], dtype.type)
    x, labels = normals(rng, (50, 6), dtype), rng.integers(0, 4, 50)
    network = (weights, biases, ["sigmoid", "identity"])
    loss, n_correct, gradient = stack_cross_entropy(kernels, x, *network, labels, 0.02, 0.1)
    first, first_correct, sums = stack_cross_entropy(kernels, x[:20], *network, labels[:20], 0.02, 0.1)
    rest, rest_correct, sums = stack_cross_entropy(kernels, x[20:], *network, labels[20:], 0.02, 0, 0, sums, True)
    limit = 64 * float(np.finfo(dtype).eps)
    assert first + rest == pytest.approx(loss, rel=limit)
    assert first_correct + rest_correct == n_correct
    np.testing.assert_allclose(sums, gradient, rtol=0, atol=limit)


def test_an_array_of_its_own_starts_at_zero(kernels, dtype, rng):
    network = (*draw_layers(rng, [6, 20, 4], dtype.type), ["sigmoid", "identity"])
    x, labels = normals(rng, (50, 6), dtype), rng.integers(0, 4, 50)
    expected = stack_cross_entropy(kernels, x, *network, labels)[2]
    assert np.array_equal(stack_cross_entropy(kernels, x, *network, labels, accumulate=True)[2], expected)


def test_some_layers_have_no_bias(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [6, 5, 4], dtype.type)
    x, labels, activations = normals(rng, (9, 6), dtype), rng.integers(0, 4, 9), ["tanh", "identity"]
    for given_biases in ([None, biases[1]], [biases[0], None]):
        zeros = [np.zeros(w.shape[1], dtype) if b is None else b for w, b in zip(weights, given_biases, strict=True)]
        arguments = (activations, labels, None, 0.5, 0.5)
        loss, n_correct, gradient = stack_cross_entropy(kernels, x, weights, given_biases, *arguments)
        expected = stack_cross_entropy(kernels, x, weights, zeros, *arguments)
        assert (loss, n_correct) == expected[:2]
        actual, wanted = split(gradient, weights, given_biases), split(expected[2], weights, biases)
        for array, like, parameter in zip(*map(in_order, (actual, wanted, (weights, given_biases))), strict=True):
            assert parameter is None or np.array_equal(array, like)


@pytest.mark.parametrize("n_classes", [3, 20])
def test_what_is_no_number_spreads_as_it_does_from_layer_to_layer(n_classes, dtype, rng):
    weights, biases = draw_layers(rng, [6, 20, n_classes], dtype.type)
    labels, activations = rng.integers(0, n_classes, 40), ["relu", "identity"]
    for odd in (np.nan, np.inf):
        x = normals(rng, (40, 6), dtype)
        x[7, 2] = odd
        results = [
            stack_cross_entropy(kernels, x, weights, biases, activations, labels) for kernels in (jitted, reference)
        ]
        (loss, n_correct, gradient), (wanted_loss, wanted_correct, wanted) = results
        assert np.isnan(loss)
        assert np.isnan(wanted_loss)
        assert n_correct == wanted_correct
        assert np.array_equal(np.isnan(gradient), np.isnan(wanted))


def test_no_penalty_lets_infinite_weights_be(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [3, 5, 2], dtype.type)
    biases[1][:] = [np.inf, 0]
    x, labels = np.ones((4, 3), dtype), np.zeros(4, np.int64)
    loss, _, gradient = stack_cross_entropy(kernels, x, weights, biases, ["relu", "sigmoid"], labels)
    assert np.isfinite(loss)
    assert all(np.isfinite(grad).all() for grad in split(gradient, weights, biases)[0])
