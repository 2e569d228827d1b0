"""Networks from estimators, and estimators from networks."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from fastfnn.layers import GELU, Dense, Dropout
from fastfnn.losses import BinaryCrossEntropy, Huber, MeanSquaredError, SoftmaxCrossEntropy
from fastfnn.network import Network
from fastfnn.sklearn.networks import ACTIVATIONS, activations_of, arrays_of, build, losses_of

E = TypeVar("E")


def network_of(estimator: Any) -> Network:
    """Return an independent network with an estimator's parameters; see `MLPClassifier.to_network`."""
    check_is_fitted(estimator)
    _, loss = losses_of(estimator.loss, estimator.out_activation_)
    arrays = estimator.coefs_, estimator.intercepts_
    activations = activations_of(estimator.activation, len(estimator.coefs_) - 1)
    network = build(*arrays, activations, loss(), estimator.backend, estimator.dropout)
    network.store_parameters()  # copies them
    return network


def hidden_outputs(estimator: Any, X: Any, layer: int) -> NDArray[Any]:
    """Return the outputs of a hidden layer; see `MLPClassifier.hidden_outputs`."""
    check_is_fitted(estimator)
    X = validate_data(estimator, X, accept_sparse=["csr", "csc"], reset=False)
    n_hidden, layer = len(estimator.coefs_) - 1, operator.index(layer)
    if n_hidden == 0:
        raise IndexError("the estimator has no hidden layers")
    if not -n_hidden <= layer < n_hidden:
        raise IndexError(f"layer must be from {-n_hidden} to {n_hidden - 1}; got {layer}")
    n_kept = layer % n_hidden + 1
    # Networks end with a layer without activation: here, one that changes nothing.
    width, dtype = estimator.coefs_[n_kept - 1].shape[1], estimator.coefs_[0].dtype
    coefs = [*estimator.coefs_[:n_kept], np.eye(width, dtype=dtype)]
    intercepts = [*estimator.intercepts_[:n_kept], np.zeros(width, dtype)]
    activations = activations_of(estimator.activation, n_hidden)[:n_kept]
    network = build(coefs, intercepts, activations, MeanSquaredError(), estimator.backend)
    return network.predict(X).reshape(X.shape[0], width)


def parameters_of(network: Network, losses: Sequence[type]) -> dict[str, Any]:
    """Return the parameters of an estimator that describe a network; its loss must be one of `losses`.

    Raises
    ------
    TypeError, ValueError
        If it is not a network, or an estimator of these losses cannot have it.
    """
    if not isinstance(network, Network):
        raise TypeError(f"network must be a fastfnn.Network; got {network!r}")
    loss = network.loss
    if type(loss) not in losses or (isinstance(loss, Huber) and loss.delta != 1):
        raise ValueError(f"the loss must be one of {', '.join(each.__name__ for each in losses)}; got {loss!r}")
    if network.input_scale != 1:
        raise ValueError(f"an estimator does not scale its inputs; got input_scale={network.input_scale:g}")
    widths, activations = _described(network)
    if activations[-1] != "identity":
        raise ValueError(f"the last layer of an estimator has no activation; got {activations[-1]}")
    return {"hidden_layer_sizes": widths[:-1], "activation": activations[:-1]}


def _described(network: Network) -> tuple[list[int], list[str]]:
    """Return the width and scikit-learn's name of the activation of each layer with parameters."""
    names = {ours: name for name, ours in ACTIVATIONS.items()}
    widths, activations = list[int](), list[str]()
    for layer in network.layers:
        if type(layer) is Dense and layer.use_bias:
            widths.append(layer.n_outputs)
            activations.append(names[layer.activation])
        elif type(layer) is GELU and activations and activations[-1] == "identity":
            activations[-1] = "gelu"
        elif not (type(layer) is Dropout and activations):
            raise ValueError(f"an estimator has Dense layers with biases, GELU and Dropout; got {layer!r}")
    return widths, activations


def binarizer_of(network: Network, classes: Any) -> LabelBinarizer:
    """Return the encoder of a network's classes.

    Raises
    ------
    ValueError
        If the classes are not as many as the network's, different and in ascending order.
    """
    n_outputs = network.n_outputs
    if isinstance(network.loss, BinaryCrossEntropy) and n_outputs > 1:
        if classes is not None:
            raise ValueError("a network of several labels has no classes: leave classes out")
        return LabelBinarizer().fit(np.eye(n_outputs, dtype=np.int64))
    if isinstance(network.loss, SoftmaxCrossEntropy) and n_outputs == 1:
        raise ValueError("the softmax of one output is always 1: a classifier needs another, or BinaryCrossEntropy")
    n_classes = max(n_outputs, 2)
    labels = np.arange(n_classes) if classes is None else np.asarray(classes)
    if labels.shape != (n_classes,) or not _are_ascending(labels):
        raise ValueError(f"classes must be {n_classes} different ones in ascending order; got {classes!r}")
    return LabelBinarizer().fit(labels)


def _are_ascending(labels: NDArray[Any]) -> bool:
    try:
        return bool((labels[:-1] < labels[1:]).all())
    except TypeError:  # labels of several types have no order
        return False


def dropout_of(network: Network) -> dict[str, float]:
    """Return the parameter `dropout` of an estimator, if its network has Dropout layers.

    Raises
    ------
    ValueError
        If they do not follow every hidden layer with the same rate.
    """
    rates = [layer.rate for layer in network.layers if isinstance(layer, Dropout)]
    n_hidden = sum(isinstance(layer, Dense) for layer in network.layers) - 1
    if rates and (len(rates) != n_hidden or len(set(rates)) > 1):
        raise ValueError(f"an estimator drops outputs of every hidden layer at one rate; got {rates}: pass dropout=")
    return {"dropout": rates[0]} if rates else {}


def adopt(estimator: Any, network: Network) -> None:
    """Make an estimator a fitted one, with copies of a network's parameters."""
    coefs, intercepts = ([array.copy() for array in arrays] for arrays in arrays_of(network))
    if isinstance(network.loss, SoftmaxCrossEntropy) and network.n_outputs == 2:
        # The softmax of two outputs is the sigmoid of their difference.
        coefs[-1], intercepts[-1] = np.diff(coefs[-1]), np.diff(intercepts[-1])
    estimator._random_state = check_random_state(estimator.random_state)
    estimator.n_features_in_ = network.n_inputs
    units = [network.n_inputs, *(len(bias) for bias in intercepts)]
    estimator._initialize(np.empty((0, units[-1])), units, network.dtype)
    estimator.coefs_, estimator.intercepts_ = coefs, intercepts
    estimator._network()
