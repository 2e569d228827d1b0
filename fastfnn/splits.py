"""Splits: hold out samples for testing or validation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn._checks import check_part


def train_test_split(
    X: Any, y: Any, test_size: float = 0.25, seed: int | None = None, stratify: bool = False
) -> tuple[Any, Any, NDArray[Any], NDArray[Any]]:
    """Split samples at random into a training set and a test set.

    A second call splits a validation set off the training set.

    Parameters
    ----------
    X : ndarray or sparse array in CSR format, shape (n_samples, n_inputs)
        Samples.
    y : ndarray, shape (n_samples,)
        Labels.
    test_size : float
        Share of the samples in the test set, above 0 and below 1; rounded up to a whole sample.
    seed : int, optional
        Seed of the split; random when None.
    stratify : bool
        Whether each class keeps its share in both sets, to within a sample.

    Returns
    -------
    X_train, X_test, y_train, y_test
        Copies. Without `stratify`, their rows and order are those of scikit-learn's function of the same name with
        `random_state=seed`.

    Raises
    ------
    TypeError, ValueError
        If a size does not fit, or a part would be empty.
    """
    labels, n_samples = np.asarray(y), X.shape[0]
    if labels.shape != (n_samples,):
        raise ValueError(f"y must hold one label for each of the {n_samples} rows of X; got shape {labels.shape}")
    test_size = check_part("test_size", test_size)
    n_test = math.ceil(test_size * n_samples)
    if not 0 < n_test < n_samples:
        raise ValueError(
            f"test_size {test_size} leaves a part of {n_samples} samples empty: take another, or more samples"
        )
    order = np.random.RandomState(seed).permutation(n_samples)
    if stratify:
        order = _stratified(order, labels, n_test)
    test, train = order[:n_test], order[n_test:]
    return X[train], X[test], labels[train], labels[test]


def _stratified(order: NDArray[np.int64], labels: NDArray[Any], n_test: int) -> NDArray[np.int64]:
    """Move each class's share to the first `n_test` rows, rounded by the largest remainders."""
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    shares = counts * n_test / len(labels)
    n_of_class = np.floor(shares).astype(np.int64)
    largest_rests = np.argsort(n_of_class - shares, kind="stable")
    n_of_class[largest_rests[: n_test - n_of_class.sum()]] += 1

    of_order = classes[order]
    by_class = np.argsort(of_order, kind="stable")
    rank = np.empty_like(order)
    rank[by_class] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    is_test = rank < n_of_class[of_order]
    return np.concatenate([order[is_test], order[~is_test]])
