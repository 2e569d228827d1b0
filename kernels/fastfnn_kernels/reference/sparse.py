"""Products with a packed, mostly-zero input."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from fastfnn_kernels.packing import Packed, unpack
from fastfnn_kernels.reference.dense import dense_forward, dense_weight_gradient


def sparse_forward(
    rows: Packed,
    weights: NDArray[Any],
    bias: NDArray[Any] | None = None,
    activation: str = "identity",
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Compute y = f(x w + b) for packed rows.

    Parameters
    ----------
    rows : Packed
        x, from `pack_rows`.
    weights, bias, activation, out
        As in `dense_forward`. A kernel need not read weights that a zero of x would multiply: NaN or inf there may
        have no effect.

    Returns
    -------
    ndarray, shape (n_rows, n_outputs)
        y, which is `out` if given.
    """
    return dense_forward(unpack(rows), weights, bias, activation, out)


def sparse_weight_gradient(
    rows: Packed,
    grad: NDArray[Any],
    out: NDArray[Any] | None = None,
    out_bias: NDArray[Any] | None = None,
    use_bias: bool = True,
    accumulate: bool = False,
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Compute x^T g and the column sums of g for packed rows.

    Parameters
    ----------
    rows : Packed
        x, from `pack_rows`.
    grad, out, out_bias, use_bias, accumulate
        As in `dense_weight_gradient`.

    Returns
    -------
    weights, bias : ndarray, ndarray or None
        Both gradients; the second is None without `use_bias`.
    """
    return dense_weight_gradient(unpack(rows), grad, out, out_bias, use_bias, accumulate)
