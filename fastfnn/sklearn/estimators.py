"""scikit-learn's multilayer perceptrons, with the training and the predictions of fastfnn."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import neural_network
from sklearn.utils._param_validation import StrOptions

from fastfnn.backends import get_backend
from fastfnn.losses import BinaryCrossEntropy, Huber, Loss, MeanSquaredError, Poisson, SoftmaxCrossEntropy
from fastfnn.network import Network
from fastfnn.sklearn.conversion import adopt, binarizer_of, parameters_of
from fastfnn.sklearn.mixin import FastMLP
from fastfnn.sklearn.networks import ACTIVATIONS

# Values of parameters that scikit-learn's classes lack.
ACTIVATION = {"activation": [StrOptions(set(ACTIVATIONS)), list, tuple]}
HUBER = {"loss": [StrOptions({"squared_error", "poisson", "huber"})]}

LOSS_NAMES: dict[type[Loss], str] = {MeanSquaredError: "squared_error", Huber: "huber", Poisson: "poisson"}


class MLPClassifier(FastMLP, neural_network.MLPClassifier):
    """scikit-learn's `MLPClassifier`, trained by fastfnn.

    Parameters, attributes and methods are those of `sklearn.neural_network.MLPClassifier`, and further ones:

    Parameters
    ----------
    activation : {"identity", "logistic", "tanh", "relu", "leaky_relu", "elu", "softplus", "gelu"}, or list of these
        Activation of the hidden layers; a list has one for each.

    Attributes
    ----------
    validation_loss_curve_ : list of float
        Loss of the samples that were held out, without penalty, after each epoch that had some.
    """

    _parameter_constraints = neural_network.MLPClassifier._parameter_constraints | ACTIVATION

    @classmethod
    def from_network(cls, network: Network, classes: ArrayLike | None = None, **parameters: Any) -> Self:
        """Return a fitted estimator with a copy of a network's parameters.

        Parameters
        ----------
        network : Network
            Network of `Dense` layers with biases, perhaps GELU and Dropout, and one of the two cross-entropies.
        classes : array-like, optional
            Labels of the classes in ascending order; 0, 1, 2, ... when None.
        **parameters
            Further parameters of the estimator.

        Raises
        ------
        ValueError
            If the network or the classes do not fit.
        """
        estimator = cls(**parameters_of(network, (SoftmaxCrossEntropy, BinaryCrossEntropy)), **parameters)
        estimator._label_binarizer = binarizer_of(network, classes)
        estimator.classes_ = estimator._label_binarizer.classes_
        adopt(estimator, network)
        return estimator

    def _predict(self, X: Any, check_input: bool = True) -> NDArray[Any]:
        outputs, classes = self._forward_pass_fast(X, check_input), self._label_binarizer.classes_
        if self.out_activation_ == "softmax":
            return classes.take(outputs.argmax(axis=1))
        if self.n_outputs_ == 1 and len(classes) == 2:
            return classes.take((outputs[:, 0] > 0.5).astype(np.intp))
        return self._label_binarizer.inverse_transform(outputs[:, 0] if self.n_outputs_ == 1 else outputs)


class MLPRegressor(FastMLP, neural_network.MLPRegressor):
    """scikit-learn's `MLPRegressor`, trained by fastfnn.

    Parameters, attributes and methods are those of `sklearn.neural_network.MLPRegressor`, and further ones:

    Parameters
    ----------
    loss : {"squared_error", "poisson", "huber"}
        Loss to minimise; "huber" is `fastfnn.losses.Huber`.
    activation : {"identity", "logistic", "tanh", "relu", "leaky_relu", "elu", "softplus", "gelu"}, or list of these
        Activation of the hidden layers; a list has one for each.

    Attributes
    ----------
    validation_loss_curve_ : list of float
        Loss of the samples that were held out, without penalty, after each epoch that had some.
    """

    _parameter_constraints = neural_network.MLPRegressor._parameter_constraints | ACTIVATION | HUBER

    @classmethod
    def from_network(cls, network: Network, **parameters: Any) -> Self:
        """Return a fitted estimator with a copy of a network's parameters.

        Parameters
        ----------
        network : Network
            Network of `Dense` layers with biases, perhaps GELU and Dropout, and the mean squared error, Huber's loss
            with a delta of 1, or Poisson's.
        **parameters
            Further parameters of the estimator.

        Raises
        ------
        ValueError
            If the network does not fit.
        """
        described = parameters_of(network, tuple(LOSS_NAMES))
        estimator = cls(loss=LOSS_NAMES[type(network.loss)], **described, **parameters)
        adopt(estimator, network)
        return estimator


def set_backend(backend: str) -> None:
    """Choose the kernels of all estimators of this process.

    Parameters
    ----------
    backend : {"numba", "numpy"}
        Kernels to run on.

    Raises
    ------
    ValueError
        If no backend has that name.
    """
    get_backend(backend)
    FastMLP.backend = backend
