"""Softmax and the cross-entropy of class labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.reference._subnormal import flush_subnormal


def softmax(logits: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Compute p_ij = exp(z_ij) / sum_k exp(z_ik); subnormal probabilities are 0.

    Parameters
    ----------
    logits : ndarray, shape (n_rows, n_classes)
        z.
    out : ndarray like `logits`, optional
        OUT: p; allocated if None.

    Returns
    -------
    ndarray, shape (n_rows, n_classes)
        p, which is `out` if given.
    """
    out = np.empty_like(logits) if out is None else out
    exponentials = _exponentials(logits)
    np.divide(exponentials, exponentials.sum(axis=1, keepdims=True), out=out)
    return flush_subnormal(out)


def softmax_cross_entropy(
    logits: NDArray[Any],
    labels: NDArray[np.int64],
    scale: float | None = None,
    out: NDArray[Any] | None = None,
    weights: NDArray[Any] | None = None,
    label_smoothing: float = 0.0,
) -> tuple[float, NDArray[Any]]:
    """Compute the cross-entropy of softmax(z) against class labels, and its gradient.

    Subtracting m_i = max_k z_ik keeps every exponential finite:

        loss = scale * sum_i w_i (log sum_k exp(z_ik - m_i) + m_i - sum_k q_ik z_ik)
        grad = scale * w_i (softmax(z) - q)

    Here q = onehot(labels). With `label_smoothing` a, q = (1 - a) onehot(labels) + a / n_classes (Szegedy et al.,
    arXiv 1512.00567).

    Exponentials and gradients that would be subnormal are 0: a CPU takes about a hundred times as long for a product
    with a subnormal number, and products with the gradient follow.

    Parameters
    ----------
    logits : ndarray, shape (n_rows, n_classes)
        z.
    labels : ndarray of int64, shape (n_rows,)
        Classes, from 0 to n_classes - 1.
    scale : float, optional
        1 / n_rows if None, which gives the mean if there are no weights.
    out : ndarray like `logits`, optional
        OUT: the gradient; allocated if None.
    weights : ndarray, shape (n_rows,), optional
        w; 1 for every row if None.
    label_smoothing : float
        a, from 0 to below 1: the share of the target that is spread evenly over all classes.

    Returns
    -------
    loss : float
        The scaled loss, summed in float64.
    grad : ndarray, shape (n_rows, n_classes)
        Gradient of `loss` with respect to `logits`, which is `out` if given.
    """
    out = np.empty_like(logits) if out is None else out
    rows, labels = np.arange(len(logits)), labels.clip(0, logits.shape[1] - 1)  # a copy that nobody else writes to
    scale = 1 / max(len(logits), 1) if scale is None else scale
    grad = _exponentials(logits)
    sums = grad.sum(axis=1, keepdims=True)
    wide = logits.astype(np.float64)  # the difference of two float32 logits may overflow float32
    losses = np.log(sums[:, 0].astype(np.float64)) + (wide.max(axis=1) - wide[rows, labels])
    grad /= sums
    grad[rows, labels] -= 1 - label_smoothing
    if label_smoothing:
        losses += label_smoothing * (wide[rows, labels] - wide.mean(axis=1))
        grad -= label_smoothing / logits.shape[1]
    if weights is not None:
        losses *= weights
        grad *= weights[:, np.newaxis]
    np.multiply(grad, scale, out=out)
    return scale * float(losses.sum()), flush_subnormal(out)


def count_correct(logits: NDArray[Any], labels: NDArray[np.int64]) -> int:
    """Count the rows whose largest logit (the first of equals) is at the label; NaN counts as largest.

    Parameters
    ----------
    logits : ndarray, shape (n_rows, n_classes)
        Scores. Probabilities, or any other increasing function of the scores, give the same count.
    labels : ndarray of int64, shape (n_rows,)
        Classes, from 0 to n_classes - 1.

    Returns
    -------
    int
    """
    return int(np.count_nonzero(logits.argmax(axis=1) == labels))


def _exponentials(logits: NDArray[Any]) -> NDArray[Any]:
    """Compute exp(z - m) without subnormal results; it is NaN where the row contains inf, since inf - inf is NaN."""
    return flush_subnormal(np.exp(logits - logits.max(axis=1, keepdims=True)))
