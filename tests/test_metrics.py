import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from fastfnn import metrics


@pytest.fixture
def drawn(rng):
    return rng.integers(0, 7, 300), rng.integers(0, 7, 300), rng.standard_normal((300, 7))


def test_against_scikit_learn(drawn):
    labels, predicted, scores = drawn
    assert metrics.accuracy(labels, predicted) == sklearn_metrics.accuracy_score(labels, predicted)
    np.testing.assert_array_equal(
        metrics.confusion_matrix(labels, predicted), sklearn_metrics.confusion_matrix(labels, predicted)
    )
    assert metrics.macro_f1(labels, predicted) == pytest.approx(
        sklearn_metrics.f1_score(labels, predicted, average="macro"), rel=1e-14
    )
    for k in (1, 2, 6):
        expected = sklearn_metrics.top_k_accuracy_score(labels, scores, k=k, labels=range(7))
        assert metrics.top_k_accuracy(labels, scores, k) == expected


def test_classes_that_do_not_occur_do_not_count():
    labels, predicted = np.array([0, 0, 5]), np.array([0, 5, 5])
    assert metrics.macro_f1(labels, predicted) == pytest.approx(
        sklearn_metrics.f1_score(labels, predicted, average="macro")
    )
    assert metrics.confusion_matrix(labels, predicted, 8).shape == (8, 8)
    assert metrics.confusion_matrix(labels, predicted).shape == (6, 6)


def test_the_first_of_equally_probable_classes_come_first():
    assert metrics.top_k_accuracy(np.array([0, 1, 2]), np.ones((3, 3)), 2) == 2 / 3
    assert metrics.top_k_accuracy(np.array([0, 1, 2]), np.ones((3, 3)), 3) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.accuracy(np.zeros(3, int), np.zeros(2, int)), "as many predictions as labels"),
        (lambda: metrics.accuracy(np.zeros(0, int), np.zeros(0, int)), "as many predictions as labels, and some"),
        (lambda: metrics.macro_f1(np.zeros(2), np.zeros(2, int)), "labels must be integers; got float64"),
        (lambda: metrics.confusion_matrix(np.array([0, 3]), np.array([0, 1]), 3), "from 0 to 2; got 0 to 3"),
        (lambda: metrics.confusion_matrix(np.array([0, -1]), np.array([0, 1])), "from 0 to 1; got -1 to 1"),
        (
            lambda: metrics.top_k_accuracy(np.array([0]), np.ones((1, 3)), 4),
            "k must be a whole number from 1 to 3, the number of classes; got 4",
        ),
        (lambda: metrics.top_k_accuracy(np.array([3]), np.ones((1, 3)), 1), "labels must be from 0 to 2"),
        (lambda: metrics.top_k_accuracy(np.array([0, 1]), np.ones((1, 3)), 1), "as many labels"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
