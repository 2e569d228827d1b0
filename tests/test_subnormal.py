"""Gradients of losses and states of optimizers are never subnormal: kernels write 0, and keep all normal numbers."""

import numpy as np
import pytest
from fastfnn_kernels.batches import RowLosses, Rule, Stack, StackLayer, StepOptions
from fastfnn_kernels.jitted._products.cross_entropy_rows import NARROW
from fastfnn_kernels.jitted.updates import BLOCK

# Rows within a vector, beside one, above it, and long ones.
CLASSES = [2, 10, 16, 17, 33, NARROW - 1, NARROW, 1000]
SCALES = [1.0, -0.25, 1 / 14_000, 1e-20]


def least(dtype):
    return np.finfo(dtype).smallest_normal


def is_subnormal(values):
    return (values != 0) & (np.abs(values) < least(values.dtype))


def far_logits(rng, n_rows, n_classes, dtype):
    """Draw rows whose exponentials are of all sizes, beyond the smallest number of the dtype."""
    beyond = np.log(np.finfo(dtype).smallest_subnormal.astype(np.longdouble)) * np.longdouble(1.2)
    return (rng.random((n_rows, n_classes)) * beyond).astype(dtype)


def exact_probabilities(logits):
    z = logits.astype(np.longdouble)
    exponentials = np.exp(z - z.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def check_flushed(actual, exact):
    """Check that numbers are 0 where `exact` is subnormal, and close to it elsewhere; an exponential may be off."""
    slack = 1000 * np.finfo(actual.dtype).eps
    size, limit = np.abs(exact), np.longdouble(least(actual.dtype))
    assert not is_subnormal(actual).any()
    assert (actual[size < limit * (1 - slack)] == 0).all()
    normal = size > limit * (1 + slack)
    assert (np.abs(actual - exact)[normal] <= slack * size[normal]).all()
    assert 0 < normal.sum() < normal.size


@pytest.mark.parametrize("n_classes", CLASSES)
def test_probabilities(kernels, n_classes, dtype, rng):
    logits = far_logits(rng, 300, n_classes, dtype)
    check_flushed(kernels.softmax(logits), exact_probabilities(logits))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("n_classes", CLASSES)
def test_gradients_of_the_cross_entropy(kernels, n_classes, scale, dtype, rng):
    logits, labels = far_logits(rng, 300, n_classes, dtype), rng.integers(0, n_classes, 300)
    _, gradient = kernels.softmax_cross_entropy(logits, labels, scale)
    p = exact_probabilities(logits)
    others = np.arange(n_classes) != labels[:, np.newaxis]
    check_flushed(gradient[others], (scale * p)[others])
    weights = np.array([1, 0.5, 0.001], dtype)[rng.integers(0, 3, 300)]
    _, weighted = kernels.softmax_cross_entropy(logits, labels, scale, None, weights)
    check_flushed(weighted[others], (weights[:, np.newaxis] * scale * p)[others])


@pytest.mark.parametrize(("distance", "scale", "weight"), [(-1, 0.5, None), (19, 1e-9, None), (19, 0.5, 1e-9)])
@pytest.mark.parametrize("n_classes", CLASSES)
def test_a_single_far_class_is_noticed(kernels, n_classes, distance, scale, weight, dtype):
    """One logit in many, at any place, has a gradient that would be subnormal, by itself or by its factors."""
    weights = None if weight is None else np.full(3, weight, dtype)
    for place in range(0, n_classes, max(1, n_classes // 40)):
        logits = np.zeros((3, n_classes), dtype)
        logits[1, place] = np.log(least(dtype)) + distance
        labels = np.full(3, (place + 1) % n_classes)
        assert (kernels.softmax(logits)[1, place] == 0) == (distance < 0)
        _, gradient = kernels.softmax_cross_entropy(logits, labels, scale, None, weights)
        assert gradient[1, place] == 0
        assert np.delete(gradient, 1, axis=0).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.25])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_classes", CLASSES)
def test_the_smallest_normal_gradient_is_kept(kernels, n_classes, weighted, smoothing, dtype):
    """All of the probability is at class 0, so the gradients are known exactly; the scale decides their size."""
    logits = np.full((5, n_classes), -2000, dtype)
    logits[:, 0] = 0
    target = np.full(n_classes, smoothing / n_classes)
    target[1] += 1 - smoothing
    weights = np.ones(5, dtype) if weighted else None
    labels = np.ones(5, np.int64)
    if smoothing == 0:
        for scale, expected in [(1, [1, -1]), (0.5, [0, 0]), (-1, [-1, 1]), (2, [2, -2])]:
            scale = float(least(dtype)) * scale
            _, gradient = kernels.softmax_cross_entropy(logits, labels, scale, None, weights)
            assert np.array_equal(gradient[:, :2], np.tile(np.array(expected, dtype) * least(dtype), (5, 1)))
            assert not gradient[:, 2:].any()
        return
    scale = float(least(dtype)) * 2
    _, gradient = kernels.softmax_cross_entropy(logits, labels, scale, None, weights, smoothing)
    exact = scale * ((np.arange(n_classes) == 0) - target)
    exact[np.abs(exact) < least(dtype)] = 0
    assert gradient == pytest.approx(np.tile(exact, (5, 1)), rel=1e-6)
    assert not is_subnormal(gradient).any()


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(("scale", "kept"), [(1.0, 1.0), (0.5, 0.0), (4.0, 4.0)])
def test_dense_cross_entropy(kernels, scale, kept, accumulate, dtype):
    """With a single row that is 1, the gradients of the weights and of the bias are those of the logits."""
    x, weights = np.ones((1, 1), dtype), np.array([[0, -2000, -2000]], dtype)
    outputs = (np.full((1, 1), 7, dtype), np.zeros((1, 3), dtype), np.zeros(3, dtype))
    size = float(least(dtype))
    kernels.dense_cross_entropy(
        x, weights, np.zeros(3, dtype), np.array([1]), scale * size, "identity", *outputs, accumulate
    )
    expected = np.array([kept, -kept, 0], dtype) * least(dtype)
    assert np.array_equal(outputs[1], expected[np.newaxis])
    assert np.array_equal(outputs[2], expected)


@pytest.mark.parametrize(("scale", "kept"), [(1.0, 1.0), (0.5, 0.0), (4.0, 4.0)])
def test_stack_gradient(kernels, scale, kept, dtype):
    parameters = np.array([0, -2000, -2000, 0, 0, 0], dtype)
    arguments = (np.ones((1, 1), dtype), parameters, [3], ["identity"], [True])
    losses = RowLosses("softmax_cross_entropy", np.array([1]))
    _, _, gradient = kernels.stack_gradient(*arguments, losses, scale * float(least(dtype)))
    assert np.array_equal(gradient, np.array([kept, -kept, 0] * 2, dtype) * least(dtype))


@pytest.mark.parametrize(("scale", "kept"), [(1.0, 1.0), (0.5, 0.0), (4.0, 4.0)])
def test_train_batches(kernels, scale, kept, dtype):
    """The first row has the right class; the second has a tiny weight, and inputs of its own."""
    parameters = np.array([[0, -2000, -2000]] * 2, dtype).reshape(-1)
    gradient, weights = np.ones(6, dtype), np.array([1, scale * least(dtype)], dtype)
    losses = RowLosses("softmax_cross_entropy", np.array([0, 1]), weights)
    arguments = (losses, Stack(2, (StackLayer(3, "identity", 0),)), parameters, gradient)
    kernels.train_batches(
        np.eye(2, dtype=dtype), np.arange(2), *arguments, Rule("sgd", 1.0, {}, (), 0), StepOptions(2)
    )
    assert np.array_equal(gradient, np.array([0, 0, 0, kept, -kept, 0], dtype) * least(dtype))


@pytest.mark.parametrize("kernel", ["sgd_samples", "sgd_batches"])
def test_a_subnormal_probability_takes_no_step(kernels, kernel, dtype):
    """A step length of 1 / the smallest normal number would make even a subnormal gradient visible."""
    limit = np.log(least(dtype).astype(np.longdouble))
    x, labels = np.ones((1, 1), dtype), np.array([0])
    pack = kernels.compress_rows if kernel == "sgd_samples" else lambda x, dtype: kernels.pack_batches(x, dtype, 1)
    for distance, moves in ((-0.5, False), (0.5, True)):
        weights, bias = np.array([[0, limit + distance, -9000]], dtype), np.zeros(3, dtype)
        getattr(kernels, kernel)(pack(x, dtype), labels, [weights], [bias], ["identity"], float(1 / least(dtype)) / 8)
        assert (bias[1] != 0) == moves
        assert bias[0] == bias[2] == 0


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["binary_cross_entropy", "poisson"])
def test_gradients_of_elementwise_losses(kernels, loss, weighted, dtype):
    """Of an output so small that its exponential is 0, the derivative is the target with another sign."""
    sizes = np.array([1, 0.5, 2, -1, -0.75, 16, 1.5] * 40)
    targets = (8 * sizes * least(dtype)).astype(dtype).reshape(40, 7)
    outputs = np.full_like(targets, -2000)
    weights = np.full(40, 0.5, dtype) if weighted else None
    _, gradient = kernels.elementwise_loss(outputs, targets, loss, 0.25 if weighted else 0.125, weights)
    expected = np.where(np.abs(sizes) < 1, 0, -sizes).astype(dtype) * least(dtype)
    assert np.array_equal(gradient, expected.reshape(40, 7))
    logits = np.linspace(1.3 * np.log(least(dtype)), 0, 1000).astype(dtype)[np.newaxis]
    _, gradient = kernels.elementwise_loss(logits, np.zeros_like(logits), loss, 1 / 64)
    z = logits.astype(np.longdouble)
    check_flushed(gradient, np.exp(z) / (1 + np.exp(z)) / 64 if loss == "binary_cross_entropy" else np.exp(z) / 64)


UPDATES = {
    "momentum": (1, (0.1, 0.5)),
    "rmsprop": (1, (0.1, 0.5, 1e-3)),
    "adam": (2, (1, 0.1, 0.5, 0.5, 1e-3)),
    "adamw": (2, (1, 0.1, 0.5, 0.5, 1e-3, 0.5)),
}


@pytest.mark.parametrize("size", [1, 7, 37, BLOCK + 1])
@pytest.mark.parametrize("update", UPDATES)
def test_states_of_optimizers(kernels, update, size, dtype):
    """Without a gradient, each step halves the state."""
    n_states, scalars = UPDATES[update]
    sizes = np.resize([2, 1, 1.5, 8, 0.25, 0, np.nan], size)
    parameter, gradient = np.ones(size, dtype), np.zeros(size, dtype)
    states = [sizes.astype(dtype) * least(dtype) for _ in range(n_states)]
    expected = np.where(sizes / 2 < 1, 0, sizes / 2).astype(dtype) * least(dtype)
    getattr(kernels, update)(parameter, gradient, *states, *scalars)
    for state in states:
        assert np.array_equal(state, expected, equal_nan=True)


def test_a_negative_velocity(kernels, dtype):
    velocity = -np.array([2, 1], dtype) * least(dtype)
    kernels.momentum(np.ones(2, dtype), np.zeros(2, dtype), velocity, 0.1, 0.5)
    assert velocity.tolist() == [-least(dtype), 0]


def test_what_a_dead_unit_leaves_behind_ends(kernels, dtype):
    """Rounded to the nearest, nine tenths of the fourth smallest number are that number again, for ever."""
    parameter, gradient, velocity = np.ones(20, dtype), np.zeros(20, dtype), np.full(20, 1e-30, dtype)
    for _ in range(7000 if dtype == np.float64 else 500):
        kernels.momentum(parameter, gradient, velocity, 0.1, 0.9)
    assert not velocity.any()


@pytest.mark.parametrize("n_classes", CLASSES)
def test_nan_stays_nan(kernels, n_classes, dtype, rng):
    logits = far_logits(rng, 5, n_classes, dtype)
    logits[2, 1] = np.nan
    labels = np.zeros(5, np.int64)
    for scale in (1.0, 1e-300):
        _, gradient = kernels.softmax_cross_entropy(logits, labels, scale)
        _, smoothed = kernels.softmax_cross_entropy(logits, labels, scale, None, np.ones(5, dtype), 0.1)
        for result in (gradient, smoothed, kernels.softmax(logits)):
            assert np.array_equal(np.isnan(result).all(axis=1), np.arange(5) == 2)
    assert np.isnan(kernels.softmax_cross_entropy(logits, labels, np.nan)[1]).all()
