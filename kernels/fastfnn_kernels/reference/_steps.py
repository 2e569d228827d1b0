"""One step of gradient descent through a stack of dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.packing import Packed
from fastfnn_kernels.reference.activations import activation_gradient
from fastfnn_kernels.reference.dense import dense_forward, dense_input_gradient, dense_weight_gradient
from fastfnn_kernels.reference.softmax import count_correct, softmax_cross_entropy
from fastfnn_kernels.reference.sparse import sparse_forward, sparse_weight_gradient
from fastfnn_kernels.reference.updates import sgd


def sgd_step(
    x: NDArray[Any] | Packed,
    labels: NDArray[np.int64],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any] | None],
    activations: Sequence[str],
    learning_rate: float,
) -> tuple[float, int]:
    """Take one step on the mean loss of a batch; return the loss and the number of correct samples before it."""
    outputs: list[Any] = [x]
    for w, b, activation in zip(weights, biases, activations, strict=True):
        outputs.append(_forward(outputs[-1], w, b, activation))
    loss, grad = softmax_cross_entropy(outputs[-1], labels)
    grad = activation_gradient(outputs[-1], grad, activations[-1])
    for layer in reversed(range(len(weights))):
        w, b = weights[layer], biases[layer]
        w_gradient, b_gradient = _weight_gradient(outputs[layer], grad)
        if layer > 0:
            grad = dense_input_gradient(grad, w, outputs[layer], activations[layer - 1])
        sgd(w, w_gradient, learning_rate)
        if b is not None:
            sgd(b, b_gradient, learning_rate)
    return loss, count_correct(outputs[-1], labels)


def _forward(x: NDArray[Any] | Packed, *layer: Any) -> NDArray[Any]:
    return sparse_forward(x, *layer) if isinstance(x, Packed) else dense_forward(x, *layer)


def _weight_gradient(x: NDArray[Any] | Packed, grad: NDArray[Any]) -> Any:
    return sparse_weight_gradient(x, grad) if isinstance(x, Packed) else dense_weight_gradient(x, grad)
