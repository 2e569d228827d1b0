"""GELU, the only activation whose derivative cannot be computed from its output."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# For larger |z|, the sigmoid below is exactly 0 or 1, and cubes might overflow.
BEYOND = 50.0
CUBIC, SLOPE = 0.044715, float(np.sqrt(8 / np.pi))


def gelu_forward(z: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Compute y = z s with s = 1 / (1 + exp(-u)) and u = sqrt(8 / pi) (z + 0.044715 z**3).

    GELU is z times the probability that a normal random number is below z. This approximation needs no error function
    (Hendrycks & Gimpel, arXiv 1606.08415, in the form z/2 (1 + tanh(u/2))).

    Parameters
    ----------
    z : ndarray, shape (n_rows, n_columns)
        Pre-activations.
    out : ndarray like `z`, optional
        OUT: y; allocated if None.

    Returns
    -------
    ndarray
        y, which is `out` if given.
    """
    out = np.empty_like(z) if out is None else out
    share, _ = _share_and_slope(z)
    np.multiply(z, share, out=out)
    return out


def gelu_gradient(z: NDArray[Any], grad: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Compute grad * y'(z), with y' = s + z s' and s' = s (1 - s) u'; s and u are those of `gelu_forward`.

    Parameters
    ----------
    z : ndarray, shape (n_rows, n_columns)
        Pre-activations, the input of `gelu_forward`.
    grad : ndarray like `z`
        Gradient of the loss with respect to y.
    out : ndarray like `z`, optional
        OUT: the result; allocated if None.

    Returns
    -------
    ndarray
        Gradient with respect to z, which is `out` if given.
    """
    out = np.empty_like(z) if out is None else out
    share, slope = _share_and_slope(z)
    np.multiply(grad, share + np.clip(z, -BEYOND, BEYOND) * slope, out=out)
    return out


def _share_and_slope(z: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return s and s'; s (1 - s) = e / (1 + e)**2 with e = exp(-|u|), which is accurate even where s is near 1."""
    z = np.clip(z, -BEYOND, BEYOND)
    u = SLOPE * (z + CUBIC * z * z * z)
    decay = np.exp(-np.abs(u))
    share = np.where(u < 0, decay, np.ones_like(z)) / (1 + decay)
    return share, decay / (1 + decay) ** 2 * SLOPE * (1 + 3 * CUBIC * z**2)
