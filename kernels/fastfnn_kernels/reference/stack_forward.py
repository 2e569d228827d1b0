"""A few rows through a whole stack of dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from fastfnn_kernels.reference.dense import dense_forward


def stack_forward(
    x: NDArray[Any],
    weights: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any] | None],
    activations: Sequence[str],
    max_density: float = 0.0,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Compute y_last, with y_0 = x and y_k = f_k(y_k-1 w_k + b_k) from the first layer to the last.

    Parameters
    ----------
    x : ndarray, shape (n_rows, n_inputs)
        Inputs, so few rows that laying the weights out for their product would take longer than the product itself.
    weights : sequence of ndarray, shapes (n_inputs, n_outputs)
        w of each layer, the first layer's first.
    biases : sequence of ndarray or None, shapes (n_outputs,)
        b of each layer; None stands for zeros.
    activations : sequence of {"identity", "relu", "sigmoid", "tanh"}
        f of each layer.
    max_density : float
        Below this share of non-zeros in x its zeros are not multiplied. The bits are then those of `sparse_forward`,
        and those of `dense_forward` otherwise.
    out : ndarray, shape (n_rows, outputs of the last layer), optional
        OUT: the result.

    Returns
    -------
    ndarray
        `out`, or a new array.
    """
    y = x
    for w, b, activation in zip(weights[:-1], biases[:-1], activations[:-1], strict=True):
        y = dense_forward(y, w, b, activation)
    return dense_forward(y, weights[-1], biases[-1], activations[-1], out)
