"""A complete small network with its loss and all gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.arguments import parameter_shapes
from fastfnn_kernels.reference.activations import activation_gradient
from fastfnn_kernels.reference.dense import dense_forward, dense_input_gradient, dense_weight_gradient
from fastfnn_kernels.reference.softmax import count_correct, softmax_cross_entropy
from fastfnn_kernels.reference.updates import l2_penalty


def stack_cross_entropy(
    x: NDArray[Any],
    parameters: NDArray[Any],
    widths: Sequence[int],
    activations: Sequence[str],
    use_bias: Sequence[bool],
    labels: NDArray[np.int64],
    scale: float | None = None,
    l2: float = 0.0,
    l2_bias: float = 0.0,
    out: NDArray[Any] | None = None,
    accumulate: bool = False,
) -> tuple[float, int, NDArray[Any]]:
    """Compute the penalised cross-entropy of softmax(y_last) and its gradient.

    Here y_0 = x and y_k = f_k(y_k-1 w_k + b_k) for the layers in order.

    Parameters
    ----------
    x : ndarray, shape (n_rows, n_inputs)
        Samples.
    parameters : ndarray, shape (n_parameters,)
        For each layer in order: w, row by row, then b, if the layer has one. The kernel is meant for so few
        parameters that all of them stay in the caches.
    widths : sequence of int
        Number of outputs of each layer.
    activations : sequence of {"identity", "relu", "sigmoid", "tanh"}
        f of each layer, including the last.
    use_bias : sequence of bool
        True for each layer that has a b.
    labels : ndarray of int64, shape (n_rows,)
        Classes, from 0 to the last layer's outputs - 1.
    scale : float, optional
        Factor of the cross-entropy, as in `softmax_cross_entropy`: 1 / n_rows if None.
    l2, l2_bias : float
        Add (l2 / 2) * sum of squared weights, and (l2_bias / 2) * sum of squared biases, to the loss.
    out : ndarray like `parameters`, optional
        OUT, or IN-OUT with `accumulate`: the gradient; allocated if None.
    accumulate : bool
        Add to the contents of `out`; an array allocated here starts at zero.

    Returns
    -------
    loss : float
        The sum of the scaled cross-entropy and the penalty.
    n_correct : int
        Rows whose largest output is at the label, as in `count_correct`.
    gradient : ndarray like `parameters`
        The gradient, which is `out` if given.
    """
    out = np.zeros_like(parameters) if out is None else out
    layers, gradients = (_layers(vector, x.shape[1], widths, use_bias) for vector in (parameters, out))
    outputs = [x]
    for (w, b), activation in zip(layers, activations, strict=True):
        outputs.append(dense_forward(outputs[-1], w, b, activation))
    loss, grad = softmax_cross_entropy(outputs[-1], labels, scale)
    grad = activation_gradient(outputs[-1], grad, activations[-1])
    for layer in range(len(layers) - 1, -1, -1):
        (w, b), (grad_w, grad_b), y = layers[layer], gradients[layer], outputs[layer]
        dense_weight_gradient(y, grad, grad_w, grad_b, b is not None, accumulate)
        if l2 != 0:
            loss += l2_penalty(w, grad_w, l2)
        if l2_bias != 0 and b is not None and grad_b is not None:
            loss += l2_penalty(b, grad_b, l2_bias)
        if layer > 0:
            grad = dense_input_gradient(grad, w, y, activations[layer - 1])
    return loss, count_correct(outputs[-1], labels), out


def _layers(
    vector: NDArray[Any], n_inputs: int, widths: Sequence[int], use_bias: Sequence[bool]
) -> list[tuple[NDArray[Any], NDArray[Any] | None]]:
    """Return each layer's matrix and bias (or None) as views of the vector."""
    layers: list[tuple[NDArray[Any], NDArray[Any] | None]] = []
    first = 0
    for (n, m), has_bias in zip(parameter_shapes(n_inputs, widths), use_bias, strict=True):
        w, first = vector[first : first + n * m].reshape(n, m), first + n * m
        b, first = (vector[first : first + m], first + m) if has_bias else (None, first)
        layers.append((w, b))
    return layers
