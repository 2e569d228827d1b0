"""Networks of estimators: built on an estimator's arrays, and converted from and to networks of one's own."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfnn._checks import unknown_name
from fastfnn.initializers import zeros
from fastfnn.layers import GELU, Dense, Dropout, Layer
from fastfnn.losses import BinaryCrossEntropy, Huber, Loss, MeanSquaredError, Poisson, SoftmaxCrossEntropy
from fastfnn.network import Network
from fastfnn.sklearn.losses import HalfSquaredError, PoissonDeviance, SummedCrossEntropy

# scikit-learn's names of activations, and further ones, with fastfnn's.
ACTIVATIONS = {
    "identity": "identity",
    "logistic": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "leaky_relu": "leaky_relu",
    "elu": "elu",
    "softplus": "softplus",
    "gelu": "gelu",
}

# By scikit-learn's names of losses and output activations: the loss that trains an estimator, and the usual one.
LOSSES: dict[tuple[str, str], tuple[type[Loss], type[Loss]]] = {
    ("log_loss", "softmax"): (SoftmaxCrossEntropy, SoftmaxCrossEntropy),
    ("log_loss", "logistic"): (SummedCrossEntropy, BinaryCrossEntropy),
    ("squared_error", "identity"): (HalfSquaredError, MeanSquaredError),
    ("poisson", "exp"): (PoissonDeviance, Poisson),
    ("huber", "identity"): (Huber, Huber),
}

# The key whose losses predict by an output activation; a parameter may be changed after a fit.
BY_OUTPUT = {output: (loss, output) for loss, output in reversed(LOSSES)}


def losses_of(loss: str, out_activation: str) -> tuple[type[Loss], type[Loss]]:
    """Return the loss that trains an estimator, and the usual one, for its parameter and its output activation."""
    return LOSSES.get((loss, out_activation)) or LOSSES[BY_OUTPUT[out_activation]]


class Built(NamedTuple):
    """A network on an estimator's arrays.

    Attributes
    ----------
    key : tuple
        What the network depends on besides them.
    network : Network
    arrays : list of ndarray
        The estimator's weights, then its biases: the network's own.
    """

    key: tuple[Any, ...]
    network: Network
    arrays: list[NDArray[Any]]

    def is_of(self, key: tuple[Any, ...], arrays: list[NDArray[Any]]) -> bool:
        """Tell whether the network is one of this key, on these arrays."""
        return key == self.key and len(arrays) == len(self.arrays) and all(map(operator.is_, arrays, self.arrays))


def activations_of(activation: Any, n_hidden: int) -> list[str]:
    """Return scikit-learn's name of each hidden layer's activation.

    Raises
    ------
    ValueError
        If a list has another length, or names an unknown activation.
    """
    names = [activation] * n_hidden if isinstance(activation, str) else list(activation)
    if len(names) != n_hidden:
        raise ValueError(f"activation must have a name for each of the {n_hidden} hidden layers; got {names}")
    for name in names:
        if not isinstance(name, str) or name not in ACTIVATIONS:
            raise unknown_name("activation", name, ACTIVATIONS)
    return names


def build(
    coefs: Sequence[NDArray[Any]],
    intercepts: Sequence[NDArray[Any]],
    activations: Sequence[str],
    loss: Loss,
    backend: str,
    dropout: float = 0.0,
) -> Network:
    """Build a network with an estimator's parameters.

    Its layers use the estimator's own arrays, if they have the dtype of the first one and are laid out for kernels;
    if not, copies.

    Parameters
    ----------
    coefs, intercepts : sequence of ndarray
        Weights and bias of each layer.
    activations : sequence of str
        scikit-learn's name of each hidden layer's activation.
    loss : Loss
        Loss of the network.
    backend : {"numba", "numpy"}
        Kernels to run on.
    dropout : float
        Share of each hidden layer's outputs that a training step drops.
    """
    dtype, layers = coefs[0].dtype, list[Layer]()
    for weights, name in zip(coefs, [*activations, "identity"], strict=True):
        fused = "identity" if name == "gelu" else ACTIVATIONS[name]
        n_inputs, n_outputs = weights.shape
        layers.append(Dense(n_inputs, n_outputs, activation=fused, initializer=zeros))
        if name == "gelu":
            layers.append(GELU())
        if dropout and weights is not coefs[-1]:
            layers.append(Dropout(dropout))
    network = Network(layers, backend, dtype, loss=loss)
    dense = [layer for layer in network.layers if isinstance(layer, Dense)]
    for layer, *arrays in zip(dense, coefs, intercepts, strict=True):
        layer.use_arrays(
            *(array if _is_usable(array, dtype) else np.array(array, dtype, order="C") for array in arrays)
        )
    return network


def arrays_of(network: Network) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Return the weights and the biases of all layers."""
    parameters = network.parameters
    kinds = ("weights", "bias")
    weights, biases = ([array for name, array in parameters.items() if name.endswith(kind)] for kind in kinds)
    return weights, biases


def _is_usable(array: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Tell whether a layer can use an array as it is."""
    return type(array) is np.ndarray and array.dtype == dtype and array.flags.carray
