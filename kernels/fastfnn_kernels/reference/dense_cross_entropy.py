"""The output layer with its loss and all gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.reference.dense import dense_forward, dense_input_gradient, dense_weight_gradient
from fastfnn_kernels.reference.softmax import count_correct, softmax_cross_entropy


def dense_cross_entropy(
    x: NDArray[Any],
    weights: NDArray[Any],
    bias: NDArray[Any] | None,
    labels: NDArray[np.int64],
    scale: float | None = None,
    activation: str = "identity",
    out: NDArray[Any] | None = None,
    out_weights: NDArray[Any] | None = None,
    out_bias: NDArray[Any] | None = None,
    accumulate: bool = False,
    with_gradients: bool = True,
) -> tuple[float, int, NDArray[Any] | None, NDArray[Any] | None, NDArray[Any] | None]:
    """Compute the cross-entropy of softmax(x w + b) against class labels, and its gradients.

    Parameters
    ----------
    x : ndarray, shape (n_rows, n_inputs)
        The output layer's inputs, which are outputs of `activation`.
    weights : ndarray, shape (n_inputs, n_classes)
        w.
    bias : ndarray, shape (n_classes,), or None
        b; zero if None.
    labels : ndarray of int64, shape (n_rows,)
        Classes, from 0 to n_classes - 1.
    scale : float, optional
        Factor of the loss, as in `softmax_cross_entropy`.
    activation : {"identity", "relu", "sigmoid", "tanh"}
        The activation of the layer before, which computed x.
    out : ndarray like `x`, optional
        OUT: the gradient with respect to the pre-activation of x, as from `dense_input_gradient`. It may be `x`
        itself, which is then overwritten. Allocated if None.
    out_weights : ndarray like `weights`, optional
        OUT, or IN-OUT with `accumulate`: the gradient of w; allocated if None.
    out_bias : ndarray like `bias`, optional
        OUT, or IN-OUT with `accumulate`: the gradient of b; allocated if None and there is a b.
    accumulate : bool
        Add to the contents of `out_weights` and `out_bias`; arrays allocated here start at zero.
    with_gradients : bool
        Compute the gradients. If False, nothing is written, and all three are None.

    Returns
    -------
    loss : float
        The scaled loss.
    n_correct : int
        Rows whose largest logit is at the label, as in `count_correct`.
    grad, weights, bias : ndarray, ndarray, ndarray or None
        The gradients; the last is None without a b.
    """
    logits = dense_forward(x, weights, bias)
    loss, grad = softmax_cross_entropy(logits, labels, scale)
    n_correct = count_correct(logits, labels)
    if not with_gradients:
        return loss, n_correct, None, None, None
    gradients = dense_weight_gradient(x, grad, out_weights, out_bias, bias is not None, accumulate)
    return loss, n_correct, dense_input_gradient(grad, weights, x, activation, out), *gradients
