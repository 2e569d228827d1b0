"""Softmax, its cross-entropy and the count of right answers."""

import numpy as np
import pytest
from arrays import Unchanged, normals, read_only
from fastfnn_kernels import jitted, reference
from fastfnn_kernels.jitted._products.cross_entropy_rows import NARROW
from fastfnn_kernels.jitted.softmax import BLOCK
from hypothesis import given
from hypothesis import strategies as st
from tolerances import assert_elements_close

# Beside, below and above whole vectors, and where short rows end and long ones begin.
CLASSES = [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 100, NARROW - 1, NARROW, NARROW + 1, 1000, 32_000]
SHAPES = [(0, 3), (1, 10), (BLOCK // 10 + 1, 10), (2, BLOCK), (3, BLOCK + 1), (700, 33), (70, 300), (5000, 10)]
SHAPES += [(3, n_classes) for n_classes in CLASSES]


def exact_loss_and_gradient(logits, labels, scale):
    z = logits.astype(np.longdouble)
    rows = np.arange(len(z))
    exponentials = np.exp(z - z.max(axis=1, keepdims=True))
    p = exponentials / exponentials.sum(axis=1, keepdims=True)
    losses = np.log(exponentials.sum(axis=1)) + z.max(axis=1) - z[rows, labels]
    gradient = p.copy()
    gradient[rows, labels] -= 1
    return scale * losses.sum(), scale * gradient, p


@pytest.mark.parametrize("shape", SHAPES)
def test_loss_gradient_and_probabilities_are_the_formula(kernels, shape, dtype, threads, rng):
    logits, labels = read_only(3 * normals(rng, shape, dtype)), read_only(rng.integers(0, shape[1], shape[0]))
    unchanged = Unchanged(logits, labels)
    loss, gradient, probabilities = exact_loss_and_gradient(logits, labels, 0.25)
    out = np.full(shape, np.nan, dtype)
    actual_loss, actual = kernels.softmax_cross_entropy(logits, labels, 0.25, out)
    assert actual is out
    assert isinstance(actual_loss, float)
    assert actual_loss == pytest.approx(float(loss), rel=8 * float(np.finfo(dtype).eps))
    size = np.sqrt(shape[1]) * np.abs(logits).max(initial=1)  # the shift and the row's sum are rounded before exp
    assert_elements_close(actual, gradient, scale=0.25 * size * probabilities)
    out = np.full(shape, np.nan, dtype)
    assert kernels.softmax(logits, out) is out
    assert_elements_close(out, probabilities, scale=size * probabilities)
    unchanged.check()


def test_the_mean_is_the_default(kernels, dtype, rng):
    logits, labels = normals(rng, (8, 3), dtype), rng.integers(0, 3, 8)
    mean, mean_gradient = kernels.softmax_cross_entropy(logits, labels)
    same, same_gradient = kernels.softmax_cross_entropy(logits, labels, 1 / 8)
    assert mean == same
    assert np.array_equal(mean_gradient, same_gradient)


def test_worked_example(kernels, dtype):
    logits = np.log(np.array([[1, 2, 5], [3, 3, 2]])).astype(dtype)
    loss, gradient = kernels.softmax_cross_entropy(logits, np.array([2, 0]), 1.0)
    assert loss == pytest.approx(-np.log(5 / 8) - np.log(3 / 8), rel=1e-6)
    assert gradient == pytest.approx(np.array([[1, 2, -3], [-5, 3, 2]]) / 8, rel=1e-5)


@pytest.mark.parametrize("size", [1e4, -1e4, 3e38])
def test_large_logits_stay_finite(kernels, size, dtype):
    logits = np.array([[size, -size, 0], [0, size, -size], [-size, 0, size]], dtype)
    loss, gradient = kernels.softmax_cross_entropy(logits, np.argmax(logits, axis=1))
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()
    assert np.isfinite(kernels.softmax(logits)).all()


def test_the_loss_of_a_hopeless_row_is_finite(kernels, dtype):
    loss, _ = kernels.softmax_cross_entropy(np.array([[3e38, -3e38]], dtype), np.array([1]))
    assert loss == pytest.approx(6e38, rel=1e-6)


@pytest.mark.parametrize("n_classes", CLASSES)
def test_the_largest_logit_may_stand_anywhere(kernels, n_classes, dtype):
    places = np.unique(np.linspace(0, n_classes - 1, 40).astype(np.int64))
    rows = np.arange(len(places))
    logits, certain = np.zeros((2, len(places), n_classes), dtype)
    logits[rows, places], certain[rows, places] = 1000, 1
    assert np.array_equal(kernels.softmax(logits), certain)
    loss, gradient = kernels.softmax_cross_entropy(logits, places)
    assert loss == 0
    assert not gradient.any()
    assert kernels.count_correct(logits, places) == len(places)


@pytest.mark.parametrize("logit", [5, 2000, -2000])
@pytest.mark.parametrize("n_classes", CLASSES)
def test_equal_logits_share_equally(kernels, n_classes, logit, dtype):
    logits = np.full((4, n_classes), logit, dtype)
    assert (kernels.softmax(logits) == dtype.type(1) / dtype.type(n_classes)).all()
    loss, _ = kernels.softmax_cross_entropy(logits, np.zeros(4, np.int64))
    assert loss == pytest.approx(np.log(n_classes), rel=1e-15)


@pytest.mark.parametrize("n_classes", CLASSES)
def test_a_row_has_the_same_bits_wherever_it_stands(n_classes, dtype, rng):
    logits = normals(rng, (9, n_classes), dtype)
    together = jitted.softmax(logits)
    for row in range(9):
        assert np.array_equal(jitted.softmax(logits[row : row + 1]), together[row : row + 1])


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("n_classes", "column"), [(5, 0), (5, 3), (33, 32), (1000, 0), (1000, 500), (1000, 999)])
def test_nan_and_inf_go_where_the_reference_sends_them(special, n_classes, column, dtype, rng):
    logits, labels = normals(rng, (6, n_classes), dtype), np.arange(6) % n_classes
    logits[2, column] = special
    logits[4] = special
    expected_loss, expected = reference.softmax_cross_entropy(logits, labels)
    loss, gradient = jitted.softmax_cross_entropy(logits, labels)
    assert np.array_equal(np.isnan(gradient), np.isnan(expected))
    assert np.isnan(loss) == np.isnan(expected_loss)
    assert np.isinf(loss) == np.isinf(expected_loss)
    assert np.array_equal(np.isnan(jitted.softmax(logits)), np.isnan(reference.softmax(logits)))
    assert jitted.count_correct(logits, labels) == reference.count_correct(logits, labels)


@pytest.mark.parametrize("label", [0, 1])
def test_a_class_that_cannot_be_costs_infinity(kernels, label, dtype):
    loss, _ = kernels.softmax_cross_entropy(np.array([[0, -np.inf]], dtype), np.array([label]))
    assert loss == [0, np.inf][label]


@given(
    st.integers(0, 700),
    st.integers(1, 40) | st.just(300),
    st.sampled_from([np.float32, np.float64]),
    st.integers(0, 2**32 - 1),
)
def test_count_correct_counts_the_first_of_the_largest(n_rows, n_columns, dtype, seed):
    rng = np.random.default_rng(seed)
    logits = rng.integers(-2, 3, (n_rows, n_columns)).astype(dtype)
    logits[rng.random(logits.shape) < 0.02] = np.nan
    labels = rng.integers(0, n_columns, n_rows)
    expected = sum(int(np.argmax(row)) == label for row, label in zip(logits, labels, strict=True))
    assert jitted.count_correct(logits, labels) == expected
    assert reference.count_correct(logits, labels) == expected


def test_gradient_is_the_derivative_of_the_loss(kernels, rng):
    logits, labels = normals(rng, (4, 3), np.float64), np.array([0, 2, 1, 1])
    _, gradient = kernels.softmax_cross_entropy(logits, labels)
    step = 1e-5
    for index in np.ndindex(logits.shape):
        beyond, before = logits.copy(), logits.copy()
        beyond[index] += step
        before[index] -= step
        difference = (
            kernels.softmax_cross_entropy(beyond, labels)[0] - kernels.softmax_cross_entropy(before, labels)[0]
        )
        assert gradient[index] == pytest.approx(difference / (2 * step), abs=1e-9)


def test_gradient_through_the_full_jacobian_agrees(kernels, rng):
    logits, labels = normals(rng, (5, 4), np.float64), np.array([0, 1, 2, 3, 3])
    p = kernels.softmax(logits)
    through_jacobian = np.empty_like(p)
    for row, label in enumerate(labels):
        jacobian = np.diag(p[row]) - np.outer(p[row], p[row])
        loss_gradient = np.zeros(4)
        loss_gradient[label] = -1 / p[row, label]
        through_jacobian[row] = jacobian @ loss_gradient
    assert kernels.softmax_cross_entropy(logits, labels, 1.0)[1] == pytest.approx(through_jacobian, abs=1e-14)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(0, 3), (1, 10), (5000, 10), (700, 33), (70, 300), (3, BLOCK + 1)])
def test_weights_and_smoothing_are_the_formula(kernels, shape, weighted, smoothing, dtype, threads, rng):
    logits, labels = read_only(3 * normals(rng, shape, dtype)), read_only(rng.integers(0, shape[1], shape[0]))
    weights = read_only(rng.random(shape[0]).astype(dtype)) if weighted else None
    unchanged = Unchanged(logits, labels, *([weights] if weighted else []))
    z = logits.astype(np.longdouble)
    target = np.full(shape, np.longdouble(smoothing) / shape[1])
    target[np.arange(shape[0]), labels] += 1 - np.longdouble(smoothing)
    log_p = z - z.max(axis=1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    factors = 0.25 * (weights[:, np.newaxis].astype(np.longdouble) if weighted else np.ones((shape[0], 1)))
    out = np.full(shape, np.nan, dtype)
    loss, actual = kernels.softmax_cross_entropy(logits, labels, 0.25, out, weights, smoothing)
    assert actual is out
    assert loss == pytest.approx(float(-(factors * target * log_p).sum()), rel=16 * float(np.finfo(dtype).eps))
    size = np.sqrt(shape[1]) * np.abs(logits).max(initial=1)
    assert_elements_close(out, factors * (np.exp(log_p) - target), scale=factors * (size * np.exp(log_p) + target))
    unchanged.check()


def test_a_weight_counts_like_so_many_rows(kernels, dtype, rng):
    logits, labels = normals(rng, (4, 3), dtype), np.array([0, 2, 1, 1])
    weights = np.array([1, 2, 0, 3], dtype)
    loss, gradient = kernels.softmax_cross_entropy(logits, labels, 1.0, None, weights)
    times = weights.astype(np.int64)
    repeated, _ = kernels.softmax_cross_entropy(np.repeat(logits, times, axis=0), np.repeat(labels, times), 1.0)
    assert loss == pytest.approx(repeated, rel=8 * float(np.finfo(dtype).eps))
    assert not gradient[2].any()


def test_equal_logits_cost_as_much_with_smoothing(kernels, dtype):
    loss, gradient = kernels.softmax_cross_entropy(np.zeros((2, 4), dtype), np.array([0, 3]), label_smoothing=0.5)
    assert loss == pytest.approx(np.log(4))
    assert gradient == pytest.approx(np.array([[-3, 1, 1, 1], [1, 1, 1, -3]]) / 16)
