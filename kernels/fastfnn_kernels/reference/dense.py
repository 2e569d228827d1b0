"""Products of a dense layer, fused with bias, activation and derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.reference.activations import activation_forward, activation_gradient


def dense_forward(
    x: NDArray[Any],
    weights: NDArray[Any],
    bias: NDArray[Any] | None = None,
    activation: str = "identity",
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Compute y = f(x w + b).

    Parameters
    ----------
    x : ndarray, shape (n_rows, n_inputs)
        Inputs, one sample in each row.
    weights : ndarray, shape (n_inputs, n_outputs)
        w.
    bias : ndarray, shape (n_outputs,), optional
        b; zero if None.
    activation : str
        f, one of the activations of `activation_forward`.
    out : ndarray, shape (n_rows, n_outputs), optional
        OUT: y; allocated if None.

    Returns
    -------
    ndarray, shape (n_rows, n_outputs)
        y, which is `out` if given.
    """
    z = x @ weights
    if bias is not None:
        z += bias
    return activation_forward(z, activation, out)


def dense_weight_gradient(
    x: NDArray[Any],
    grad: NDArray[Any],
    out: NDArray[Any] | None = None,
    out_bias: NDArray[Any] | None = None,
    use_bias: bool = True,
    accumulate: bool = False,
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Compute x^T g and the column sums of g: the gradients of z = x w + b with respect to w and b.

    Parameters
    ----------
    x : ndarray, shape (n_rows, n_inputs)
        The layer's inputs.
    grad : ndarray, shape (n_rows, n_outputs)
        g, the gradient of the loss with respect to z.
    out : ndarray, shape (n_inputs, n_outputs), optional
        OUT, or IN-OUT with `accumulate`: the gradient of w; allocated if None.
    out_bias : ndarray, shape (n_outputs,), optional
        OUT, or IN-OUT with `accumulate`: the gradient of b; allocated if None and `use_bias`.
    use_bias : bool
        Compute the gradient of b.
    accumulate : bool
        Add to the contents of `out` and `out_bias`; arrays allocated here start at zero.

    Returns
    -------
    weights, bias : ndarray, ndarray or None
        Both gradients; the second is None without `use_bias`.
    """
    weight_gradient = x.T @ grad
    bias_gradient = _column_sums(grad) if use_bias else None
    return _deliver(weight_gradient, out, accumulate), (
        None if bias_gradient is None else _deliver(bias_gradient, out_bias, accumulate)
    )


def dense_input_gradient(
    grad: NDArray[Any],
    weights: NDArray[Any],
    x: NDArray[Any] | None = None,
    activation: str = "identity",
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Compute (g w^T) * f'(x): the gradient propagated back through a dense layer and the activation before it.

    Parameters
    ----------
    grad : ndarray, shape (n_rows, n_outputs)
        g, the gradient of the loss with respect to z = x w + b.
    weights : ndarray, shape (n_inputs, n_outputs)
        w.
    x : ndarray, shape (n_rows, n_inputs), optional
        The layer's inputs, which are outputs of `activation`; not needed for "identity".
    activation : str
        f; its derivative is computed from its output (see `activation_gradient`).
    out : ndarray, shape (n_rows, n_inputs), optional
        OUT: the result; allocated if None.

    Returns
    -------
    ndarray, shape (n_rows, n_inputs)
        Gradient with respect to the pre-activation of x, which is `out` if given.
    """
    grad_x = grad @ weights.T
    return activation_gradient(grad_x if x is None else x, grad_x, activation, out)


def _column_sums(values: NDArray[Any]) -> NDArray[Any]:
    """Sum each column; NumPy sums contiguous memory pairwise, which is more accurate than one by one."""
    sums: NDArray[Any] = np.ascontiguousarray(values.T).sum(axis=1)
    return sums


def _deliver(value: NDArray[Any], out: NDArray[Any] | None, accumulate: bool) -> NDArray[Any]:
    """Write or add `value` to `out`; return `value` itself if `out` is None."""
    if out is None:
        return value
    if accumulate:
        out += value
    else:
        np.copyto(out, value)
    return out
