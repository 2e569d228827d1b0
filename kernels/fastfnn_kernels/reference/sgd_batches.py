"""Training on small batches, one step for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.packing import PackedBatches
from fastfnn_kernels.reference._steps import sgd_step


def sgd_batches(
    batches: PackedBatches,
    labels: NDArray[np.int64],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any] | None],
    activations: Sequence[str],
    learning_rate: float,
) -> tuple[float, int]:
    """Take a step of gradient descent on each batch in turn; the loss is the mean cross-entropy of a stack of layers.

    For the n rows x of each batch and their labels, with y_0 = x and y_k = f_k(y_k-1 w_k + b_k) for the layers in
    order,

        g_last = (softmax(y_last) - onehot(label)) / n * f_last'
        g_k-1 = (g_k w_k^T) * f_k-1'
        w_k <- w_k - learning_rate * y_k-1^T g_k
        b_k <- b_k - learning_rate * the column sums of g_k

    All g are computed before the parameters change.

    Parameters
    ----------
    batches : PackedBatches
        From `pack_batches`.
    labels, weights, biases, activations, learning_rate
        As in `sgd_samples`; weights and biases are IN-OUT.

    Returns
    -------
    loss_sum : float
        Sum of the losses of all rows, each before its batch's step, in float64.
    n_correct : int
        Rows whose largest output (the first of equals) is at the label, before the batch's step.
    """
    loss_sum, n_correct, first = 0.0, 0, 0
    for batch in batches.batches():
        end = first + batch.shape[0]
        loss, correct = sgd_step(batch, labels[first:end], weights, biases, activations, learning_rate)
        loss_sum += loss * (end - first)
        n_correct += correct
        first = end
    return loss_sum, n_correct
