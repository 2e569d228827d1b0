"""Replacements for optional arguments that are None, because compiled kernels need an array for each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NO_BIAS = {np.dtype(dtype): np.empty(0, dtype) for dtype in (np.float32, np.float64)}


def gradients_to_write(
    n_inputs: int,
    like: NDArray[Any],
    out: NDArray[Any] | None,
    out_bias: NDArray[Any] | None,
    use_bias: bool,
    accumulate: bool,
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return the arrays for the gradients; allocated ones have the number of columns and the dtype of `like`."""
    make = np.zeros if accumulate else np.empty
    if out is None:
        out = make((n_inputs, like.shape[1]), like.dtype)
    if not use_bias:
        return out, None
    return out, make(like.shape[1], like.dtype) if out_bias is None else out_bias
