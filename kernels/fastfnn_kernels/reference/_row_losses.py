"""Any loss of rows of outputs, with its gradient and the number of correct rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.batches import SOFTMAX_CROSS_ENTROPY, RowLosses
from fastfnn_kernels.reference.elementwise_loss import elementwise_loss
from fastfnn_kernels.reference.softmax import count_correct, softmax_cross_entropy


def compare(outputs: NDArray[Any], losses: RowLosses, scale: float) -> tuple[float, int, NDArray[Any]]:
    """Return the scaled loss, the number of correct rows, and the scaled gradient with respect to the outputs."""
    targets, weights = losses.targets, losses.weights
    scale *= losses.gradient_factor
    ratio = losses.value_factor / losses.gradient_factor
    if losses.name == SOFTMAX_CROSS_ENTROPY:
        loss, grad = softmax_cross_entropy(outputs, targets, scale, None, weights, losses.label_smoothing)
        return ratio * loss, count_correct(outputs, targets), grad
    loss, grad = elementwise_loss(outputs, targets, losses.name, scale, weights, losses.delta)
    n_correct = 0
    if losses.name == "binary_cross_entropy":
        n_correct = int(np.count_nonzero(((outputs > 0) == (targets > 0.5)).all(axis=1)))
    return ratio * loss, n_correct, grad
