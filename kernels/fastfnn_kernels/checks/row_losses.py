"""Checks of arguments that `fastfnn_kernels.batches` defines: of their kind, and of a loss with its targets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastfnn_kernels.arguments import LOSSES, require_labels, require_like, require_matrix
from fastfnn_kernels.batches import SOFTMAX_CROSS_ENTROPY, RowLosses


def require_kind(name: str, argument: Any, kind: type) -> None:
    """Raise TypeError unless an argument is of a kind that `fastfnn_kernels.batches` defines."""
    if not isinstance(argument, kind):
        got = type(argument).__name__
        raise TypeError(f"{name} must be a fastfnn_kernels.batches.{kind.__name__}; got {got}: build one")


def require_row_losses(losses: Any, n_rows: int, n_outputs: int, dtype: np.dtype[Any]) -> None:
    """Raise TypeError or ValueError unless a loss and its targets fit outputs of this shape and dtype."""
    require_kind("losses", losses, RowLosses)
    if losses.name == SOFTMAX_CROSS_ENTROPY:
        require_labels(losses.targets, n_rows, n_outputs, "losses.targets")
    elif losses.name in LOSSES:
        require_matrix("losses.targets", losses.targets, dtype, n_rows, n_outputs)
    else:
        known = ", ".join((SOFTMAX_CROSS_ENTROPY, *LOSSES))
        raise ValueError(f"losses.name must be one of {known}; got {losses.name!r}")
    if losses.weights is not None:
        require_like("losses.weights", losses.weights, dtype, (n_rows,))
    if not 0 <= losses.label_smoothing < 1:
        raise ValueError(f"losses.label_smoothing must lie from 0 to below 1; got {losses.label_smoothing}")
    for name, factor in (("gradient_factor", losses.gradient_factor), ("value_factor", losses.value_factor)):
        if not 0 < factor < math.inf:
            raise ValueError(f"losses.{name} must be a finite number above 0; got {factor}")
    if not 0 < losses.delta < math.inf:
        raise ValueError(f"losses.delta must be a finite number above 0; got {losses.delta}")
