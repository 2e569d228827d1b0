import numpy as np
import pandas
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


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(2), "labels must hold integer labels; got float64"),
        (["a", "b"], "labels must hold real numbers; got text: encode labels with scikit-learn's LabelEncoder"),
        (np.ma.array([0, 1]), "labels is a masked array: fill its gaps with filled"),
        ([0, None], "labels must hold real numbers; got objects such as None"),
    ],
)
def test_other_types_are_refused(labels, message):
    calls = [metrics.accuracy, metrics.confusion_matrix, metrics.macro_f1]
    for call in calls:
        with pytest.raises(TypeError, match=message):
            call(labels, [0, 1])
        with pytest.raises(TypeError, match=message.replace("labels", "predicted", 1)):
            call([0, 1], labels)
    with pytest.raises(TypeError, match=message):
        metrics.top_k_accuracy(labels, np.ones((2, 3)))


def test_probabilities_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match="probabilities must not be NaN"):
        metrics.top_k_accuracy([0], [[0.5, np.nan]], 1)
    with pytest.raises(TypeError, match="probabilities is a masked array"):
        metrics.top_k_accuracy([0], np.ma.ones((1, 2)), 1)


@pytest.mark.parametrize("form", [list, np.array, pandas.Series, lambda values: np.array(values)[:, None]])
def test_labels_of_any_form(form):
    labels, predicted = [0, 1, 2, 2], [0, 2, 2, 1]
    assert metrics.accuracy(form(labels), form(predicted)) == 0.5
    assert metrics.confusion_matrix(form(labels), predicted).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 1]]
    assert metrics.macro_f1(labels, form(predicted)) == metrics.macro_f1(labels, predicted)
    assert metrics.top_k_accuracy(form(labels), np.eye(3)[predicted].tolist(), 1) == 0.5
    assert metrics.accuracy(form([True, False]), form([True, True])) == 0.5


@pytest.mark.parametrize("dtype", ["uint8", "bool", "float16"])
def test_scores_of_any_type_are_ranked(dtype):
    scores = np.array([[0, 1, 0], [1, 0, 0]], dtype)
    assert metrics.top_k_accuracy([1, 0], scores, 1) == 1
    assert metrics.top_k_accuracy([0, 1], scores, 1) == 0
