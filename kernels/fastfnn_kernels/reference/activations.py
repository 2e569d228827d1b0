"""Elementwise activations and their derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Slope of leaky_relu below zero (Maas et al., "Rectifier nonlinearities improve neural network acoustic models").
LEAK = 0.01


def activation_forward(z: NDArray[Any], activation: str, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Compute y = f(z).

    Parameters
    ----------
    z : ndarray, shape (n_rows, n_columns)
        Pre-activations.
    activation : {"identity", "relu", "sigmoid", "tanh", "leaky_relu", "elu", "softplus"}
        relu(z) = max(z, 0); sigmoid(z) = 1 / (1 + exp(-z)); softplus(z) = log(1 + exp(z)); for z < 0,
        leaky_relu(z) = 0.01 z and elu(z) = exp(z) - 1, and otherwise both are z.
    out : ndarray like `z`, optional
        OUT: y; allocated if None.

    Returns
    -------
    ndarray
        y, which is `out` if given.
    """
    out = np.empty_like(z) if out is None else out
    if activation == "identity":
        np.copyto(out, z)
    elif activation == "relu":
        np.maximum(z, 0, out=out)
    elif activation == "sigmoid":
        decay = np.exp(-np.abs(z))  # exp of a negative number cannot overflow
        np.divide(np.where(z < 0, decay, np.ones_like(z)), 1 + decay, out=out)
    elif activation == "tanh":
        np.tanh(z, out=out)
    elif activation == "leaky_relu":
        np.multiply(z, np.where(z < 0, z.dtype.type(LEAK), z.dtype.type(1)), out=out)
    elif activation == "elu":
        np.copyto(out, np.where(z < 0, np.expm1(np.minimum(z, 0)), z))
    elif activation == "softplus":
        np.add(np.maximum(z, 0), np.log1p(np.exp(-np.abs(z))), out=out)
    return out


def activation_gradient(
    y: NDArray[Any], grad: NDArray[Any], activation: str, out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Compute grad * f'(z) from the activation's output y = f(z) alone.

    Parameters
    ----------
    y : ndarray, shape (n_rows, n_columns)
        The activation's output.
    grad : ndarray like `y`
        Gradient of the loss with respect to `y`.
    activation : {"identity", "relu", "sigmoid", "tanh", "leaky_relu", "elu", "softplus"}
        f' is 1 for identity; 1 where y > 0 and 0 elsewhere for relu; y (1 - y) for sigmoid; 1 - y**2 for tanh; 1
        where y > 0, and elsewhere 0.01 for leaky_relu and 1 + y for elu; 1 - exp(-y) for softplus, and 0 if y is
        below 0, which softplus never returns.
    out : ndarray like `y`, optional
        OUT: the result; allocated if None.

    Returns
    -------
    ndarray
        Gradient with respect to z, which is `out` if given.
    """
    out = np.empty_like(grad) if out is None else out
    if activation == "identity":
        np.copyto(out, grad)
    elif activation == "relu":
        np.copyto(out, np.where(y > 0, grad, np.zeros_like(grad)))
    elif activation == "sigmoid":
        np.multiply(grad, y * (1 - y), out=out)
    elif activation == "tanh":
        np.multiply(grad, 1 - y * y, out=out)
    elif activation == "leaky_relu":
        np.multiply(grad, np.where(y > 0, y.dtype.type(1), y.dtype.type(LEAK)), out=out)
    elif activation == "elu":
        np.multiply(grad, np.where(y > 0, y.dtype.type(1), 1 + y), out=out)
    elif activation == "softplus":
        np.multiply(grad, -np.expm1(-np.maximum(y, 0)), out=out)
    return out
