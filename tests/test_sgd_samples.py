"""Training on one sample after the other."""

import numpy as np
import pytest
from arrays import Unchanged, mostly_zeros, read_only
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.packing import Compressed
from hypothesis import given
from hypothesis import strategies as st
from layer_stacks import ACTIVATIONS, assert_close, assert_trains_like_the_reference, copies, draw_layers

DTYPE = st.sampled_from([np.float32, np.float64])
SEED = st.integers(0, 2**32 - 1)
WIDTH = st.sampled_from([1, 2, 3, 4, 5, 8, 15, 16, 17, 33, 70])


def assert_like_the_reference(x, labels, *training):
    stored, wide = (reference.compress_rows(x, dtype) for dtype in (x.dtype, np.float64))
    assert_trains_like_the_reference("sgd_samples", stored, wide, max(len(x), 1), labels, *training)


@given(st.integers(0, 5), st.lists(WIDTH, min_size=2, max_size=4), st.booleans(), DTYPE, SEED)
def test_every_shape_learns_what_the_reference_learns(n_samples, widths, use_bias, dtype, seed):
    rng = np.random.default_rng(seed)
    weights, biases = draw_layers(rng, widths, dtype, use_bias)
    activations = rng.choice(["identity", "sigmoid", "tanh"], len(weights)).tolist()
    x = mostly_zeros(rng, (n_samples, widths[0]), dtype) / dtype(4)
    labels = rng.integers(0, widths[-1], n_samples)
    assert_like_the_reference(x, labels, weights, biases, activations, 0.1)


@pytest.mark.parametrize("last", ACTIVATIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_three_layers_with_each_activation(activation, last, dtype, rng):
    weights, biases = draw_layers(rng, [60, 20, 12, 7], dtype.type)
    x, labels = mostly_zeros(rng, (12, 60), dtype) / dtype.type(4), rng.integers(0, 7, 12)
    assert_like_the_reference(x, labels, weights, biases, [activation, activation, last], 0.1)


def test_one_layer(dtype, rng):
    weights, biases = draw_layers(rng, [60, 10], dtype.type)
    x, labels = mostly_zeros(rng, (12, 60), dtype) / dtype.type(4), rng.integers(0, 10, 12)
    assert_like_the_reference(x, labels, weights, biases, ["identity"], 0.1)


@pytest.mark.parametrize("has_bias", [(True, False), (False, True), (False, False)])
def test_some_layers_have_no_bias(has_bias, dtype, rng):
    weights, biases = draw_layers(rng, [30, 20, 5], dtype.type)
    biases = [b if has else None for b, has in zip(biases, has_bias, strict=True)]
    x, labels = mostly_zeros(rng, (10, 30), dtype) / dtype.type(4), rng.integers(0, 5, 10)
    assert_like_the_reference(x, labels, weights, biases, ["tanh", "identity"], 0.1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_one_sample_is_one_ordinary_step(kernels, activation, dtype, rng):
    (w1, w2), (b1, b2) = weights, biases = draw_layers(rng, [50, 30, 7], dtype.type)
    old, x, labels = copies([w1, b1, w2, b2]), mostly_zeros(rng, (1, 50), dtype) / dtype.type(4), np.array([3])
    samples = kernels.compress_rows(x, dtype)
    loss, n_correct = kernels.sgd_samples(samples, labels, weights, biases, [activation, "identity"], 0.1)
    hidden = kernels.dense_forward(x, old[0], old[1], activation)
    logits = kernels.dense_forward(hidden, old[2], old[3])
    expected_loss, grad = kernels.softmax_cross_entropy(logits, labels)
    hidden_grad = kernels.dense_input_gradient(grad, old[2], hidden, activation)
    gradients = kernels.dense_weight_gradient(x, hidden_grad) + kernels.dense_weight_gradient(hidden, grad)
    for parameter, gradient in zip(old, gradients, strict=True):
        kernels.sgd(parameter, gradient, 0.1)
    assert_close([w1, b1, w2, b2], old, dtype, steps=1)
    assert loss == pytest.approx(expected_loss, rel=64 * float(np.finfo(dtype).eps))
    assert n_correct == kernels.count_correct(logits, labels)


def test_the_second_sample_meets_what_the_first_left(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [20, 8, 4], dtype.type)
    one_weights, one_biases = copies(weights), copies(biases)
    x, labels = mostly_zeros(rng, (6, 20), dtype), rng.integers(0, 4, 6)
    activations = ["relu", "identity"]
    together = kernels.sgd_samples(kernels.compress_rows(x, dtype), labels, weights, biases, activations, 0.05)
    loss_sum, n_correct = 0.0, 0
    for row in range(6):
        sample = kernels.compress_rows(x, dtype, rows=np.array([row]))
        loss, correct = kernels.sgd_samples(sample, labels[row : row + 1], one_weights, one_biases, activations, 0.05)
        loss_sum, n_correct = loss_sum + loss, n_correct + correct
    assert together == (loss_sum, n_correct)
    for array, same in zip(weights + biases, one_weights + one_biases, strict=True):
        assert array.tobytes() == same.tobytes()


def test_a_worked_example_is_exact(kernels, dtype):
    """Whole numbers, equal logits of two classes and a learning rate of two leave nothing to round."""
    w1, w2 = np.array([[1, -1], [7, 7], [2, 1]], dtype), np.array([[1, 1], [3, 5]], dtype)
    b1, b2 = np.array([0, -4], dtype), np.array([1, 1], dtype)
    x = np.array([[2, 0, 1]], dtype)  # hidden: relu(4, -5) = (4, 0); logits: (5, 5); gradient: (-1, 1) / 2
    samples, labels = kernels.compress_rows(x, dtype), np.array([0])
    loss, n_correct = kernels.sgd_samples(samples, labels, [w1, w2], [b1, b2], ["relu", "identity"], 2.0)
    assert loss == pytest.approx(np.log(2), rel=1e-15)
    assert n_correct == 1
    assert w2.tolist() == [[5, -3], [3, 5]]
    assert b2.tolist() == [2, 0]
    assert w1.tolist() == [[1, -1], [7, 7], [2, 1]]  # (-1 + 1) / 2 comes back through equal weights
    assert b1.tolist() == [0, -4]
    w2[...] = [[1, 3], [3, 5]]
    b2[...] = [9, 1]  # logits: (13, 13); hidden gradient: (-1 + 3) / 2 = 1, and 0 where relu is
    loss, n_correct = kernels.sgd_samples(samples, labels + 1, [w1, w2], [b1, b2], ["relu", "identity"], 2.0)
    assert n_correct == 0
    assert w1.tolist() == [[5, -1], [7, 7], [4, 1]]
    assert b1.tolist() == [2, -4]


@pytest.mark.parametrize("special", [np.nan, np.inf, -0.0])
def test_rows_that_no_sample_names_keep_their_bits(kernels, special, dtype, rng):
    weights, biases = draw_layers(rng, [40, 16, 5], dtype.type)
    x = mostly_zeros(rng, (4, 40), dtype)
    unnamed = ~x.any(axis=0)
    assert 0 < unnamed.sum() < 40
    weights[0][unnamed] = special
    untouched, named = weights[0][unnamed].tobytes(), weights[0][~unnamed].copy()
    samples = kernels.compress_rows(x, dtype)
    loss, _ = kernels.sgd_samples(samples, np.arange(4), weights, biases, ["tanh", "identity"], 0.1)
    assert np.isfinite(loss)
    assert weights[0][unnamed].tobytes() == untouched
    assert (weights[0][~unnamed] != named).any(axis=1).all()
    assert all(np.isfinite(array).all() for array in (weights[1], *biases))


def test_a_sample_of_zeros_moves_the_biases_and_later_weights(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [9, 6, 3], dtype.type)
    before = copies(weights + biases)
    samples = kernels.compress_rows(np.zeros((1, 9), dtype), dtype)
    kernels.sgd_samples(samples, np.array([1]), weights, biases, ["sigmoid", "identity"], 0.1)
    assert np.array_equal(weights[0], before[0])
    for array, old in zip([weights[1], *biases], before[1:], strict=True):
        assert (array != old).all()


def test_no_samples_change_nothing(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [9, 6, 3], dtype.type)
    unchanged = Unchanged(*weights, *biases)
    samples = kernels.compress_rows(np.zeros((0, 9), dtype), dtype)
    result = kernels.sgd_samples(samples, np.zeros(0, np.int64), weights, biases, ["relu", "identity"], 0.1)
    assert result == (0.0, 0)
    unchanged.check()


def test_samples_and_labels_are_only_read(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [9, 6, 3], dtype.type)
    stored = kernels.compress_rows(mostly_zeros(rng, (5, 9), dtype), dtype)
    samples = Compressed(*(read_only(array) for array in stored[:3]), stored.shape)
    labels = read_only(rng.integers(0, 3, 5))
    unchanged = Unchanged(*samples[:3], labels)
    kernels.sgd_samples(samples, labels, tuple(weights), tuple(biases), ("relu", "identity"), 0.1)
    unchanged.check()


@pytest.mark.parametrize(("label", "n_correct"), [(0, 0), (1, 1), (2, 0)])
def test_the_first_of_equal_outputs_is_the_answer(kernels, label, n_correct, dtype):
    samples = kernels.compress_rows(np.ones((1, 1), dtype), dtype)
    weights, biases = [np.array([[1, 2, 2]], dtype)], [None]
    assert kernels.sgd_samples(samples, np.array([label]), weights, biases, ["identity"], 0.0)[1] == n_correct


@pytest.mark.parametrize("size", [1e4, 3e38])
def test_large_outputs_stay_finite(kernels, size, dtype):
    samples, weights = kernels.compress_rows(np.ones((1, 1), dtype), dtype), [np.array([[size, -size, 0]], dtype)]
    loss, _ = kernels.sgd_samples(samples, np.array([1]), weights, [None], ["identity"], 0.1)
    assert loss == pytest.approx(2 * size, rel=1e-6)
    assert np.isfinite(weights[0]).all()


@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_nan_and_inf_go_where_the_reference_sends_them(special, dtype, rng):
    weights, biases = draw_layers(rng, [6, 5, 4], dtype.type)
    x, labels = np.ones((2, 6), dtype), np.array([0, 1])
    x[1, 3] = special
    samples = reference.compress_rows(x, dtype)
    others = copies(weights), copies(biases)
    expected = reference.sgd_samples(samples, labels, *others, ["relu", "identity"], 0.1)
    actual = jitted.sgd_samples(samples, labels, weights, biases, ["relu", "identity"], 0.1)
    assert np.isnan(actual[0]) == np.isnan(expected[0])
    for array, wanted in zip([*weights, *biases], [*others[0], *others[1]], strict=True):
        assert np.array_equal(np.isnan(array), np.isnan(wanted))


def test_the_steps_learn(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [30, 16, 3], dtype.type)
    labels = rng.integers(0, 3, 60)
    x = (rng.random((60, 30)) < 0.1 + 0.7 * (np.arange(30) % 3 == labels[:, None])).astype(dtype)
    samples = kernels.compress_rows(x, dtype)
    losses, counts = zip(
        *(kernels.sgd_samples(samples, labels, weights, biases, ["relu", "identity"], 0.05) for _ in range(5)),
        strict=True,
    )
    assert losses[-1] < losses[0] / 4
    assert counts[-1] == 60
