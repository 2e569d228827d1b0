"""Samples of estimators, in the form that networks take."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.model_selection import train_test_split
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import _check_sample_weight, validate_data

from fastfnn.inputs.csr import Csr, as_csr
from fastfnn.inputs.targets import Targets


class Samples(NamedTuple):
    """Samples, their targets and weights, as scikit-learn's methods have validated them.

    Attributes
    ----------
    X : ndarray or sparse array, shape (n_samples, n_features)
    y : ndarray, shape (n_samples, n_outputs)
        Numbers, or indicators of classes.
    weight : ndarray, shape (n_samples,), or None
    """

    X: Any
    y: NDArray[Any]
    weight: NDArray[Any] | None

    def targets(self, is_softmax: bool, dtype: np.dtype[Any]) -> Targets:
        """Return the targets of a network of this dtype; for softmax, classes by number."""
        weight = None if self.weight is None else np.ascontiguousarray(self.weight, dtype)
        if is_softmax:
            return Targets(self.y.argmax(axis=1), weight)
        return Targets(np.ascontiguousarray(self.y, dtype), weight)


class HeldOut(NamedTuple):
    """Samples that are not trained on: as a network takes them, and y as users wrote it."""

    samples: Samples
    y: Any


def require_numbers(name: str, y: NDArray[Any]) -> None:
    """Raise TypeError for text, which NumPy would parse."""
    if y.dtype.kind in "US":
        raise TypeError(f"{name} must hold numbers; got {y.dtype}: convert it with astype(float)")


def inputs_of(X: Any) -> NDArray[Any] | Csr:
    """Return samples by rows: columns of a DataFrame are stored apart, and would be gathered in every batch."""
    return as_csr(X, "X") if hasattr(X, "tocsr") else np.ascontiguousarray(X)


def split(estimator: Any, samples: Samples) -> tuple[Samples, HeldOut]:
    """Hold out the estimator's `validation_fraction`, as scikit-learn does.

    Raises
    ------
    ValueError
        If fewer than two samples are held out.
    """
    stratify = samples.y if is_classifier(estimator) and estimator.n_outputs_ == 1 else None
    arrays = [each for each in samples if each is not None]
    parts = train_test_split(
        *arrays, random_state=estimator._random_state, test_size=estimator.validation_fraction, stratify=stratify
    )
    weights = parts[4:] or (None, None)
    training, held_out = Samples(parts[0], parts[2], weights[0]), Samples(parts[1], parts[3], weights[1])
    if held_out.X.shape[0] < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
        )
    y = held_out.y
    return training, HeldOut(
        held_out, estimator._label_binarizer.inverse_transform(y) if is_classifier(estimator) else y
    )


def validated(estimator: Any, X: Any, y: Any, weight: Any) -> HeldOut:
    """Check samples that a user holds out.

    Raises
    ------
    ValueError
        If they do not fit the samples that the estimator is trained on.
    """
    X, y = validate_data(
        estimator,
        X,
        y,
        reset=False,
        accept_sparse=["csr", "csc"],
        multi_output=True,
        y_numeric=not is_classifier(estimator),
    )
    weight = None if weight is None else _check_sample_weight(weight, X)
    if is_classifier(estimator):
        return HeldOut(Samples(X, _indicators(estimator, y), weight), y)
    require_numbers("y_val", y)
    y = y.reshape(len(y), -1)
    if y.shape[1] != estimator.n_outputs_:
        raise ValueError(f"y_val must have {estimator.n_outputs_} columns, as y has; got {y.shape[1]}")
    y = estimator._learned(y)
    return HeldOut(Samples(X, y, weight), y)


def _indicators(estimator: Any, y: NDArray[Any]) -> NDArray[Any]:
    """Encode the labels of samples that are held out."""
    binarizer = estimator._label_binarizer
    is_multilabel = binarizer.y_type_ == "multilabel-indicator"
    found = type_of_target(y)
    if (found == "multilabel-indicator") != is_multilabel or (is_multilabel and y.shape[1] != estimator.n_outputs_):
        wanted = f"{estimator.n_outputs_} labels, each 0 or 1," if is_multilabel else "one label"
        raise ValueError(f"y_val must hold {wanted} of each sample, as y does; got {found} of shape {y.shape}")
    unknown = [] if is_multilabel else np.setdiff1d(y, estimator.classes_).tolist()
    if unknown:
        raise ValueError(f"y_val has labels that y lacks: {unknown}")
    return binarizer.transform(y)
