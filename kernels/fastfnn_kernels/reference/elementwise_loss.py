"""Losses that compare each output with its own target."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.reference._subnormal import flush_subnormal

# Losses whose derivatives contain an exponential, which may be of any size.
WITH_EXPONENTIALS = ("binary_cross_entropy", "poisson")


def elementwise_loss(
    outputs: NDArray[Any],
    targets: NDArray[Any],
    loss: str,
    scale: float | None = None,
    weights: NDArray[Any] | None = None,
    delta: float = 1.0,
    out: NDArray[Any] | None = None,
) -> tuple[float, NDArray[Any]]:
    """Compute scale * sum_ij w_i l(y_ij, t_ij), and its gradient.

    ========================  ========================================================  =====================
    loss                      l(y, t)                                                   its derivative
    ========================  ========================================================  =====================
    "squared_error"           (y - t)**2                                                2 (y - t)
    "huber"                   (y - t)**2 / 2 where |y - t| <= delta,                    y - t, clipped to
                              else delta (|y - t| - delta / 2)                          [-delta, delta]
    "binary_cross_entropy"    log(1 + e**y) - t y, of a logit y                         1 / (1 + e**-y) - t
    "poisson"                 e**y - t y, of the logarithm y of a rate                  e**y - t
    ========================  ========================================================  =====================

    Huber's loss is from "Robust estimation of a location parameter" (1964). The last two are negative log-likelihoods
    without the terms that do not depend on y. Their gradients are 0 where they would be subnormal, as in
    `softmax_cross_entropy`.

    Parameters
    ----------
    outputs : ndarray, shape (n_rows, n_columns)
        y.
    targets : ndarray like `outputs`
        t.
    loss : {"squared_error", "huber", "binary_cross_entropy", "poisson"}
        l.
    scale : float, optional
        1 / (n_rows * n_columns) if None, which gives the mean if there are no weights.
    weights : ndarray, shape (n_rows,), optional
        w; 1 for every row if None.
    delta : float
        Threshold of Huber's loss; the other losses ignore it.
    out : ndarray like `outputs`, optional
        OUT: the gradient; allocated if None.

    Returns
    -------
    loss : float
        The scaled loss, summed in float64.
    grad : ndarray like `outputs`
        Gradient of `loss` with respect to `outputs`, which is `out` if given.
    """
    scale = 1 / max(outputs.size, 1) if scale is None else scale
    losses, derivatives = _losses_and_derivatives(outputs, targets, loss, outputs.dtype.type(delta))
    factors = np.ones(len(outputs), outputs.dtype) if weights is None else weights
    out = np.empty_like(outputs) if out is None else out
    np.multiply(derivatives, (factors * outputs.dtype.type(scale))[:, np.newaxis], out=out)
    if loss in WITH_EXPONENTIALS:
        flush_subnormal(out)
    return scale * float((losses.astype(np.float64) * factors[:, np.newaxis]).sum()), out


def _losses_and_derivatives(y: NDArray[Any], t: NDArray[Any], loss: str, delta: Any) -> tuple[Any, Any]:
    if loss == "squared_error":
        return (y - t) ** 2, 2 * (y - t)
    if loss == "huber":
        held = np.clip(y - t, -delta, delta)
        return held * (y - t - held / 2), held
    if loss == "binary_cross_entropy":
        decay = np.exp(-np.abs(y))  # exp of a negative number cannot overflow
        chance = np.where(y < 0, decay, np.ones_like(y)) / (1 + decay)
        return np.maximum(y, 0) - t * y + np.log1p(decay), chance - t
    rate = np.exp(y)
    return rate - t * y, rate - t
