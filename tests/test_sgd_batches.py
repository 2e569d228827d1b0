"""Training on one small batch after the other."""

import itertools

import numpy as np
import pytest
from arrays import Unchanged, integers, mostly_zeros, read_only
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.packing import PackedBatches
from hypothesis import given
from hypothesis import strategies as st
from layer_stacks import ACTIVATIONS, assert_close, assert_trains_like_the_reference, copies, draw_layers

DTYPE = st.sampled_from([np.float32, np.float64])
SEED = st.integers(0, 2**32 - 1)
ROWS = st.sampled_from([0, 1, 2, 3, 4, 13, 14, 15, 29, 57])
BATCH = st.sampled_from([1, 2, 3, 4, 13, 14, 15, 16, 30, 60])
WIDTH = st.sampled_from([1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 65, 127, 129, 200])


def assert_like_the_reference(x, batch_size, labels, *training):
    stored, wide = (reference.pack_batches(x, dtype, batch_size) for dtype in (x.dtype, np.float64))
    n_steps = max(-(-len(x) // batch_size), 1)
    assert_trains_like_the_reference("sgd_batches", stored, wide, n_steps, labels, *training)


@given(ROWS, BATCH, st.lists(WIDTH, min_size=2, max_size=4), st.booleans(), DTYPE, SEED)
def test_every_shape_learns_what_the_reference_learns(n_rows, batch_size, widths, use_bias, dtype, seed):
    rng = np.random.default_rng(seed)
    weights, biases = draw_layers(rng, widths, dtype, use_bias)
    activations = rng.choice(["identity", "sigmoid", "tanh"], len(weights)).tolist()
    x = mostly_zeros(rng, (n_rows, widths[0]), dtype) / dtype(4)
    labels = rng.integers(0, widths[-1], n_rows)
    assert_like_the_reference(x, batch_size, labels, weights, biases, activations, 0.1)


@pytest.mark.parametrize("last", ACTIVATIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_three_layers_with_each_activation(activation, last, dtype, rng):
    weights, biases = draw_layers(rng, [60, 20, 40, 7], dtype.type)
    x, labels = mostly_zeros(rng, (40, 60), dtype) / dtype.type(4), rng.integers(0, 7, 40)
    assert_like_the_reference(x, 16, labels, weights, biases, [activation, activation, last], 0.1)


@pytest.mark.parametrize("has_bias", [(True, False, False), (False, True, False), (False, False, True)])
def test_some_layers_have_no_bias(has_bias, dtype, rng):
    weights, biases = draw_layers(rng, [30, 20, 18, 5], dtype.type)
    biases = [b if has else None for b, has in zip(biases, has_bias, strict=True)]
    x, labels = mostly_zeros(rng, (40, 30), dtype) / dtype.type(4), rng.integers(0, 5, 40)
    assert_like_the_reference(x, 15, labels, weights, biases, ["tanh", "relu", "identity"], 0.1)


@pytest.mark.parametrize("widths", [[300, 700, 600, 530], [40, 20, 3000, 2], [2, 3, 2, 3]])
def test_layers_wider_than_a_chunk_and_than_a_panel(widths, dtype, rng):
    weights, biases = draw_layers(rng, widths, dtype.type)
    x, labels = mostly_zeros(rng, (40, widths[0]), dtype) / dtype.type(4), rng.integers(0, widths[-1], 40)
    assert_like_the_reference(x, 18, labels, weights, biases, ["tanh", "sigmoid", "identity"], 0.1)


def test_a_batch_longer_than_a_chunk(dtype, rng):
    weights, biases = draw_layers(rng, [40, 30, 5], dtype.type)
    x, labels = mostly_zeros(rng, (1300, 40), dtype) / dtype.type(4), rng.integers(0, 5, 1300)
    assert_like_the_reference(x, 1200, labels, weights, biases, ["tanh", "identity"], 0.1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_one_batch_is_one_ordinary_step(kernels, activation, dtype, rng):
    (w1, w2), (b1, b2) = weights, biases = draw_layers(rng, [50, 30, 7], dtype.type)
    old, x = copies([w1, b1, w2, b2]), mostly_zeros(rng, (20, 50), dtype) / dtype.type(4)
    labels = rng.integers(0, 7, 20)
    batches = kernels.pack_batches(x, dtype, 20)
    loss, n_correct = kernels.sgd_batches(batches, labels, weights, biases, [activation, "identity"], 0.1)
    hidden = kernels.dense_forward(x, old[0], old[1], activation)
    logits = kernels.dense_forward(hidden, old[2], old[3])
    expected_loss, grad = kernels.softmax_cross_entropy(logits, labels)
    hidden_grad = kernels.dense_input_gradient(grad, old[2], hidden, activation)
    gradients = kernels.dense_weight_gradient(x, hidden_grad) + kernels.dense_weight_gradient(hidden, grad)
    for parameter, gradient in zip(old, gradients, strict=True):
        kernels.sgd(parameter, gradient, 0.1)
    assert_close([w1, b1, w2, b2], old, dtype, steps=1)
    assert loss / 20 == pytest.approx(expected_loss, rel=64 * float(np.finfo(dtype).eps))
    assert n_correct == kernels.count_correct(logits, labels)


@pytest.mark.parametrize("batch_size", [1, 4, 6, 9])
def test_a_batch_meets_what_the_one_before_left(kernels, batch_size, dtype, rng):
    weights, biases = draw_layers(rng, [20, 8, 4], dtype.type)
    one_weights, one_biases = copies(weights), copies(biases)
    x, labels = mostly_zeros(rng, (14, 20), dtype), rng.integers(0, 4, 14)
    rest = (["relu", "identity"], 0.05)
    together = kernels.sgd_batches(kernels.pack_batches(x, dtype, batch_size), labels, weights, biases, *rest)
    loss_sum, n_correct = 0.0, 0
    for first in range(0, 14, batch_size):
        part = slice(first, first + batch_size)
        batch = kernels.pack_batches(x[part], dtype, batch_size)
        loss, correct = kernels.sgd_batches(batch, labels[part], one_weights, one_biases, *rest)
        loss_sum, n_correct = loss_sum + loss, n_correct + correct
    assert together == (pytest.approx(loss_sum, rel=1e-14), n_correct)
    for array, same in zip(weights + biases, one_weights + one_biases, strict=True):
        assert array.tobytes() == same.tobytes()


def test_whole_numbers_leave_nothing_to_round(dtype, rng):
    """Two classes whose logits are always equal: softmax gives halves, and every number is exact."""
    n_rows, batch_size = 48, 16
    x, labels = mostly_zeros(rng, (n_rows, 70), dtype), rng.integers(0, 2, n_rows)
    w1, b1, column = integers(rng, (70, 40), dtype), integers(rng, 40, dtype), integers(rng, (40, 1), dtype)
    ours = [w1, np.repeat(column, 2, axis=1)], [b1, None]
    expected = copies(ours[0]), [b1.copy(), None]
    x, labels = x[:batch_size], labels[:batch_size]  # after one step the classes differ
    batches = reference.pack_batches(x, dtype, batch_size)
    jitted.sgd_batches(batches, labels, *ours, ["relu", "identity"], 32.0)
    reference.sgd_batches(batches, labels, *expected, ["relu", "identity"], 32.0)
    for array, wanted in zip([*ours[0], b1], [*expected[0], expected[1][0]], strict=True):
        assert np.array_equal(array, wanted)
    assert not np.array_equal(ours[0][1][:, 0], column[:, 0])


@pytest.mark.parametrize("special", [-0.0, 1e30])
def test_rows_that_no_batch_names_keep_their_bits(kernels, special, dtype, rng):
    weights, biases = draw_layers(rng, [40, 16, 5], dtype.type)
    x = mostly_zeros(rng, (6, 40), dtype)
    unnamed = ~x.any(axis=0)
    assert 0 < unnamed.sum() < 40
    weights[0][unnamed] = special
    untouched, named = weights[0][unnamed].tobytes(), weights[0][~unnamed].copy()
    batches = kernels.pack_batches(x, dtype, 3)
    loss, _ = kernels.sgd_batches(batches, np.arange(6) % 5, weights, biases, ["tanh", "identity"], 0.1)
    assert np.isfinite(loss)
    assert weights[0][unnamed].tobytes() == untouched
    assert (weights[0][~unnamed] != named).any(axis=1).all()
    assert all(np.isfinite(array).all() for array in (weights[1], *biases))


def test_no_rows_change_nothing(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [9, 6, 3], dtype.type)
    unchanged = Unchanged(*weights, *biases)
    batches = kernels.pack_batches(np.zeros((0, 9), dtype), dtype, 4)
    result = kernels.sgd_batches(batches, np.zeros(0, np.int64), weights, biases, ["relu", "identity"], 0.1)
    assert result == (0.0, 0)
    unchanged.check()


@pytest.mark.parametrize("widths", [[0, 5, 3], [5, 0, 3]])
def test_layers_without_units_train_the_later_biases(kernels, widths, dtype, rng):
    weights = [np.zeros((i, o), dtype) for i, o in itertools.pairwise(widths)]
    biases = [np.zeros(n, dtype) for n in widths[1:]]
    batches = kernels.pack_batches(np.ones((4, widths[0]), dtype), dtype, 2)
    loss, _ = kernels.sgd_batches(batches, np.full(4, 2), weights, biases, ["relu", "identity"], 0.1)
    assert np.isfinite(loss)
    assert biases[1][2] > 0 > biases[1][0]


def test_batches_and_labels_are_only_read(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [9, 6, 3], dtype.type)
    stored = kernels.pack_batches(mostly_zeros(rng, (5, 9), dtype), dtype, 2)
    batches = PackedBatches(*(read_only(array) for array in stored[:3]), stored.batch_size, stored.shape)
    labels = read_only(rng.integers(0, 3, 5))
    unchanged = Unchanged(*batches[:3], labels)
    kernels.sgd_batches(batches, labels, tuple(weights), tuple(biases), ("relu", "identity"), 0.1)
    unchanged.check()


@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_nan_and_inf_go_where_the_reference_sends_them(special, dtype, rng):
    weights, biases = draw_layers(rng, [6, 5, 4], dtype.type)
    x, labels = np.ones((8, 6), dtype), np.arange(8) % 4
    x[5, 3] = special
    batches = reference.pack_batches(x, dtype, 4)
    others = copies(weights), copies(biases)
    expected = reference.sgd_batches(batches, labels, *others, ["relu", "identity"], 0.1)
    actual = jitted.sgd_batches(batches, labels, weights, biases, ["relu", "identity"], 0.1)
    assert np.isnan(actual[0]) == np.isnan(expected[0])
    for array, wanted in zip([*weights, *biases], [*others[0], *others[1]], strict=True):
        assert np.array_equal(np.isnan(array), np.isnan(wanted))


def test_the_steps_learn(kernels, dtype, rng):
    weights, biases = draw_layers(rng, [30, 16, 3], dtype.type)
    labels = rng.integers(0, 3, 60)
    x = (rng.random((60, 30)) < 0.1 + 0.7 * (np.arange(30) % 3 == labels[:, None])).astype(dtype)
    batches = kernels.pack_batches(x, dtype, 8)
    losses, counts = zip(
        *(kernels.sgd_batches(batches, labels, weights, biases, ["relu", "identity"], 0.2) for _ in range(12)),
        strict=True,
    )
    assert losses[-1] < losses[0] / 4
    assert counts[-1] == 60
