"""Arrays to test kernels with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def integers(rng: np.random.Generator, shape: Any, dtype: Any) -> NDArray[Any]:
    """Draw small whole numbers: products and sums of them are exact in any order."""
    return rng.integers(-4, 5, shape).astype(dtype)


def normals(rng: np.random.Generator, shape: Any, dtype: Any) -> NDArray[Any]:
    """Draw from N(0, 1)."""
    return rng.standard_normal(shape).astype(dtype)


def clustered(rng: np.random.Generator, n_rows: int, n_inputs: int, dtype: Any, n_clusters: int = 7) -> NDArray[Any]:
    """Draw rows of a few kinds, shuffled, each with non-zeros in places of its own and one or two elsewhere."""
    kinds = rng.random((n_clusters, n_inputs)) < 0.2
    rows = kinds[rng.integers(0, n_clusters, n_rows)]
    return ((rows ^ (rng.random(rows.shape) < 0.01)) * rng.integers(1, 9, rows.shape)).astype(dtype)


def mostly_zeros(rng: np.random.Generator, shape: Any, dtype: Any) -> NDArray[Any]:
    """Draw small whole numbers of which four in five are zero."""
    return (integers(rng, shape, np.int64) * (rng.random(shape) < 0.2)).astype(dtype)


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view that may not be written."""
    view = array.view()
    view.flags.writeable = False
    return view


def misaligned(array: NDArray[Any]) -> NDArray[Any]:
    """Copy to an address that is no multiple of an element's size."""
    placed = np.ndarray(array.shape, array.dtype, np.empty(array.nbytes + 1, np.uint8).data, 1)
    placed[...] = array
    assert not placed.flags.aligned
    return placed


class Unchanged:
    """Remembers arrays, and says whether they still hold the same bits."""

    def __init__(self, *arrays: NDArray[Any]) -> None:
        self._arrays = arrays
        self._copies = [array.copy() for array in arrays]

    def check(self) -> None:
        for array, copy in zip(self._arrays, self._copies, strict=True):
            assert array.tobytes() == copy.tobytes()


def one_hot_layer(
    rng: np.random.Generator, n_inputs: int, n_classes: int, dtype: Any
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Draw weights and a bias whose softmax of whole inputs is exactly 1 for one class and 0 for all others."""
    gap = 128 if np.dtype(dtype) == np.float32 else 1024  # exp(-gap) is zero
    weights = gap * n_classes * integers(rng, (n_inputs, n_classes), dtype)
    return weights, (gap * rng.permutation(n_classes)).astype(dtype)
