"""Metrics of predictions.

Labels are integers from 0 up, or booleans, as everywhere in the package: arrays of shape (n_samples,) or
(n_samples, 1), lists or Series.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastfnn._checks import check_whole
from fastfnn.inputs.arrays import as_labels, as_numbers


def accuracy(labels: ArrayLike, predicted: ArrayLike) -> float:
    """Return the share of samples whose class was predicted.

    Parameters
    ----------
    labels, predicted : array-likes of integers, shape (n_samples,)
        True and predicted classes.

    Raises
    ------
    TypeError
        If an argument is masked, or does not hold numbers of its kind.
    ValueError
        If they are empty, or of different lengths.
    """
    labels, predicted = _pair(labels, predicted)
    return float(np.mean(labels == predicted))


def top_k_accuracy(labels: ArrayLike, probabilities: ArrayLike, k: int = 5) -> float:
    """Return the share of samples whose class is among the `k` most probable ones.

    Parameters
    ----------
    labels : array-like of integers, shape (n_samples,)
        True classes.
    probabilities : array-like, shape (n_samples, n_classes)
        Probabilities, or scores. Among equally probable classes, lower numbers rank first.
    k : int
        Number of classes taken, from 1 to n_classes.

    Raises
    ------
    TypeError
        If an argument is masked, or does not hold numbers of its kind.
    ValueError
        If there are no samples, lengths differ, a label is not a class, or `k` is out of range.
    """
    labels, probabilities = _labels("labels", labels), as_numbers(probabilities, "probabilities").astype(float)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise ValueError(
            "expected probabilities (n_samples, n_classes) and as many labels; "
            f"got {probabilities.shape} and {labels.shape}"
        )
    if np.isnan(probabilities).any():
        raise ValueError("probabilities must not be NaN: the network that they are from may have diverged")
    n_classes = probabilities.shape[1]
    k = check_whole("k", k, 1, n_classes, ", the number of classes")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(f"labels must be from 0 to {n_classes - 1}; got {labels.min()} to {labels.max()}")
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float(np.mean((best == labels[:, np.newaxis]).any(axis=1)))


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, n_classes: int | None = None) -> NDArray[np.int64]:
    """Count how often each class (row) was predicted as each class (column).

    Parameters
    ----------
    labels, predicted : array-likes of integers, shape (n_samples,)
        True and predicted classes.
    n_classes : int, optional
        Number of rows and columns; one more than the largest class when None.

    Returns
    -------
    ndarray of int64, shape (n_classes, n_classes)

    Raises
    ------
    TypeError
        If an argument is masked, or does not hold numbers of its kind.
    ValueError
        If they are empty, of different lengths, or not from 0 to n_classes - 1.
    """
    labels, predicted = _pair(labels, predicted)
    smallest, largest = min(labels.min(), predicted.min()), max(labels.max(), predicted.max())
    n_classes = int(largest) + 1 if n_classes is None else n_classes
    if smallest < 0 or largest >= n_classes:
        raise ValueError(f"labels must be from 0 to {n_classes - 1}; got {smallest} to {largest}")
    return np.bincount(labels * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def macro_f1(labels: ArrayLike, predicted: ArrayLike) -> float:
    """Return the mean over the classes of 2 TP / (2 TP + FP + FN).

    The classes are those that occur among labels or predictions, equally weighted.

    Parameters
    ----------
    labels, predicted : array-likes of integers, shape (n_samples,)
        True and predicted classes.

    Raises
    ------
    TypeError
        If an argument is masked, or does not hold numbers of its kind.
    ValueError
        If they are empty, of different lengths, or negative.
    """
    counts = confusion_matrix(labels, predicted)
    of_class = counts.sum(axis=0) + counts.sum(axis=1)
    occurs = of_class > 0
    return float(np.mean(2 * np.diag(counts)[occurs] / of_class[occurs]))


def _pair(labels: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    labels, predicted = _labels("labels", labels), _labels("predicted", predicted)
    if labels.ndim != 1 or labels.shape != predicted.shape or not len(labels):
        raise ValueError(
            f"expected as many predictions as labels, and some; got {predicted.shape} and {labels.shape}"
        )
    return labels, predicted


def _labels(name: str, labels: Any) -> NDArray[np.int64]:
    return as_labels(labels, name).astype(np.int64)
