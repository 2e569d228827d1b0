"""Losses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.backends import get_backend


def softmax_cross_entropy(
    logits: NDArray[Any], labels: NDArray[Any], backend: str = "numba"
) -> tuple[float, NDArray[Any]]:
    """Compute the mean cross-entropy of softmax(logits) against class labels, and its gradient.

    Parameters
    ----------
    logits : ndarray of float32 or float64, shape (n_samples, n_classes)
        Scores; any finite ones give a finite loss.
    labels : ndarray of integers, shape (n_samples,)
        Classes, from 0 to n_classes - 1.
    backend : {"numba", "numpy"}
        Which kernels compute it.

    Returns
    -------
    loss : float
        Mean over the samples.
    gradient : ndarray like `logits`
        Of the mean with respect to `logits`.

    Raises
    ------
    TypeError, ValueError
        If a dtype, a shape or a label does not fit.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers; got {labels.dtype}: convert them with labels.astype(numpy.int64)")
    logits = np.ascontiguousarray(logits)
    return get_backend(backend).softmax_cross_entropy(logits, labels.astype(np.int64))
