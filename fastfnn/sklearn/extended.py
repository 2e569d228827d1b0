"""Estimators with parameters that scikit-learn's multilayer perceptrons lack."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_sample_weight

from fastfnn.network import Network
from fastfnn.sklearn.conversion import dropout_of
from fastfnn.sklearn.estimators import MLPClassifier, MLPRegressor
from fastfnn.sklearn.networks import arrays_of
from fastfnn.sklearn.samples import Samples

DROPOUT = {"dropout": [Interval(Real, 0, 1, closed="left")]}

Constructor = Callable[..., None]


def with_parameters_of(parent: Any) -> Callable[[Constructor], Constructor]:
    """Give a constructor the signature of its parent's with its own keyword parameters: scikit-learn reads it."""

    def with_signature(constructor: Constructor) -> Constructor:
        inherited = inspect.signature(parent.__init__).parameters.values()
        own = inspect.signature(constructor).parameters.values()
        added = [each for each in own if each.kind is each.KEYWORD_ONLY]
        constructor.__signature__ = inspect.Signature([*inherited, *added])  # type: ignore[attr-defined]
        return constructor

    return with_signature


def with_dropout(network: Network, parameters: dict[str, Any]) -> dict[str, Any]:
    """Add the network's dropout to the parameters of an estimator, unless they have one."""
    return parameters if "dropout" in parameters else parameters | dropout_of(network)


class FastClassifier(MLPClassifier):
    """`MLPClassifier` with weights of classes, and dropout: it has two further parameters.

    Parameters
    ----------
    class_weight : {"balanced"}, dict or list of dict, optional
        Weight of each class, times those of the samples, as in scikit-learn's other classifiers. "balanced" gives
        every class the same total weight.
    dropout : float
        Share of each hidden layer's outputs that a training step drops, from 0 to below 1; see `fastfnn.Dropout`. The
        solver lbfgs drops none.
    """

    _parameter_constraints = (
        MLPClassifier._parameter_constraints
        | DROPOUT
        | {"class_weight": [dict, list, StrOptions({"balanced"}), None]}
    )

    @with_parameters_of(MLPClassifier)
    def __init__(self, *args: Any, class_weight: Any = None, dropout: float = 0.0, **parameters: Any) -> None:
        super().__init__(*args, **parameters)
        self.class_weight = class_weight
        self.dropout = dropout

    @classmethod
    def from_network(cls, network: Network, classes: ArrayLike | None = None, **parameters: Any) -> Self:
        """Return a fitted estimator with a copy of a network's parameters and its dropout; see `MLPClassifier`."""
        return super().from_network(network, classes, **with_dropout(network, parameters))

    def _fit(self, X: Any, y: Any, sample_weight: Any = None, incremental: bool = False) -> Self:
        if incremental and self.class_weight == "balanced":
            raise ValueError("partial_fit cannot balance classes: class_weight must be a dict; got 'balanced'")
        return super()._fit(X, y, sample_weight, incremental)

    def _adjusted(self, samples: Samples, incremental: bool) -> Samples:
        return samples._replace(weight=self._weighted(samples.y, samples.weight, incremental))

    def _weighted(self, y: NDArray[Any], sample_weight: Any, incremental: bool) -> Any:
        """Return the weights of samples times those of their classes."""
        weights = self.class_weight
        if weights is None:
            return sample_weight
        labels = self._label_binarizer.inverse_transform(y)
        if incremental and isinstance(weights, dict):  # a batch may lack some classes
            present = set(np.unique(labels).tolist())
            weights = {label: weight for label, weight in weights.items() if label in present}
        by_class = compute_sample_weight(weights, labels)
        return by_class if sample_weight is None else by_class * sample_weight


class FastRegressor(MLPRegressor):
    """`MLPRegressor` with scaled targets, and dropout: it has two further parameters.

    Parameters
    ----------
    dropout : float
        Share of each hidden layer's outputs that a training step drops, from 0 to below 1; see `fastfnn.Dropout`. The
        solver lbfgs drops none.
    scale_targets : bool
        Whether the network learns (y - mean) / standard deviation, of each output in the first `fit` or
        `partial_fit`; predictions are scaled back. With loss="poisson" it learns y itself.

    Attributes
    ----------
    target_mean_, target_scale_ : ndarray, shape (n_outputs,)
        Mean and standard deviation of y; 0 and 1 if it is not scaled.
    """

    _parameter_constraints = MLPRegressor._parameter_constraints | DROPOUT | {"scale_targets": ["boolean"]}

    @with_parameters_of(MLPRegressor)
    def __init__(self, *args: Any, dropout: float = 0.0, scale_targets: bool = True, **parameters: Any) -> None:
        super().__init__(*args, **parameters)
        self.dropout = dropout
        self.scale_targets = scale_targets

    @classmethod
    def from_network(cls, network: Network, **parameters: Any) -> Self:
        """Return a fitted estimator with a copy of a network's parameters and its dropout; see `MLPRegressor`."""
        estimator = super().from_network(network, **with_dropout(network, parameters))
        estimator.target_mean_, estimator.target_scale_ = np.zeros(network.n_outputs), np.ones(network.n_outputs)
        return estimator

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict numbers.

        Parameters
        ----------
        X : array-like or sparse array, shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_outputs)
        """
        learned: NDArray[Any] = super().predict(X)
        mean, scale = (numbers.astype(learned.dtype) for numbers in (self.target_mean_, self.target_scale_))
        return learned * scale + mean

    def to_network(self) -> Network:
        """Return an independent network with the estimator's parameters; its last layer scales numbers back."""
        network = super().to_network()
        weights, bias = (arrays[-1] for arrays in arrays_of(network))
        weights *= self.target_scale_
        bias[...] = bias * self.target_scale_ + self.target_mean_
        return network

    def _initialize(self, y: Any, layer_units: list[int], dtype: Any) -> None:
        super()._initialize(y, layer_units, dtype)
        self.target_mean_: Any = None
        self.target_scale_: Any = None

    def _adjusted(self, samples: Samples, incremental: bool) -> Samples:
        if self.target_scale_ is None:
            self.target_mean_, self.target_scale_ = self._measured(samples.y, samples.weight)
        return samples._replace(y=self._learned(samples.y))

    def _learned(self, y: NDArray[Any]) -> NDArray[Any]:
        return (y - self.target_mean_) / self.target_scale_

    def _measured(self, y: NDArray[Any], weights: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the mean and the standard deviation of each column; 0 and 1 if y is not scaled."""
        if not self.scale_targets or self.loss == "poisson":
            return np.zeros(y.shape[1]), np.ones(y.shape[1])
        y, weights = y.astype(np.float64), None if weights is None or not np.any(weights) else weights
        mean = np.average(y, axis=0, weights=weights)
        largest = np.abs(y - mean).max(axis=0)
        is_constant = largest <= len(y) * np.finfo(np.float64).eps * np.abs(mean)
        largest = np.where(is_constant, 1.0, largest)  # squares of large numbers would overflow
        deviation = largest * np.sqrt(np.average(((y - mean) / largest) ** 2, axis=0, weights=weights))
        return mean, np.where(is_constant | (deviation == 0), 1.0, deviation)
