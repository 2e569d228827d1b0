"""The loss and the gradient of a small network by one call: exact on whole numbers, close to float64 elsewhere."""

import itertools

import numpy as np
import pytest
from arrays import Unchanged, integers, normals, one_hot_layer, read_only
from batch_cases import ALL_LOSSES
from fastfnn_kernels import jitted, reference, runtime
from fastfnn_kernels.batches import SOFTMAX_CROSS_ENTROPY, RowLosses, Rule, Stack, StackLayer, StepOptions
from fastfnn_kernels.jitted._llvm.dot_tiles import FEW_OUTPUTS
from fastfnn_kernels.jitted._llvm.tile_shapes import COLUMN_ROWS, TILE
from fastfnn_kernels.jitted._products.tasks import MOST_SHARES
from fastfnn_kernels.jitted.stack_gradient import BLOCK_ROWS
from fastfnn_kernels.reference._row_losses import compare
from fastfnn_kernels.runtime.cpu import UNIT
from hypothesis import given
from hypothesis import strategies as st
from layer_stacks import ACTIVATIONS, as_float64, draw_layers, joined, split, stack_gradient

DTYPE = st.sampled_from([np.float32, np.float64])
SEED = st.integers(0, 2**32 - 1)
WIDE = TILE.vectors * UNIT.lanes(4)
MANY_ROWS = (MOST_SHARES + 1) * BLOCK_ROWS + 1  # more than a block for some shares
N_ROWS = st.sampled_from([0, 1, 2, TILE.rows - 1, TILE.rows + 1, BLOCK_ROWS, 2 * BLOCK_ROWS + 1, MANY_ROWS])
WIDTH = st.sampled_from(
    [1, 2, FEW_OUTPUTS, FEW_OUTPUTS + 1, COLUMN_ROWS, COLUMN_ROWS + 1, WIDE // 2 + 1, WIDE, WIDE + 1, 70]
)
WIDTHS = st.lists(WIDTH, min_size=2, max_size=4)
# Weights are 0 for no row, for some rows, or for all.
WEIGHTS = st.sampled_from([None, "some", "all"])


def classes(labels):
    return RowLosses(SOFTMAX_CROSS_ENTROPY, labels)


def numbers(name, targets, weights=None):
    return RowLosses(name, targets, weights, delta=2.0, gradient_factor=2.0, value_factor=4.0)


def weights_of_rows(rng, n_rows, zeros, dtype):
    """Draw whole weights, of which none, some or all are 0; none at all for None."""
    return None if zeros is None else (rng.integers(0, 3, n_rows) * (zeros == "some")).astype(dtype)


def losses_of_rows(rng, name, n_rows, n_outputs, zeros, dtype):
    """Draw targets and weights of a loss, whose numbers differ from their defaults."""
    weights = weights_of_rows(rng, n_rows, zeros, dtype)
    if name == SOFTMAX_CROSS_ENTROPY:
        return RowLosses(name, rng.integers(0, n_outputs, n_rows), weights, rng.choice([0.0, 0.25]))
    return numbers(name, rng.random((n_rows, n_outputs)).astype(dtype), weights)


def in_float64(losses):
    if losses.weights is not None:
        losses = losses._replace(weights=losses.weights.astype(np.float64))
    is_softmax = losses.name == SOFTMAX_CROSS_ENTROPY
    return losses if is_softmax else losses._replace(targets=losses.targets.astype(np.float64))


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
        stack_gradient(kernels, x, *layers, classes(labels), 1.0, 2.0, 4.0, held.copy(), accumulate)
        for kernels in (jitted, reference)
    ]
    assert_same(*results)


@given(
    N_ROWS, st.lists(WIDTH, min_size=2, max_size=3), st.sampled_from(["squared_error", "huber"]), WEIGHTS,
    st.booleans(), DTYPE, st.booleans(), SEED,
)  # fmt: skip
def test_whole_numbers_with_targets_and_weights_are_exact(
    n_rows, widths, loss, zeros, use_bias, dtype, accumulate, seed
):
    rng = np.random.default_rng(seed)
    weights = [integers(rng, shape, dtype) // 4 for shape in itertools.pairwise(widths)]
    weights[-1][np.arange(len(weights[-1])) > 2] = 0  # sums stay below 2**24
    biases = [integers(rng, w.shape[1], dtype) if use_bias else None for w in weights]
    layers = (weights, biases, rng.choice(["identity", "relu"], len(weights)).tolist())
    x, targets = integers(rng, (n_rows, widths[0]), dtype) // 4, integers(rng, (n_rows, widths[-1]), dtype)
    losses = numbers(loss, targets, weights_of_rows(rng, n_rows, zeros, dtype))
    held = integers(rng, joined(weights, biases).size, dtype)
    results = [
        stack_gradient(kernels, x, *layers, losses, 0.5, 2.0, 4.0, held.copy(), accumulate)
        for kernels in (jitted, reference)
    ]
    assert_same(*results)


def assert_same(result, expected):
    assert result[:2] == expected[:2]
    assert np.array_equal(result[2], expected[2])


@given(N_ROWS, WIDTHS, st.sampled_from(ALL_LOSSES), WEIGHTS, st.booleans(), DTYPE, SEED)
def test_gradients_and_loss_are_close_to_those_of_more_digits(n_rows, widths, loss, zeros, use_bias, dtype, seed):
    rng = np.random.default_rng(seed)
    weights, biases = draw_layers(rng, widths, dtype, use_bias)
    activations = rng.choice(ACTIVATIONS, len(weights)).tolist()
    x, losses = normals(rng, (n_rows, widths[0]), dtype), losses_of_rows(rng, loss, n_rows, widths[-1], zeros, dtype)
    wide, wide_losses = (
        (x.astype(np.float64), as_float64(weights), as_float64(biases), activations),
        in_float64(losses),
    )
    exact = stack_gradient(reference, *wide, wide_losses, None, 0.1, 0.2)
    actual = stack_gradient(jitted, x, weights, biases, activations, losses, None, 0.1, 0.2)
    limit = 256 * float(np.finfo(dtype).eps)
    assert actual[0] == pytest.approx(exact[0], rel=limit)
    assert abs(actual[1] - exact[1]) <= ties(wide, loss, limit)
    sizes = largest_terms(*wide, wide_losses)
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


def ties(network, loss, limit):
    """Count the rows that rounding may make right or wrong: two outputs are about as large, or one is about 0."""
    outputs = reference.stack_forward(*network)
    if loss != SOFTMAX_CROSS_ENTROPY:
        return int(np.sum(np.abs(outputs).min(axis=1, initial=np.inf) <= limit))
    logits = np.sort(outputs, axis=1)
    if logits.shape[1] == 1:
        return 0
    return int(np.sum(logits[:, -1] - logits[:, -2] <= limit * (1 + np.abs(logits[:, -1]))))


def largest_terms(x, weights, biases, activations, losses):
    """Return the largest sum of |x| |g| over the rows for each layer, by the layers' own operations."""
    outputs = [x]
    for w, b, activation in zip(weights, biases, activations, strict=True):
        outputs.append(reference.dense_forward(outputs[-1], w, b, activation))
    _, _, grad = compare(outputs[-1], losses, losses.scale_of_mean(outputs[-1].shape[1]))
    grad = reference.activation_gradient(outputs[-1], grad, activations[-1])
    sizes = []
    for layer in reversed(range(len(weights))):
        sizes.insert(0, float((np.abs(outputs[layer]).T + 1).max(initial=1) * np.abs(grad).sum(axis=0).max()))
        if layer > 0:
            grad = reference.dense_input_gradient(grad, weights[layer], outputs[layer], activations[layer - 1])
    return sizes


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "poisson"])
@pytest.mark.parametrize("n_rows", [3, MANY_ROWS])
def test_threads_and_variants_give_the_same_bits(n_rows, loss, threads, variant, dtype, rng):
    weights, biases = draw_layers(rng, [5, 40, 3], dtype.type)
    x, losses = normals(rng, (n_rows, 5), dtype), losses_of_rows(rng, loss, n_rows, 3, "some", dtype)
    arguments = (x, weights, biases, ["tanh", "identity"], losses)
    loss, n_correct, gradient = stack_gradient(jitted, *arguments)
    with runtime.threads(1):
        again = stack_gradient(jitted, *arguments)
    assert (loss, n_correct) == again[:2]
    assert gradient.tobytes() == again[2].tobytes()


def test_arguments_are_only_read_and_the_gradient_is_written(kernels, dtype, rng):
    parameters = joined(*draw_layers(rng, [6, 5, 4], dtype.type))
    x, labels = normals(rng, (30, 6), dtype), rng.integers(0, 4, 30)
    unchanged = Unchanged(x, labels, parameters)
    network = (read_only(parameters), (5, 4), ("relu", "sigmoid"), (True, True))
    arguments = (read_only(x), *network, classes(read_only(labels)), 0.5, 0.1, 0.2)
    out = np.full_like(parameters, np.nan)
    expected = kernels.stack_gradient(*arguments)
    loss, n_correct, written = kernels.stack_gradient(*arguments, out)
    unchanged.check()
    assert (loss, n_correct) == expected[:2]
    assert written is out
    assert np.array_equal(out, expected[2])


def test_sums_go_on_where_earlier_rows_left_them(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [6, 20, 4], dtype.type)
    x, labels = normals(rng, (50, 6), dtype), rng.integers(0, 4, 50)
    network = (weights, biases, ["sigmoid", "identity"])
    loss, n_correct, gradient = stack_gradient(kernels, x, *network, classes(labels), 0.02, 0.1)
    first, first_correct, sums = stack_gradient(kernels, x[:20], *network, classes(labels[:20]), 0.02, 0.1)
    rest, rest_correct, sums = stack_gradient(kernels, x[20:], *network, classes(labels[20:]), 0.02, 0, 0, sums, True)
    limit = 64 * float(np.finfo(dtype).eps)
    assert first + rest == pytest.approx(loss, rel=limit)
    assert first_correct + rest_correct == n_correct
    np.testing.assert_allclose(sums, gradient, rtol=0, atol=limit)


def test_an_array_of_its_own_starts_at_zero(kernels, dtype, rng):
    network = (*draw_layers(rng, [6, 20, 4], dtype.type), ["sigmoid", "identity"])
    x, labels = normals(rng, (50, 6), dtype), rng.integers(0, 4, 50)
    expected = stack_gradient(kernels, x, *network, classes(labels))[2]
    assert np.array_equal(stack_gradient(kernels, x, *network, classes(labels), accumulate=True)[2], expected)


def test_some_layers_have_no_bias(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [6, 5, 4], dtype.type)
    x, labels, activations = normals(rng, (9, 6), dtype), rng.integers(0, 4, 9), ["tanh", "identity"]
    for given_biases in ([None, biases[1]], [biases[0], None]):
        zeros = [np.zeros(w.shape[1], dtype) if b is None else b for w, b in zip(weights, given_biases, strict=True)]
        arguments = (activations, classes(labels), None, 0.5, 0.5)
        loss, n_correct, gradient = stack_gradient(kernels, x, weights, given_biases, *arguments)
        expected = stack_gradient(kernels, x, weights, zeros, *arguments)
        assert (loss, n_correct) == expected[:2]
        actual, wanted = split(gradient, weights, given_biases), split(expected[2], weights, biases)
        for array, like, parameter in zip(*map(in_order, (actual, wanted, (weights, given_biases))), strict=True):
            assert parameter is None or np.array_equal(array, like)


@pytest.mark.parametrize("loss", [SOFTMAX_CROSS_ENTROPY, "squared_error", "binary_cross_entropy"])
@pytest.mark.parametrize("n_outputs", [3, 20])
def test_what_is_no_number_spreads_as_it_does_from_layer_to_layer(n_outputs, loss, dtype, rng):
    weights, biases = draw_layers(rng, [6, 20, n_outputs], dtype.type)
    losses, activations = losses_of_rows(rng, loss, 40, n_outputs, None, dtype), ["relu", "identity"]
    for odd in (np.nan, np.inf):
        x = normals(rng, (40, 6), dtype)
        x[7, 2] = odd
        results = [
            stack_gradient(kernels, x, weights, biases, activations, losses) for kernels in (jitted, reference)
        ]
        (value, n_correct, gradient), (wanted_value, wanted_correct, wanted) = results
        assert np.isnan(value) or value == np.inf
        assert np.array_equal(value, wanted_value, equal_nan=True)
        assert n_correct == wanted_correct
        assert np.array_equal(np.isfinite(gradient), np.isfinite(wanted))


def test_no_penalty_lets_infinite_weights_be(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [3, 5, 2], dtype.type)
    biases[1][:] = [np.inf, 0]
    x, labels = np.ones((4, 3), dtype), np.zeros(4, np.int64)
    loss, _, gradient = stack_gradient(kernels, x, weights, biases, ["relu", "sigmoid"], classes(labels))
    assert np.isfinite(loss)
    assert all(np.isfinite(grad).all() for grad in split(gradient, weights, biases)[0])


@pytest.mark.parametrize("loss", ALL_LOSSES)
def test_the_mean_of_no_weight_is_0(kernels, loss, dtype, rng):
    weights, biases = draw_layers(rng, [3, 5, 2], dtype.type)
    for n_rows, zeros in ((0, None), (0, "all"), (4, "all")):
        losses = losses_of_rows(rng, loss, n_rows, 2, zeros, dtype)
        x = np.ones((n_rows, 3), dtype)
        value, _, gradient = stack_gradient(kernels, x, weights, biases, ["tanh", "identity"], losses)
        assert value == 0
        assert not gradient.any()


@pytest.mark.parametrize("loss", ALL_LOSSES)
def test_the_mean_is_that_of_a_step_on_one_batch(kernels, loss, dtype, rng):
    """Against `train_batches`, whose rule leaves the parameters as they are."""
    weights, biases = draw_layers(rng, [6, 20, 4], dtype.type)
    x, losses = normals(rng, (50, 6), dtype), losses_of_rows(rng, loss, 50, 4, "some", dtype)
    value, n_correct, gradient = stack_gradient(kernels, x, weights, biases, ["tanh", "identity"], losses, None, 0.5)
    stack = Stack(6, (StackLayer(20, "tanh", 0, 120), StackLayer(4, "identity", 140, 220)))
    held, options = np.empty_like(gradient), StepOptions(50, 0.5)
    values, counts = kernels.train_batches(
        x, np.arange(50), losses, stack, joined(weights, biases), held, Rule("sgd", 0.0, {}, (), 0), options
    )
    limit = 64 * float(np.finfo(dtype).eps)
    assert value == pytest.approx(values[0], rel=limit)
    assert n_correct == counts[0]
    np.testing.assert_allclose(gradient, held, rtol=0, atol=limit)


def test_rows_of_weight_0_take_no_part(kernels, dtype, rng):
    layers = (*draw_layers(rng, [6, 20, 4], dtype.type), ["tanh", "identity"])
    x, counted = normals(rng, (50, 6), dtype), np.arange(50) % 3 > 0
    for loss in ALL_LOSSES:
        losses = losses_of_rows(rng, loss, 50, 4, None, dtype)
        chosen = losses._replace(targets=losses.targets[counted])
        value, _, gradient = stack_gradient(kernels, x, *layers, losses._replace(weights=counted.astype(dtype)))
        expected, _, gradient_of_chosen = stack_gradient(kernels, x[counted], *layers, chosen)
        limit = 64 * float(np.finfo(dtype).eps)
        assert value == pytest.approx(expected, rel=limit)
        np.testing.assert_allclose(gradient, gradient_of_chosen, rtol=0, atol=limit)
