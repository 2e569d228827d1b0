"""The arrays of all layers, stored back to back in one vector, because a kernel has a fixed number of arguments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.jitted._compile.jit import inlined


def starts_of(sizes: Iterable[int]) -> NDArray[np.int64]:
    """Return the offset at which each part of a vector starts, and the end of the last."""
    return np.cumsum([0, *sizes], dtype=np.int64)


def joined(arrays: Sequence[NDArray[Any] | None], starts: NDArray[np.int64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Copy each array to its start in one vector, padded with zeros up to the next start; None means zeros."""
    flat = np.zeros(starts[-1], dtype)
    for array, start in zip(arrays, starts[:-1], strict=True):
        if array is not None:
            flat[start : start + array.size] = array.reshape(-1)
    return flat


def write_back(flat: NDArray[Any], starts: NDArray[np.int64], arrays: Sequence[NDArray[Any] | None]) -> None:
    """Copy each array back from its start in the vector."""
    for array, start in zip(arrays, starts[:-1], strict=True):
        if array is not None:
            array[...] = flat[start : start + array.size].reshape(array.shape)


@inlined
def part(flat: Any, starts: Any, layer: int) -> Any:
    """Return one layer's part of the vector, as a view."""
    return flat[starts[layer] : starts[layer + 1]]
