"""Dropout with a mask that is a function of a seed and of an element's position."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# SplitMix64: Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
INCREMENT = 0x9E3779B97F4A7C15
FIRST_FACTOR, SECOND_FACTOR = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def dropout(
    x: NDArray[Any], rate: float, seed: int, first_row: int = 0, out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Set a share of the elements to zero, and divide the others by the share of elements kept.

    The element in row i and column j is kept if the upper 32 bits of the (n_columns (first_row + i) + j)-th number of
    the generator SplitMix64 are at least rate * 2**32. A batch therefore has the same mask however it is divided into
    blocks of rows, and the same call applied to a gradient computes the gradient with respect to x.

    Parameters
    ----------
    x : ndarray, shape (n_rows, n_columns)
        Outputs of the layer before, or the gradient with respect to the outputs of this one.
    rate : float
        Share of the elements to set to zero, from 0 to below 1.
    seed : int
        Seed of the mask, from 0 to 2**63 - 1.
    first_row : int
        Index of the first row in its batch.
    out : ndarray like `x`, optional
        OUT: the result; allocated if None.

    Returns
    -------
    ndarray
        The result, which is `out` if given.
    """
    n_rows, n_columns = x.shape
    first = first_row * n_columns
    places = np.arange(first, first + x.size, dtype=np.uint64).reshape(n_rows, n_columns)
    kept = _random_bits(seed, places) >= np.uint64(rate * 2**32)
    factor = x.dtype.type(1 / (1 - rate))
    out = np.empty_like(x) if out is None else out
    np.copyto(out, np.where(kept, x * factor, x.dtype.type(0)))
    return out


def _random_bits(seed: int, places: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the upper 32 bits of SplitMix64's numbers at these positions."""
    z = np.uint64(seed) + (places + np.uint64(1)) * np.uint64(INCREMENT)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(FIRST_FACTOR)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(SECOND_FACTOR)
    bits: NDArray[np.uint64] = (z ^ (z >> np.uint64(31))) >> np.uint64(32)
    return bits
