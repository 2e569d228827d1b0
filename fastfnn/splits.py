"""Splits: hold out samples for testing or validation."""

from __future__ import annotations

import math
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn._checks import check_part
from fastfnn.inputs.arrays import require_unmasked


def train_test_split(
    *arrays: Any, test_size: float = 0.25, seed: int | None = None, stratify: Any = False
) -> tuple[Any, ...]:
    """Split samples at random into a training set and a test set.

    A second call splits a validation set off the training set.

    Parameters
    ----------
    *arrays : array-likes, DataFrames, or sparse arrays in any format
        Samples, their labels, and anything else with a row for each sample, such as weights.
    test_size : float
        Share of the samples in the test set, above 0 and below 1; rounded up to a whole sample.
    seed : int, optional
        Seed of the split; random when None.
    stratify : bool or array-like, shape (n_samples,)
        Whether each class keeps its share in both sets, to within a sample. The classes are the second array, or the
        array given here.

    Returns
    -------
    tuple
        The training part and the test part of each array, in order: `X_train, X_test, y_train, y_test` for X and y.
        They are copies of the same kind: lists, DataFrames, sparse arrays of the same format. Parts of a range are
        lists. Without `stratify`,
        their rows and order are those of scikit-learn's function of the same name with `random_state=seed`.

    Raises
    ------
    TypeError, ValueError
        If a size does not fit, or a part would be empty.
    """
    lengths = [_n_rows(array, number) for number, array in enumerate(arrays, start=1)]
    if not lengths or len(set(lengths)) > 1:
        raise ValueError(f"the arrays must have a row for each sample, as many in each; got {lengths or 'no array'}")
    n_samples = lengths[0]
    test_size = check_part("test_size", test_size)
    n_test = math.ceil(test_size * n_samples)
    if not 0 < n_test < n_samples:
        raise ValueError(
            f"test_size {test_size} leaves a part of {n_samples} samples empty: take another, or more samples"
        )
    order = np.random.RandomState(seed).permutation(n_samples)
    labels = _labels(arrays, stratify, n_samples)
    if labels is not None:
        order = _stratified(order, labels, n_test)
    test, train = order[:n_test], order[n_test:]
    return tuple(_taken(array, rows) for array in arrays for rows in (train, test))


def _n_rows(array: Any, number: int) -> int:
    """Return the number of rows; sparse arrays have no length."""
    require_unmasked(array, f"argument {number}")
    if isinstance(array, (list, range)) or type(array) is tuple:
        return len(array)
    shape: Any = getattr(array, "shape", None)
    if shape and not isinstance(array, memoryview):
        return int(shape[0])
    raise TypeError(f"argument {number} must be an array with a row for each sample; got {_found(array)}")


def _found(array: Any) -> str:
    """Describe what cannot be split, and say what to do."""
    if array is None or (np.ndim(array) == 0 and isinstance(array, (Number, np.generic, np.ndarray))):
        return f"{array!r}: pass options by name, such as test_size=0.25"
    kind = type(array).__name__
    if hasattr(array, "_fields"):
        return f"{kind}: pass its parts as arguments of their own"
    return f"{kind}: convert it to an array or a list"


def _taken(array: Any, rows: NDArray[np.int64]) -> Any:
    """Copy some rows of anything that `_n_rows` counts, keeping its kind."""
    if isinstance(array, (list, tuple, range)):
        taken = [array[row] for row in rows]
        return tuple(taken) if isinstance(array, tuple) else taken
    if hasattr(array, "iloc"):
        return array.iloc[rows]
    if hasattr(array, "tocsr"):
        return array.tocsr()[rows].asformat(array.format)
    return array[rows]


def _labels(arrays: tuple[Any, ...], stratify: Any, n_samples: int) -> NDArray[Any] | None:
    """Return the classes whose shares are kept, or None."""
    if isinstance(stratify, (bool, np.bool_)) or stratify is None:
        if not stratify:
            return None
        if len(arrays) == 1:
            raise ValueError("stratify=True takes the classes from the second array; pass it, or stratify=labels")
        stratify = arrays[1]
    require_unmasked(stratify, "stratify")
    labels = np.asarray(stratify)
    if labels.shape not in ((n_samples,), (n_samples, 1)):
        raise ValueError(f"classes to stratify by must have shape ({n_samples},); got {labels.shape}")
    return labels.reshape(n_samples)


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
