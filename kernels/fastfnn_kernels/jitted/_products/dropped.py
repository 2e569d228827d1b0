"""Dropout of some elements, by one thread."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfnn_kernels.jitted._compile.jit import inline
from fastfnn_kernels.reference.dropout import FIRST_FACTOR, INCREMENT, SECOND_FACTOR


@inline
def drop_elements(x: Any, least: int, factor: Any, seed: int, first: int, out: Any) -> None:
    """Write x * factor where the random number of an element is at least `least`, else 0; `first` is its position."""
    zero = x.dtype.type(0)
    start, bound = np.uint64(seed), np.uint64(least)
    for i in range(x.size):
        kept = _random_bits(start, np.uint64(first + i)) >= bound
        out[i] = x[i] * factor if kept else zero


@inline
def _random_bits(seed: Any, place: Any) -> Any:
    """Return the upper 32 bits of SplitMix64's number at a position."""
    z = seed + (place + np.uint64(1)) * np.uint64(INCREMENT)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(FIRST_FACTOR)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(SECOND_FACTOR)
    return (z ^ (z >> np.uint64(31))) >> np.uint64(32)
