"""Training on one sample after the other."""

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
    """Take a step of gradient descent on each sample in turn, on the cross-entropy of a stack of dense layers.

    For each sample x and its label, with y_0 = x and y_k = f_k(y_k-1 w_k + b_k) from the first layer to the last,

        g_last = (softmax(y_last) - onehot(label)) * f_last'
        g_k-1 = (g_k w_k^T) * f_k-1'
        w_k <- w_k - learning_rate * y_k-1^T g_k
        b_k <- b_k - learning_rate * g_k

    where every g is computed from the parameters before the sample's step.

    Parameters
    ----------
    samples : Compressed
        One sample a row, from `compress_rows`. What their zeros would multiply is neither looked at nor changed.
    labels : ndarray of int64, shape (n_samples,)
        Classes, from 0 to the outputs of the last layer.
    weights : sequence of ndarray, shapes (n_inputs, n_outputs)
        IN-OUT: w of each layer, the first layer's first.
    biases : sequence of ndarray or None, shapes (n_outputs,)
        IN-OUT: b of each layer; None where there is none.
    activations : sequence of {"identity", "relu", "sigmoid", "tanh"}
        f of each layer.
    learning_rate : float
        Size of a step.

    Returns
    -------
    loss_sum : float
        Sum of each sample's loss before its step, in float64.
    n_correct : int
        Samples whose largest output before their step, the first of equals, stands at the label.
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
    """Yield the columns and the values of each row's non-zeros."""
    for first, end in zip(samples.offsets[:-1], samples.offsets[1:], strict=True):
        yield samples.indices[first:end], samples.values[first:end]
