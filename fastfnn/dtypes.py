"""The dtypes that networks compute in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike


def float_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return float32 or float64, of whatever NumPy takes for it; raise ValueError for anything else."""
    try:
        known = np.dtype(dtype)
    except (TypeError, SyntaxError):
        known = np.dtype(object)
    if dtype is None or known not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64; got {dtype if known.hasobject else known}")
    return known
