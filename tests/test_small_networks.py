"""The loss and all gradients of a small network by one call: exact on whole numbers, close to float64 elsewhere."""

import itertools

import numpy as np
import pytest
from arrays import Unchanged, integers, normals, one_hot_layer, read_only
from fastfnn_kernels import jitted, reference, runtime
from fastfnn_kernels.jitted._few_outputs import FEW_OUTPUTS
from fastfnn_kernels.jitted._shapes import COLUMN_ROWS, TILE
from fastfnn_kernels.jitted.small_networks import BLOCK_ROWS, MOST_SHARES
from fastfnn_kernels.runtime.cpu import UNIT
from hypothesis import given
from hypothesis import strategies as st
from layer_stacks import ACTIVATIONS, as_float64, copies, draw_layers

DTYPE = st.sampled_from([np.float32, np.float64])
SEED = st.integers(0, 2**32 - 1)
WIDE = TILE.vectors * UNIT.lanes(4)
MANY_ROWS = (MOST_SHARES + 1) * BLOCK_ROWS + 1  # more than a block for some shares
N_ROWS = st.sampled_from([0, 1, 2, TILE.rows - 1, TILE.rows + 1, BLOCK_ROWS, 2 * BLOCK_ROWS + 1, MANY_ROWS])
WIDTH = st.sampled_from(
    [1, 2, FEW_OUTPUTS, FEW_OUTPUTS + 1, COLUMN_ROWS, COLUMN_ROWS + 1, WIDE // 2 + 1, WIDE, WIDE + 1, 70]
)
WIDTHS = st.lists(WIDTH, min_size=2, max_size=4)


def noise(rng, like, dtype):
    return [None if array is None else integers(rng, array.shape, dtype) for array in like]


@given(N_ROWS, WIDTHS, st.booleans(), DTYPE, st.booleans(), SEED)
def test_whole_numbers_are_exact(n_rows, widths, use_bias, dtype, accumulate, seed):
    rng = np.random.default_rng(seed)
    # From -1 to 1 before the last layer: sums stay far below 2**24.
    weights = [integers(rng, shape, dtype) // 4 for shape in itertools.pairwise(widths[:-1])]
    biases = [integers(rng, w.shape[1], dtype) if use_bias else None for w in weights]
    last, last_bias = one_hot_layer(rng, widths[-2], widths[-1], dtype)
    layers = ([*weights, last], [*biases, last_bias], [*rng.choice(["identity", "relu"], len(weights)), "identity"])
    x, labels = integers(rng, (n_rows, widths[0]), dtype), rng.integers(0, widths[-1], n_rows)
    held = noise(rng, layers[0], dtype), noise(rng, layers[1], dtype)
    results = [
        kernels.stack_cross_entropy(x, *layers, labels, 1.0, 2.0, 4.0, *map(copies, held), accumulate)
        for kernels in (jitted, reference)
    ]
    (loss, n_correct, *gradients), (exact_loss, exact_correct, *exact_gradients) = results
    assert (loss, n_correct) == (exact_loss, exact_correct)
    for actual, expected in zip(itertools.chain(*gradients), itertools.chain(*exact_gradients), strict=True):
        assert (actual is None) == (expected is None)
        assert actual is None or np.array_equal(actual, expected)


@given(N_ROWS, WIDTHS, st.booleans(), DTYPE, SEED)
def test_gradients_and_loss_are_close_to_those_of_more_digits(n_rows, widths, use_bias, dtype, seed):
    rng = np.random.default_rng(seed)
    weights, biases = draw_layers(rng, widths, dtype, use_bias)
    activations = rng.choice(ACTIVATIONS, len(weights)).tolist()
    x, labels = normals(rng, (n_rows, widths[0]), dtype), rng.integers(0, widths[-1], n_rows)
    wide = (x.astype(np.float64), as_float64(weights), as_float64(biases), activations)
    exact = reference.stack_cross_entropy(*wide, labels, None, 0.1, 0.2)
    actual = jitted.stack_cross_entropy(x, weights, biases, activations, labels, None, 0.1, 0.2)
    limit = 256 * float(np.finfo(dtype).eps)
    assert actual[0] == pytest.approx(exact[0], rel=limit)
    assert abs(actual[1] - exact[1]) <= ties(wide, limit)
    sizes = largest_terms(*wide, labels)
    for made, expected, parameters, size in zip(
        itertools.chain(*actual[2:]), itertools.chain(*exact[2:]), [*weights, *biases], [*sizes, *sizes], strict=True
    ):
        if parameters is not None:
            largest = size + float(np.abs(parameters).max(initial=0))
            np.testing.assert_allclose(made, expected, rtol=0, atol=limit * largest, equal_nan=False)


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
    loss, n_correct, *gradients = jitted.stack_cross_entropy(*arguments)
    with runtime.threads(1):
        again = jitted.stack_cross_entropy(*arguments)
    assert (loss, n_correct) == again[:2]
    for one, other in zip(itertools.chain(*gradients), itertools.chain(*again[2:]), strict=True):
        assert one.tobytes() == other.tobytes()


def test_arguments_are_only_read_and_gradients_are_written(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [6, 5, 4], dtype.type)
    x, labels = normals(rng, (30, 6), dtype), rng.integers(0, 4, 30)
    unchanged = Unchanged(x, labels, *weights, *biases)
    frozen = [read_only(x), [read_only(w) for w in weights], [read_only(b) for b in biases]]
    outs = [np.full_like(w, np.nan) for w in weights], [np.full_like(b, np.nan) for b in biases]
    arguments = (["relu", "sigmoid"], read_only(labels), 0.5, 0.1, 0.2)
    expected = kernels.stack_cross_entropy(*frozen, *arguments)
    loss, n_correct, *written = kernels.stack_cross_entropy(*frozen, *arguments, *outs)
    unchanged.check()
    assert (loss, n_correct) == expected[:2]
    for array, out, new in zip(
        itertools.chain(*written), itertools.chain(*outs), itertools.chain(*expected[2:]), strict=True
    ):
        assert array is out
        assert np.array_equal(out, new)


def test_sums_go_on_where_earlier_rows_left_them(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [6, 20, 4], dtype.type)
    x, labels = normals(rng, (50, 6), dtype), rng.integers(0, 4, 50)
    network = (weights, biases, ["sigmoid", "identity"])
    loss, n_correct, *gradients = kernels.stack_cross_entropy(x, *network, labels, 0.02, 0.1)
    first, first_correct, *sums = kernels.stack_cross_entropy(x[:20], *network, labels[:20], 0.02, 0.1)
    rest, rest_correct, *sums = kernels.stack_cross_entropy(
        x[20:], *network, labels[20:], 0.02, 0, 0, *sums, accumulate=True
    )
    limit = 64 * float(np.finfo(dtype).eps)
    assert first + rest == pytest.approx(loss, rel=limit)
    assert first_correct + rest_correct == n_correct
    for actual, expected in zip(itertools.chain(*sums), itertools.chain(*gradients), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=limit)


def test_some_layers_have_no_bias(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [6, 5, 4], dtype.type)
    x, labels, activations = normals(rng, (9, 6), dtype), rng.integers(0, 4, 9), ["tanh", "identity"]
    for given_biases in ([None, biases[1]], [biases[0], None]):
        zeros = [np.zeros(w.shape[1], dtype) if b is None else b for w, b in zip(weights, given_biases, strict=True)]
        expected = kernels.stack_cross_entropy(x, weights, zeros, activations, labels, None, 0.5, 0.5)
        actual = kernels.stack_cross_entropy(x, weights, given_biases, activations, labels, None, 0.5, 0.5)
        assert actual[:2] == expected[:2]
        for array, wanted, bias in zip(actual[3], expected[3], given_biases, strict=True):
            assert (array is None) == (bias is None)
            assert array is None or np.array_equal(array, wanted)
        for array, wanted in zip(actual[2], expected[2], strict=True):
            assert np.array_equal(array, wanted)


@pytest.mark.parametrize("n_classes", [3, 20])
def test_what_is_no_number_spreads_as_it_does_from_layer_to_layer(n_classes, dtype, rng):
    weights, biases = draw_layers(rng, [6, 20, n_classes], dtype.type)
    labels, activations = rng.integers(0, n_classes, 40), ["relu", "identity"]
    for odd in (np.nan, np.inf):
        x = normals(rng, (40, 6), dtype)
        x[7, 2] = odd
        results = [
            kernels.stack_cross_entropy(x, weights, biases, activations, labels) for kernels in (jitted, reference)
        ]
        (loss, n_correct, *gradients), (wanted_loss, wanted_correct, *wanted) = results
        assert np.isnan(loss)
        assert np.isnan(wanted_loss)
        assert n_correct == wanted_correct
        for actual, expected in zip(itertools.chain(*gradients), itertools.chain(*wanted), strict=True):
            assert np.array_equal(np.isnan(actual), np.isnan(expected))


def test_no_penalty_lets_infinite_weights_be(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [3, 5, 2], dtype.type)
    biases[1][:] = [np.inf, 0]
    loss, _, grad_weights, _ = kernels.stack_cross_entropy(
        np.ones((4, 3), dtype), weights, biases, ["relu", "sigmoid"], np.zeros(4, np.int64)
    )
    assert np.isfinite(loss)
    assert all(np.isfinite(grad).all() for grad in grad_weights)
