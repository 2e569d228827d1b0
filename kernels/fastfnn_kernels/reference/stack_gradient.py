"""A complete small network with its loss and its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.arguments import parameter_shapes
from fastfnn_kernels.batches import RowLosses
from fastfnn_kernels.reference._row_losses import compare
from fastfnn_kernels.reference.activations import activation_gradient
from fastfnn_kernels.reference.dense import dense_forward, dense_input_gradient, dense_weight_gradient
from fastfnn_kernels.reference.updates import l2_penalty


def stack_gradient(
    x: NDArray[Any],
    parameters: NDArray[Any],
    widths: Sequence[int],
    activations: Sequence[str],
    use_bias: Sequence[bool],
    losses: RowLosses,
    scale: float | None = None,
    l2: float = 0.0,
    l2_bias: float = 0.0,
    out: NDArray[Any] | None = None,
    accumulate: bool = False,
) -> tuple[float, int, NDArray[Any]]:
    """Compute the penalised loss of a network and its gradient.

    The outputs are y_last, where y_0 = x and y_k = f_k(y_k-1 w_k + b_k) for the layers in order.

    Parameters
    ----------
    x : ndarray, shape (n_rows, n_inputs)
        Samples.
    parameters : ndarray, shape (n_parameters,)
        For each layer in order: w, row by row, then b, if the layer has one. The kernel is meant for so few
        parameters that all of them stay in a core's second-level cache.
    widths : sequence of int
        Number of outputs of each layer.
    activations : sequence of {"identity", "relu", "sigmoid", "tanh"}
        f of each layer, including the last.
    use_bias : sequence of bool
        True for each layer that has a b.
    losses : RowLosses
        The loss, with the targets and weights of the rows.
    scale : float, optional
        Factor of the weighted sum of losses. If None, the loss is their mean as in `train_batches`: 1 / total weight,
        or 0 if that is 0, also divided by the number of outputs if each has a loss of its own.
    l2, l2_bias : float
        Add (l2 / 2) * sum of squared weights, and (l2_bias / 2) * sum of squared biases, to the loss.
    out : ndarray like `parameters`, optional
        OUT, or IN-OUT with `accumulate`: the gradient; allocated if None.
    accumulate : bool
        Add to the contents of `out`; an array allocated here starts at zero.

    Returns
    -------
    loss : float
        The scaled sum of losses, times its factor in `losses`, and the penalty.
    n_correct : int
        Correct rows, as in `train_batches`.
    gradient : ndarray like `parameters`
        The gradient, which is `out` if given.
    """
    out = np.zeros_like(parameters) if out is None else out
    layers, gradients = (_layers(vector, x.shape[1], widths, use_bias) for vector in (parameters, out))
    outputs = [x]
    for (w, b), activation in zip(layers, activations, strict=True):
        outputs.append(dense_forward(outputs[-1], w, b, activation))
    scale = losses.scale_of_mean(widths[-1]) if scale is None else scale
    loss, n_correct, grad = compare(outputs[-1], losses, scale)
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
    return loss, n_correct, out


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
