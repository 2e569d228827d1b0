import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import assert_close, each_backend, each_dtype, numeric_gradient, softmax_of

from fastfnn import softmax_cross_entropy

EPS = {"float32": 1e-6, "float64": 1e-14}


@each_backend
@each_dtype
def test_worked_example(backend, dtype):
    logits = np.array([[0, math.log(3)], [0, 0]], dtype)
    loss, gradient = softmax_cross_entropy(logits, np.array([1, 0]), backend)
    assert loss == pytest.approx((math.log(4 / 3) + math.log(2)) / 2, rel=EPS[dtype])
    assert_close(gradient, np.array([[0.125, -0.125], [-0.25, 0.25]]), EPS[dtype])


@each_backend
@each_dtype
@pytest.mark.parametrize("n_classes", [1, 2, 10, 1000])
def test_equal_logits_cost_the_logarithm_of_the_classes(backend, dtype, n_classes):
    labels = np.array([0, n_classes - 1])
    loss, gradient = softmax_cross_entropy(np.full((2, n_classes), 7, dtype), labels, backend)
    assert loss == pytest.approx(math.log(n_classes), rel=EPS[dtype])
    assert gradient[1, n_classes - 1] == pytest.approx((1 / n_classes - 1) / 2, rel=EPS[dtype])


@each_backend
def test_gradient_is_that_of_the_loss(backend):
    rng = np.random.default_rng(1)
    logits, labels = rng.standard_normal((7, 4)), rng.integers(0, 4, 7)
    _, gradient = softmax_cross_entropy(logits, labels, backend)
    expected = numeric_gradient(lambda: -np.log(softmax_of(logits)[np.arange(7), labels]).mean(), logits)
    assert_close(gradient, expected, 1e-8)


@each_backend
@each_dtype
def test_huge_logits_stay_finite(backend, dtype):
    logits = np.array([[1e4, -1e4], [1e4, -1e4]], dtype)
    loss, gradient = softmax_cross_entropy(logits, np.array([0, 1]), backend)
    assert loss == pytest.approx(1e4, rel=1e-6)
    assert gradient.tolist() == [[0, 0], [0.5, -0.5]]


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["numba", "numpy"]), st.integers(0, 2**32 - 1))
def test_loss_and_gradient_of_any_shape(n_rows, n_classes, backend, seed):
    rng = np.random.default_rng(seed)
    logits, labels = 5 * rng.standard_normal((n_rows, n_classes)), rng.integers(0, n_classes, n_rows)
    loss, gradient = softmax_cross_entropy(logits, labels, backend)
    probabilities = softmax_of(logits)
    assert loss == pytest.approx(-np.log(probabilities[np.arange(n_rows), labels]).mean(), rel=1e-12, abs=1e-14)
    assert_close(gradient, (probabilities - np.eye(n_classes)[labels]) / n_rows, 1e-12)


@each_backend
@each_dtype
def test_dtypes_of_the_results(backend, dtype):
    loss, gradient = softmax_cross_entropy(np.zeros((2, 3), dtype), np.array([0, 1]), backend)
    assert type(loss) is float
    assert gradient.dtype == dtype


@each_backend
@pytest.mark.parametrize("label_dtype", ["int8", "uint8", "int32", "uint64", ">i2", "bool"])
def test_labels_of_any_integer_type(backend, label_dtype):
    logits = np.array([[0, 1, 2], [2, 1, 0.5]])
    expected = softmax_cross_entropy(logits, np.array([1, 0]), backend)[0]
    assert softmax_cross_entropy(logits, np.array([1, 0], label_dtype), backend)[0] == expected
    assert softmax_cross_entropy(logits, np.array([[1], [0]], label_dtype), backend)[0] == expected
    assert softmax_cross_entropy(logits, [1, 0], backend)[0] == expected


@each_backend
def test_arguments_are_unchanged_and_may_be_read_only_and_strided(backend):
    wide = np.arange(24.0).reshape(4, 6)
    logits, labels = wide[:, ::2], np.array([2, 0, 1, 1, 0, 0, 0, 0])[::2]
    logits.flags.writeable = labels.flags.writeable = False
    before = wide.copy()
    loss, _ = softmax_cross_entropy(logits, labels, backend)
    assert loss == softmax_cross_entropy(logits.copy(), labels.copy(), backend)[0]
    assert np.array_equal(wide, before)


@each_backend
def test_no_rows_cost_nothing(backend):
    loss, gradient = softmax_cross_entropy(np.zeros((0, 3)), np.zeros(0, int), backend)
    assert loss == 0
    assert gradient.shape == (0, 3)


LOGITS = np.zeros((2, 3))
FAULTS = [
    (LOGITS, np.array([0.0, 1.0]), TypeError, "labels must hold integer labels; got float64"),
    (LOGITS, np.array(["a", "b"]), TypeError, "labels must hold real numbers; got text"),
    (LOGITS, np.ma.array([0, 1]), TypeError, "labels is a masked array"),
    (LOGITS, np.array([0, 3]), ValueError, r"labels must lie from 0 to 2; got 0 to 3"),
    (LOGITS, np.array([0, -1]), ValueError, r"labels must lie from 0 to 2; got -1 to 0"),
    (LOGITS, np.array([0]), ValueError, r"labels must have shape \(2,\)"),
    (LOGITS, np.array([[0, 1]]), ValueError, r"labels must have shape \(2,\)"),
    (np.zeros(3), np.array([0]), ValueError, "logits must have 2 dimensions"),
    (np.zeros((2, 0)), np.array([0, 0]), ValueError, "logits must have at least one class"),
    (LOGITS.astype(int), np.array([0, 1]), TypeError, "logits must be float32 or float64; got int64"),
    (LOGITS.astype("float16"), np.array([0, 1]), TypeError, "logits must be float32 or float64; got float16"),
    (LOGITS.astype(object), np.array([0, 1]), TypeError, "logits must be float32 or float64; got object"),
]


@each_backend
@pytest.mark.parametrize(("logits", "labels", "error", "message"), FAULTS)
def test_bad_arguments_are_refused_alike(backend, logits, labels, error, message):
    with pytest.raises(error, match=message):
        softmax_cross_entropy(logits, labels, backend)


def test_unknown_backend_is_refused():
    with pytest.raises(ValueError, match="backend must be one of numba, numpy; got 'jax'"):
        softmax_cross_entropy(LOGITS, np.array([0, 1]), "jax")
