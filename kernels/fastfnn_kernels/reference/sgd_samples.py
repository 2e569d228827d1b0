"""Training on single samples, one step for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.packing import Compressed
from fastfnn_kernels.reference._steps import sgd_step


def sgd_samples(
    samples: Compressed,
    labels: NDArray[np.int64],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any] | None],
    activations: Sequence[str],
    learning_rate: float,
) -> tuple[float, int]:
    """Take a step of gradient descent on each sample in turn; the loss is the cross-entropy of a stack of layers.

    For each sample x and its label, with y_0 = x and y_k = f_k(y_k-1 w_k + b_k) for the layers in order,

        g_last = (softmax(y_last) - onehot(label)) * f_last'
        g_k-1 = (g_k w_k^T) * f_k-1'
        w_k <- w_k - learning_rate * y_k-1^T g_k
        b_k <- b_k - learning_rate * g_k

    All g are computed before the parameters change. Subnormal numbers in g_last are 0, as in `softmax_cross_entropy`.

    Parameters
    ----------
    samples : Compressed
        One sample in each row, from `compress_rows`. Weights that a zero would multiply are neither read nor changed.
    labels : ndarray of int64, shape (n_samples,)
        Classes, from 0 to the last layer's outputs - 1.
    weights : sequence of ndarray, shapes (n_inputs, n_outputs)
        IN-OUT: w of each layer, in order.
    biases : sequence of ndarray or None, shapes (n_outputs,)
        IN-OUT: b of each layer; None for a layer without one.
    activations : sequence of {"identity", "relu", "sigmoid", "tanh"}
        f of each layer.
    learning_rate : float
        Factor of each step.

    Returns
    -------
    loss_sum : float
        Sum of the losses of all samples, each before its step, in float64.
    n_correct : int
        Samples whose largest output (the first of equals) is at the label, before their step.
    """
    loss_sum, n_correct = 0.0, 0
    for (named, x), label in zip(_rows(samples), labels, strict=True):
        used = [weights[0][named], *weights[1:]]
        loss, correct = sgd_step(x[np.newaxis], np.array([label]), used, biases, activations, learning_rate)
        weights[0][named] = used[0]
        loss_sum += loss
        n_correct += correct
    return loss_sum, n_correct


def _rows(samples: Compressed) -> Iterator[tuple[NDArray[np.int32], NDArray[Any]]]:
    """Yield each row's non-zeros: their columns and values."""
    for first, end in zip(samples.offsets[:-1], samples.offsets[1:], strict=True):
        yield samples.indices[first:end], samples.values[first:end]
