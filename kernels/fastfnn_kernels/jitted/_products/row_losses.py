"""Any loss of some rows of outputs, computed by one thread: its sum, its gradient, and the number of correct rows."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.batches import SOFTMAX_CROSS_ENTROPY, RowLosses
from fastfnn_kernels.jitted._compile.jit import inline, inlined, uncounted
from fastfnn_kernels.jitted._products.cross_entropy_rows import (
    count_right,
    sum_of_losses,
    write_cross_entropy_gradient,
    write_weighted_gradient,
)
from fastfnn_kernels.jitted._products.elementwise_rows import BINARY_CROSS_ENTROPY, compare_rows_of_elements
from fastfnn_kernels.jitted._products.elementwise_rows import CODES as ELEMENTWISE_CODES

SOFTMAX = len(ELEMENTWISE_CODES)
CODES = {**ELEMENTWISE_CODES, SOFTMAX_CROSS_ENTROPY: SOFTMAX}


class Goal(NamedTuple):
    """A loss and what outputs are compared with; see `fastfnn_kernels.batches.RowLosses`."""

    code: Any
    labels: Any  # none for the losses of single elements
    targets: Any  # none for softmax
    weights: Any  # none, or one a row
    smoothing: Any
    delta: Any


def targets_of(losses: RowLosses, dtype: np.dtype[Any]) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[Any]]:
    """Return labels, targets and weights; what a loss does not have is empty. Label smoothing needs weights."""
    no_labels, no_targets, no_weights = _nothing(dtype)
    weights = no_weights if losses.weights is None else losses.weights
    if losses.name != SOFTMAX_CROSS_ENTROPY:
        return no_labels, losses.targets, weights
    if losses.weights is None and losses.label_smoothing != 0:
        weights = np.ones(len(losses.targets), dtype)
    return losses.targets, no_targets, weights


@functools.lru_cache
def _nothing(dtype: np.dtype[Any]) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[Any]]:
    """Return no labels, no targets and no weights."""
    return np.empty(0, np.int64), np.empty((0, 0), dtype), np.empty(0, dtype)


@inlined
def goal_of_rows(goal: Goal, first: int, end: int) -> Goal:
    """Return the loss of some rows."""
    return Goal(
        goal.code,
        goal.labels[first:end],
        goal.targets[first:end],
        goal.weights[first:end],
        goal.smoothing,
        goal.delta,
    )


@uncounted
def compare_rows(
    goal: Goal, outputs: Any, first: int, end: int, scale: Any, grad: Any, maxima: Any, totals: Any
) -> float:
    """Write `scale` times the gradient of some rows' losses; return the weighted sum of the losses."""
    labels, weights = goal.labels, goal.weights
    if goal.code != SOFTMAX:
        targets, code, delta = goal.targets, goal.code, goal.delta
        loss: float = compare_rows_of_elements(outputs, targets, weights, code, delta, scale, first, end, grad)
    elif weights.size == 0:
        write_cross_entropy_gradient(outputs, labels, first, end, scale, grad, maxima, totals)
        loss = sum_of_losses(outputs, labels, first, end, maxima, totals)
    else:
        smoothing = goal.smoothing
        loss = write_weighted_gradient(outputs, labels, weights, smoothing, first, end, scale, grad, maxima, totals)
    return loss


@uncounted
def count_correct_rows(goal: Goal, outputs: Any, first: int, end: int) -> int:
    """Count the correct ones of some rows: all outputs on the right side of 0, for binary cross-entropy."""
    n_correct = 0
    if goal.code == SOFTMAX:
        n_correct = count_right(outputs, goal.labels, first, end)
    elif goal.code == BINARY_CROSS_ENTROPY:
        for row in range(first, end):
            n_correct += _is_on_right_side(outputs[row], goal.targets[row])
    return n_correct


@inline
def _is_on_right_side(outputs: Any, targets: Any) -> bool:
    half = targets.dtype.type(0.5)
    n_wrong = 0
    for j in range(outputs.size):
        n_wrong += (outputs[j] > 0) != (targets[j] > half)
    return n_wrong == 0
