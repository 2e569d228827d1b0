"""Losses: the number that training minimises, and the meaning of a network's outputs.

A loss is the mean over the samples, and over the outputs of a sample if each output has its own target. With
sample weights it is the weighted mean: the weighted sum divided by the sum of the weights.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from fastfnn_kernels.batches import SOFTMAX_CROSS_ENTROPY, RowLosses
from fastfnn_kernels.protocol import Kernels
from numpy.typing import NDArray

from fastfnn._checks import check_positive, check_share, unknown_name
from fastfnn.backends import get_backend
from fastfnn.inputs.arrays import as_labels, as_numbers, has_squares_within, is_column
from fastfnn.inputs.targets import Targets
from fastfnn.inputs.weights import check_weights, convert_weights

__all__ = [
    "BinaryCrossEntropy",
    "ElementwiseLoss",
    "Huber",
    "Loss",
    "MeanSquaredError",
    "Poisson",
    "SoftmaxCrossEntropy",
    "get_loss",
    "softmax_cross_entropy",
]


class Loss(ABC):
    """The distance between outputs and their targets.

    Attributes
    ----------
    counts_correct : bool
        Whether each sample is either right or wrong, which defines an accuracy.
    """

    counts_correct: bool = False

    @abstractmethod
    def targets(self, y: Any, n_samples: int, n_outputs: int, dtype: np.dtype[Any], name: str = "y") -> Targets:
        """Convert y for `loss_and_gradient`, with the sample weights that follow from it.

        Raises
        ------
        TypeError, ValueError
            If y does not hold targets of this loss.
        """

    @abstractmethod
    def loss_and_gradient(
        self, kernels: Kernels, outputs: NDArray[Any], targets: Targets, scale: float, out: NDArray[Any] | None
    ) -> tuple[float, NDArray[Any]]:
        """Compute `scale` times the weighted sum of losses, and its gradient, stored in `out` if given."""

    def count_correct(self, kernels: Kernels, outputs: NDArray[Any], targets: Targets) -> int:
        """Count the correct samples; 0 for losses where a sample is neither right nor wrong."""
        return 0

    @abstractmethod
    def predictions(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return the prediction for each sample, in a new array."""

    def probabilities(self, kernels: Kernels, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return the probabilities that the outputs represent.

        Raises
        ------
        ValueError
            If they do not represent probabilities.
        """
        raise ValueError(f"{self!r} is no loss of probabilities: call predict")

    @property
    def has_row_losses(self) -> bool:
        """Whether `row_losses` describes it: it does not if a derived class computes something else."""
        line = type(self).__mro__
        describes, *computes = (
            next(place for place, kind in enumerate(line) if name in vars(kind))
            for name in ("row_losses", "loss_and_gradient", "count_correct")
        )
        return describes <= min(computes)

    def row_losses(self, targets: Targets) -> RowLosses:
        """Describe the loss and its targets to kernels of whole networks."""
        raise NotImplementedError(f"no kernel of whole networks computes {self!r}")

    @property
    def kind(self) -> str:
        """Name of the loss in model files."""
        return type(self).__name__

    @property
    def numbers(self) -> dict[str, float]:
        """The arguments that enter computations as numbers of the network's dtype, by name."""
        return {}

    def config(self) -> dict[str, Any]:
        """Return the constructor arguments that recreate this loss."""
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self.config().items())})"


class SoftmaxCrossEntropy(Loss):
    """Cross-entropy of the softmax of outputs. Each output is the score of a class, and y holds class labels.

    Parameters
    ----------
    label_smoothing : float
        Share of the target, from 0 to below 1, that is spread evenly over all classes.
    class_weight : sequence of float, optional
        Weight of each class's samples; 1 for all when None.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    counts_correct = True

    def __init__(self, label_smoothing: float = 0.0, class_weight: Sequence[float] | None = None) -> None:
        self.label_smoothing = check_share("label_smoothing", label_smoothing)
        self.class_weight = None if class_weight is None else check_weights("class_weight", class_weight)

    def targets(self, y: Any, n_samples: int, n_outputs: int, dtype: np.dtype[Any], name: str = "y") -> Targets:
        """Return class labels from 0 to n_outputs - 1."""
        labels = _classes(y, n_samples, n_outputs, name)
        if self.class_weight is None:
            return Targets(labels)
        if len(self.class_weight) != n_outputs:
            raise ValueError(
                f"class_weight must have {n_outputs} numbers, one for each of the network's outputs; "
                f"got {len(self.class_weight)}"
            )
        return Targets(labels, convert_weights("class_weight", self.class_weight.take(labels), dtype))

    def loss_and_gradient(
        self, kernels: Kernels, outputs: NDArray[Any], targets: Targets, scale: float, out: NDArray[Any] | None
    ) -> tuple[float, NDArray[Any]]:
        """Compute the loss and its gradient."""
        loss, grad = kernels.softmax_cross_entropy(
            outputs, targets.values, scale, out, targets.weights, self.label_smoothing
        )
        return loss, grad

    def row_losses(self, targets: Targets) -> RowLosses:
        """Describe the loss and its targets to kernels of whole networks."""
        return RowLosses(SOFTMAX_CROSS_ENTROPY, targets.values, targets.weights, self.label_smoothing)

    def count_correct(self, kernels: Kernels, outputs: NDArray[Any], targets: Targets) -> int:
        """Count the samples whose class has the largest output; the first one wins a tie."""
        return int(kernels.count_correct(outputs, targets.values))

    def predictions(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return the class of the largest output."""
        classes: NDArray[np.int64] = outputs.argmax(axis=1)
        if len(classes) != 1 or math.isnan(outputs.item(classes.item())):  # NaN counts as the largest
            _require_no_nan(outputs)
        return classes

    def probabilities(self, kernels: Kernels, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return the softmax."""
        probabilities: NDArray[Any] = kernels.softmax(outputs)
        return probabilities

    @property
    def numbers(self) -> dict[str, float]:
        """The label smoothing."""
        return {"label_smoothing": self.label_smoothing}

    def config(self) -> dict[str, Any]:
        """Return the constructor arguments that recreate this loss."""
        weights = None if self.class_weight is None else self.class_weight.tolist()
        return {"label_smoothing": self.label_smoothing, "class_weight": weights}


class ElementwiseLoss(Loss):
    """A loss that compares each output with its own target number.

    y has shape (n_samples, n_outputs), or (n_samples,) for a single output. Predictions have the shape of y.
    """

    kernel: str
    delta: float = 1.0
    _LEAST, _LARGEST = -np.inf, np.inf

    def targets(self, y: Any, n_samples: int, n_outputs: int, dtype: np.dtype[Any], name: str = "y") -> Targets:
        """Return finite numbers of the network's dtype."""
        numbers = as_numbers(y, name)
        shapes = [(n_samples, n_outputs), (n_samples,)] if n_outputs == 1 else [(n_samples, n_outputs)]
        if numbers.shape not in shapes:
            raise ValueError(f"{name} must have shape {' or '.join(map(str, shapes))}; got {numbers.shape}")
        given = numbers.reshape(n_samples, n_outputs)
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(given, dtype)
        unfit = np.argwhere(~(np.isfinite(values) & (values >= self._LEAST) & (values <= self._LARGEST)))
        if len(unfit):
            row, column = unfit[0]
            found = f"{given[row, column]!s} in row {row}, column {column}"
            overflows = np.isfinite(given[row, column]) and not np.isfinite(values[row, column])
            why = f", which {dtype} cannot hold" if overflows else ""
            raise ValueError(f"{name} must hold {self._wanted()} for {self!r}; got {found}{why}")
        return Targets(values, are_columns=is_column(numbers))

    def _wanted(self) -> str:
        least, largest = self._LEAST, self._LARGEST
        if np.isfinite(largest):
            return f"numbers from {least:g} to {largest:g}"
        return f"finite numbers from {least:g} up" if np.isfinite(least) else "finite numbers"

    def loss_and_gradient(
        self, kernels: Kernels, outputs: NDArray[Any], targets: Targets, scale: float, out: NDArray[Any] | None
    ) -> tuple[float, NDArray[Any]]:
        """Compute the loss and its gradient; a sample's loss is the mean over its outputs."""
        loss, grad = kernels.elementwise_loss(
            outputs, targets.values, self.kernel, scale / outputs.shape[1], targets.weights, self.delta, out
        )
        return loss, grad

    def row_losses(self, targets: Targets, gradient_factor: float = 1.0, value_factor: float = 1.0) -> RowLosses:
        """Describe the loss and its targets to kernels of whole networks, with factors of gradient and value."""
        factors = gradient_factor, value_factor
        return RowLosses(self.kernel, targets.values, targets.weights, 0.0, self.delta, *factors)

    def predictions(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return the outputs; as a vector if there is one per sample."""
        return _as_targets(outputs).copy()


class MeanSquaredError(ElementwiseLoss):
    """(output - y)**2; y holds any numbers."""

    kernel = "squared_error"


class Huber(ElementwiseLoss):
    """error**2 / 2 for errors up to `delta`, and delta (|error| - delta / 2) beyond.

    Parameters
    ----------
    delta : float
        Error, above 0, from which the loss grows linearly.

    Raises
    ------
    ValueError
        If `delta` is out of range.
    """

    kernel = "huber"

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = check_positive("delta", delta)

    @property
    def numbers(self) -> dict[str, float]:
        """The delta."""
        return {"delta": self.delta}

    def config(self) -> dict[str, Any]:
        """Return the constructor arguments that recreate this loss."""
        return {"delta": self.delta}


class Poisson(ElementwiseLoss):
    """exp(output) - y * output, for counts y. An output is the logarithm of a rate; a prediction is the rate."""

    kernel = "poisson"
    _LEAST = 0.0

    def predictions(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return the rates."""
        with np.errstate(over="ignore"):
            rates: NDArray[Any] = np.exp(_as_targets(outputs))
            return rates


class BinaryCrossEntropy(ElementwiseLoss):
    """Cross-entropy of the sigmoid of outputs; y holds 0 and 1, or probabilities.

    Several outputs are several independent labels (multi-label classification). A sample is correct if all of its
    labels are.
    """

    kernel = "binary_cross_entropy"
    counts_correct = True
    _LEAST, _LARGEST = 0.0, 1.0

    row_losses = ElementwiseLoss.row_losses  # the kernels count correct samples as `count_correct` does

    def count_correct(self, kernels: Kernels, outputs: NDArray[Any], targets: Targets) -> int:
        """Count the samples whose outputs all have the right sign."""
        return int(np.count_nonzero(((outputs > 0) == (targets.values > 0.5)).all(axis=1)))

    def predictions(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return 1 where the probability is above 0.5, else 0."""
        _require_no_nan(outputs)
        return (_as_targets(outputs) > 0).astype(np.int64)

    def probabilities(self, kernels: Kernels, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return the sigmoid: the probability that each output is 1."""
        return _as_targets(kernels.activation_forward(outputs, "sigmoid"))


LOSSES: dict[str, type[Loss]] = {
    "softmax_cross_entropy": SoftmaxCrossEntropy,
    "binary_cross_entropy": BinaryCrossEntropy,
    "mean_squared_error": MeanSquaredError,
    "huber": Huber,
    "poisson": Poisson,
}


def get_loss(loss: str | Loss) -> Loss:
    """Return the loss with a given name; return a `Loss` as it is.

    Raises
    ------
    ValueError
        If no loss has that name.
    """
    if isinstance(loss, Loss):
        return loss
    if loss not in LOSSES:
        raise unknown_name("loss", loss, LOSSES)
    return LOSSES[loss]()


def softmax_cross_entropy(
    logits: NDArray[Any], labels: NDArray[Any], backend: str = "numba"
) -> tuple[float, NDArray[Any]]:
    """Compute the mean cross-entropy of softmax(logits) against class labels, and its gradient.

    Parameters
    ----------
    logits : ndarray of float32 or float64, shape (n_samples, n_classes)
        Scores; any finite scores give a finite loss.
    labels : ndarray of integers, shape (n_samples,)
        Classes, from 0 to n_classes - 1.
    backend : {"numba", "numpy"}
        The kernels to use.

    Returns
    -------
    loss : float
        Mean over the samples.
    gradient : ndarray like `logits`
        Gradient of the mean with respect to `logits`.

    Raises
    ------
    TypeError, ValueError
        If a dtype, a shape or a label does not fit.
    """
    labels = as_labels(labels, "labels")
    logits = np.ascontiguousarray(logits)
    loss, gradient = get_backend(backend).softmax_cross_entropy(logits, labels.astype(np.int64))
    return loss, gradient


def _classes(y: Any, n_samples: int, n_classes: int, name: str) -> NDArray[np.int64]:
    labels = as_labels(y, name)
    if labels.shape != (n_samples,):
        raise ValueError(f"{name} must have shape ({n_samples},), one label a sample; got {labels.shape}")
    outside = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if len(outside):
        row = outside[0]
        known = f"from 0 to {n_classes - 1}, the network's outputs"
        raise ValueError(f"{name}: labels must lie {known}; got {labels[row]} in row {row}")
    return np.ascontiguousarray(labels, np.int64)


def _require_no_nan(outputs: NDArray[Any]) -> None:
    """Raise ValueError if an output is NaN: it says nothing about a class."""
    if not has_squares_within(math.inf, outputs):
        raise ValueError(
            "the network's outputs are NaN: its parameters are NaN or too large, as after training that diverged"
        )


def _as_targets(outputs: NDArray[Any]) -> NDArray[Any]:
    """Return single outputs as a vector, and several outputs per sample unchanged."""
    return outputs[:, 0] if outputs.shape[1] == 1 else outputs
