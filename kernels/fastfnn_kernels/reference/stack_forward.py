"""Forward pass of a few rows through a stack of dense layers."""

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
    """Compute y_last, with y_0 = x and y_k = f_k(y_k-1 w_k + b_k) for the layers in order.

    Parameters
    ----------
    x : ndarray, shape (n_rows, n_inputs)
        Inputs. The kernel is meant for so few rows that packing the weights would take longer than the product.
    weights : sequence of ndarray, shapes (n_inputs, n_outputs)
        w of each layer, in order.
    biases : sequence of ndarray or None, shapes (n_outputs,)
        b of each layer; zero if None.
    activations : sequence of {"identity", "relu", "sigmoid", "tanh"}
        f of each layer.
    max_density : float
        If the share of non-zeros in x is below this, zeros are not multiplied. The bits are then those of
        `sparse_forward`, and otherwise those of `dense_forward`.
    out : ndarray, shape (n_rows, outputs of the last layer), optional
        OUT: y_last; allocated if None.

    Returns
    -------
    ndarray
        y_last, which is `out` if given.
    """
    y = x
    for w, b, activation in zip(weights[:-1], biases[:-1], activations[:-1], strict=True):
        y = dense_forward(y, w, b, activation)
    return dense_forward(y, weights[-1], biases[-1], activations[-1], out)
