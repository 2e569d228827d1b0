import numpy as np
import pytest
import scipy.sparse
from sklearn import model_selection

from fastfnn.splits import train_test_split


def numbered(n_samples, n_classes=3):
    return np.arange(n_samples)[:, np.newaxis], np.arange(n_samples) % n_classes


@pytest.mark.parametrize("test_size", [1 / 3, 0.4, 0.25, 0.01])
@pytest.mark.parametrize("n_samples", [1797, 20])
def test_the_rows_are_those_of_scikit_learn(n_samples, test_size):
    X, y = numbered(n_samples)
    ours = train_test_split(X, y, test_size, seed=111)
    theirs = model_selection.train_test_split(X, y, test_size=test_size, random_state=111)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("counts", [(50, 30, 20), (7, 5, 3), (1, 1, 8)])
def test_classes_keep_their_shares_to_a_sample(counts):
    y = np.repeat([3, 1, 7], counts)
    X = np.arange(len(y))[:, np.newaxis]
    X_train, X_test, y_train, y_test = train_test_split(X, y, 0.3, seed=1, stratify=True)
    assert sorted([*X_train[:, 0], *X_test[:, 0]]) == list(range(len(y)))
    np.testing.assert_array_equal(y[X_test[:, 0]], y_test)
    np.testing.assert_array_equal(y[X_train[:, 0]], y_train)
    assert len(y_test) == np.ceil(0.3 * len(y))
    for label, count in zip([3, 1, 7], counts, strict=True):
        assert abs((y_test == label).sum() - count * len(y_test) / len(y)) < 1
    assert not np.array_equal(np.sort(X_test[:, 0]), X_test[:, 0])


def test_sparse_samples_are_split_alike():
    X, y = numbered(10)
    dense = train_test_split(X, y, 0.4, seed=2, stratify=True)
    sparse = train_test_split(scipy.sparse.csr_array(X), y, 0.4, seed=2, stratify=True)
    np.testing.assert_array_equal(sparse[1].toarray(), dense[1])


def test_parts_are_copies():
    X, y = numbered(10)
    parts = train_test_split(X, y, seed=0)
    assert not any(np.shares_memory(part, whole) for part in parts for whole in (X, y))


@pytest.mark.parametrize(
    ("test_size", "n_labels", "message"),
    [
        (0, 10, "test_size must be a share above 0 and below 1; got 0"),
        (1, 10, "test_size must be a share"),
        (float("nan"), 10, "test_size must be a share"),
        (0.95, 10, "leaves a part of 10 samples empty"),
        (0.5, 9, r"one label for each of the 10 rows of X; got shape \(9,\)"),
    ],
)
def test_bad_input(test_size, n_labels, message):
    with pytest.raises(ValueError, match=message):
        train_test_split(np.zeros((10, 2)), np.zeros(n_labels, int), test_size)
