"""Losses that compare each output with a number of its own."""

import numpy as np
import pytest
from arrays import Unchanged, integers, normals, read_only
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.arguments import LOSSES
from fastfnn_kernels.jitted.elementwise_loss import BLOCK
from tolerances import assert_elements_close

SHAPES = [(0, 3), (1, 1), (BLOCK + 1, 1), (3, BLOCK + 1), (300, 33)]


def exact(y, t, loss, delta):
    """Return losses, derivatives, and how large the numbers are that both are made of."""
    y, t = y.astype(np.longdouble), t.astype(np.longdouble)
    difference = y - t
    if loss == "squared_error":
        return difference**2, 2 * difference, np.abs(y) + np.abs(t)
    if loss == "huber":
        small = np.abs(difference) <= delta
        losses = np.where(small, difference**2 / 2, delta * (np.abs(difference) - delta / 2))
        return losses, np.where(small, difference, delta * np.sign(difference)), np.abs(y) + np.abs(t)
    if loss == "binary_cross_entropy":
        return np.log(1 + np.exp(y)) - t * y, 1 / (1 + np.exp(-y)) - t, 1 + np.abs(t)
    return np.exp(y) - t * y, np.exp(y) - t, np.exp(y) + np.abs(t)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_loss_and_gradient_are_the_formula(kernels, loss, shape, weighted, dtype, threads, rng):
    y, t = read_only(2 * normals(rng, shape, dtype)), read_only(rng.random(shape).astype(dtype))
    weights = read_only(rng.random(shape[0]).astype(dtype)) if weighted else None
    unchanged = Unchanged(y, t, *([weights] if weighted else []))
    losses, derivatives, size = exact(y, t, loss, 0.75)
    factors = 0.25 * (weights[:, np.newaxis].astype(np.longdouble) if weighted else np.ones((shape[0], 1)))
    out = np.full(shape, np.nan, dtype)
    actual_loss, actual = kernels.elementwise_loss(y, t, loss, 0.25, weights, 0.75, out)
    assert actual is out
    assert isinstance(actual_loss, float)
    # Of each term's rounding errors, which have either sign, the sum is bounded by that of the terms' sizes.
    terms = float((factors * (size * np.maximum(1, np.abs(y)) + losses)).sum())
    assert actual_loss == pytest.approx(float((factors * losses).sum()), abs=8 * float(np.finfo(dtype).eps) * terms)
    assert_elements_close(out, factors * derivatives, scale=factors * size)
    unchanged.check()


@pytest.mark.parametrize("loss", ["squared_error", "huber"])
def test_whole_numbers_are_exact(kernels, loss, dtype, rng):
    y, t, weights = (integers(rng, shape, dtype) for shape in ((90, 5), (90, 5), 90))
    actual_loss, actual = kernels.elementwise_loss(y, t, loss, 1.0, np.abs(weights), 2.0)
    losses, derivatives, _ = exact(y, t, loss, 2.0)
    assert actual_loss == float((np.abs(weights)[:, np.newaxis] * losses).sum())
    assert np.array_equal(actual, np.abs(weights)[:, np.newaxis] * derivatives)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_mean_is_the_default(kernels, loss, dtype, rng):
    y, t = normals(rng, (8, 3), dtype), rng.random((8, 3)).astype(dtype)
    mean, gradient = kernels.elementwise_loss(y, t, loss)
    same, same_gradient = kernels.elementwise_loss(y, t, loss, 1 / 24)
    assert mean == same
    assert np.array_equal(gradient, same_gradient)


def test_worked_example(kernels, dtype):
    y, t = np.array([[3.0, 0.0]], dtype), np.array([[1.0, 1.0]], dtype)
    of = {loss: kernels.elementwise_loss(y, t, loss, 1.0) for loss in LOSSES}
    assert of["squared_error"][0] == 4 + 1
    assert of["squared_error"][1].tolist() == [[4, -2]]
    assert of["huber"][0] == 1.5 + 0.5
    assert of["huber"][1].tolist() == [[1, -1]]
    assert of["binary_cross_entropy"][0] == pytest.approx(np.log(1 + np.exp(-3)) + np.log(2))
    assert of["poisson"][0] == pytest.approx(np.exp(3) - 3 + 1)


@pytest.mark.parametrize("target", [0.0, 1.0])
@pytest.mark.parametrize("size", [1e2, 1e4, 3e38])
def test_certain_logits_stay_finite(kernels, size, target, dtype):
    y = np.array([[size, -size]], dtype)
    loss, gradient = kernels.elementwise_loss(y, np.full_like(y, target), "binary_cross_entropy", 1.0)
    assert loss == pytest.approx(size, rel=1e-6)
    assert gradient == pytest.approx(np.array([[1 - target, -target]]), abs=1e-43)


def test_unlikely_logits_keep_their_digits(kernels, dtype):
    loss, _ = kernels.elementwise_loss(np.array([[-40.0]], dtype), np.zeros((1, 1), dtype), "binary_cross_entropy")
    assert loss == pytest.approx(np.exp(-40), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_is_the_derivative(kernels, loss, rng):
    y, t, weights = rng.standard_normal((6, 3)), rng.random((6, 3)), rng.random(6)
    _, gradient = kernels.elementwise_loss(y, t, loss, None, weights, 0.5)
    step = 1e-6
    for index in np.ndindex(y.shape):
        beyond, before = y.copy(), y.copy()
        beyond[index] += step
        before[index] -= step
        losses = [kernels.elementwise_loss(at, t, loss, None, weights, 0.5)[0] for at in (beyond, before)]
        assert gradient[index] == pytest.approx((losses[0] - losses[1]) / (2 * step), abs=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_nan_and_inf_go_where_the_reference_sends_them(loss, weighted, dtype, rng):
    y, t = normals(rng, (7, 3), dtype), rng.random((7, 3)).astype(dtype)
    y[1, 0], y[2, 1], y[3, 2], t[4, 0], t[5, 1] = np.nan, np.inf, -np.inf, np.nan, np.inf
    weights = np.ones(7, dtype) if weighted else None
    expected_loss, expected = reference.elementwise_loss(y, t, loss, 1.0, weights)
    actual_loss, actual = jitted.elementwise_loss(y, t, loss, 1.0, weights)
    assert np.array_equal(np.isnan(actual), np.isnan(expected))
    assert np.array_equal(np.isinf(actual), np.isinf(expected))
    assert np.isnan(actual_loss) == np.isnan(expected_loss)
