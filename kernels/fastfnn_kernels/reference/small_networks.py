"""A whole small network, its loss and all its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.reference.activations import activation_gradient
from fastfnn_kernels.reference.cross_entropy import count_correct, softmax_cross_entropy
from fastfnn_kernels.reference.dense import dense_forward, dense_input_gradient, dense_weight_gradient
from fastfnn_kernels.reference.updates import l2_penalty


def stack_cross_entropy(
    x: NDArray[Any],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any] | None],
    activations: Sequence[str],
    labels: NDArray[np.int64],
    scale: float | None = None,
    l2: float = 0.0,
    l2_bias: float = 0.0,
    out_weights: Sequence[NDArray[Any]] | None = None,
    out_biases: Sequence[NDArray[Any] | None] | None = None,
    accumulate: bool = False,
) -> tuple[float, int, list[NDArray[Any]], list[NDArray[Any] | None]]:
    """Compute the penalised cross-entropy of softmax(y_last), y_k = f_k(y_k-1 w_k + b_k), y_0 = x, and its gradients.

    Parameters
    ----------
    x : ndarray, shape (n_rows, n_inputs)
        Samples.
    weights : sequence of ndarray, shapes (n_inputs, n_outputs)
        w of each layer, the first layer's first; so small that all of them stay in the caches.
    biases : sequence of ndarray or None, shapes (n_outputs,)
        b of each layer; None stands for zeros.
    activations : sequence of {"identity", "relu", "sigmoid", "tanh"}
        f of each layer, the last one too.
    labels : ndarray of int64, shape (n_rows,)
        Classes, from 0 to the last layer's outputs - 1.
    scale : float, optional
        Of the cross-entropy, as for `softmax_cross_entropy`: the mean over the rows when None.
    l2, l2_bias : float
        Add (l2 / 2) * sum of squared weights, and (l2_bias / 2) * sum of squared biases, to the loss.
    out_weights, out_biases : sequence of ndarray, or of ndarray and None, like `weights` and `biases`, optional
        OUT, or IN-OUT with `accumulate`: the gradients, None for a bias that is None; allocated when None.
    accumulate : bool
        Add to what `out_weights` and `out_biases` hold; arrays allocated here start at zero.

    Returns
    -------
    loss : float
        The scaled cross-entropy and the penalty.
    n_correct : int
        Rows whose largest output stands at the label, as `count_correct` counts them.
    weights, biases : list of ndarray, list of ndarray or None
        The gradients.
    """
    outputs = [x]
    for w, b, activation in zip(weights, biases, activations, strict=True):
        outputs.append(dense_forward(outputs[-1], w, b, activation))
    loss, grad = softmax_cross_entropy(outputs[-1], labels, scale)
    grad = activation_gradient(outputs[-1], grad, activations[-1])
    made: list[tuple[NDArray[Any], NDArray[Any] | None]] = []
    for layer in range(len(weights) - 1, -1, -1):
        w, b, y = weights[layer], biases[layer], outputs[layer]
        given_w = None if out_weights is None else out_weights[layer]
        given_b = None if out_biases is None else out_biases[layer]
        grad_w, grad_b = dense_weight_gradient(y, grad, given_w, given_b, b is not None, accumulate)
        if l2 != 0:
            loss += l2_penalty(w, grad_w, l2)
        if l2_bias != 0 and b is not None and grad_b is not None:
            loss += l2_penalty(b, grad_b, l2_bias)
        made.insert(0, (grad_w, grad_b))
        if layer > 0:
            grad = dense_input_gradient(grad, w, y, activations[layer - 1])
    return loss, count_correct(outputs[-1], labels), [grad_w for grad_w, _ in made], [grad_b for _, grad_b in made]
