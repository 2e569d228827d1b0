"""Conversion of arrays from a user's file to a `Dataset`, or an error with the reason."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastfnn.datasets.dataset import Dataset
from fastfnn.inputs.arrays import as_labels, as_numbers

FEATURE_DTYPES = (np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.float64))

# Every integer up to here is exact in float64, in which labels may be stored.
LARGEST_LABEL = 2**53


def as_dataset(X: npt.NDArray[Any], y: npt.NDArray[Any] | None) -> Dataset:
    """Flatten the samples, convert features and labels to the dtypes of `Dataset`, and compare their lengths.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...), two dimensions or more
        Samples of dtype uint8, float32 or float64, or any integers within 0..255.
    y : ndarray of shape (n_samples,) or (n_samples, 1), or None
        Labels: integers, booleans, or floats without a fraction.

    Raises
    ------
    ValueError
        When a shape, a dtype or a value does not fit. The message does not name the file.
    """
    features = as_features(X)
    if y is None:
        return Dataset(features)
    labels = labels_of_file(y)
    if len(labels) != len(features):
        raise ValueError(f"expected one label a sample, got {len(labels)} labels for {len(features)} samples")
    return Dataset(features, labels)


def as_features(X: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return X as (n_samples, n_features) in uint8, float32 or float64, copied only if necessary."""
    if X.ndim < 2 or X.size == 0:
        raise ValueError(f"expected samples of shape (n_samples, n_features, ...), got shape {X.shape}")
    return _as_feature_dtype(X).reshape(len(X), -1)


def labels_of_file(y: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return y as int64, in any form that `Network.fit` takes; files may also hold labels as whole floats.

    Raises
    ------
    ValueError
        For fractions, negative numbers and anything but a vector or a column of numbers.
    """
    try:
        numbers = as_numbers(y, "labels")
    except TypeError as error:
        raise ValueError(str(error)) from error
    if not are_labels(numbers):
        raise ValueError("expected labels that are integers, 0 or greater; number the classes 0, 1, 2, ...")
    labels: npt.NDArray[np.int64] = as_labels(numbers.astype(np.int64), "labels")
    if labels.ndim != 1:
        raise ValueError(f"expected labels of shape (n_samples,), got shape {y.shape}")
    return labels


def are_labels(y: npt.NDArray[Any]) -> bool:
    """Tell whether all numbers of y are whole, not negative, and exact in float64."""
    return bool(np.all((y >= 0) & (y <= LARGEST_LABEL) & (y == np.floor(y))))


def _as_feature_dtype(X: npt.NDArray[Any]) -> npt.NDArray[Any]:
    native = X.dtype.newbyteorder("=")
    if native in FEATURE_DTYPES:
        if native.kind == "f":
            _require_finite(X)
        return X.astype(native, copy=False)
    if X.dtype.kind in "iu" and X.min() >= 0 and X.max() <= 255:
        return X.astype(np.uint8)
    raise ValueError(
        f"expected samples of dtype uint8, float32 or float64, or integers within 0..255, "
        f"got {X.dtype}{_range(X)}; convert them to float32"
    )


def _require_finite(X: npt.NDArray[Any]) -> None:
    finite = np.isfinite(X)
    if not finite.all():
        row = np.argwhere(~finite)[0][0]
        raise ValueError(f"expected finite numbers, got NaN or infinity in sample {row} (counted from 0)")


def _range(X: npt.NDArray[Any]) -> str:
    return f" from {X.min()} to {X.max()}" if X.dtype.kind in "iu" else ""
