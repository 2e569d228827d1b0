"""Arrays stored back to back in one flat vector, so that one elementwise update covers all of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from fastfnn._memory import CACHE_LINE, aligned_full

Shape = tuple[int, ...]

# Arrays of up to this many bytes in total are stored without gaps, which the kernel that computes the gradient of a
# whole network in one call needs. They fit in a core's second-level cache.
CONTIGUOUS_BYTES = 2**16


class Layout(NamedTuple):
    """Positions of arrays in a flat vector.

    Attributes
    ----------
    shapes : tuple of tuple
        Shapes of the arrays, in order.
    starts : tuple of int
        Index of each array's first element.
    size : int
        Length of the vector, including gaps.
    """

    shapes: tuple[Shape, ...]
    starts: tuple[int, ...]
    size: int

    @property
    def is_contiguous(self) -> bool:
        """Whether there are no gaps between the arrays."""
        return self.size == sum(map(math.prod, self.shapes))


def layout_of(shapes: Iterable[Shape], dtype: np.dtype[Any]) -> Layout:
    """Choose positions: without gaps if the arrays are small in total, else each aligned to a cache line.

    Parameters
    ----------
    shapes : iterable of tuple
        Shapes of the arrays, in order.
    dtype : dtype
        dtype of all arrays.
    """
    shapes = tuple(shapes)
    sizes = [math.prod(shape) for shape in shapes]
    small = sum(sizes) * dtype.itemsize <= CONTIGUOUS_BYTES
    step = 1 if small else CACHE_LINE // dtype.itemsize
    starts, end = [], 0
    for size in sizes:
        starts.append(-(-end // step) * step)
        end = starts[-1] + size
    return Layout(shapes, tuple(starts), end)


class FlatArrays(Sequence[NDArray[Any]]):
    """Arrays of one dtype as views of one flat vector, in order.

    Parameters
    ----------
    layout : Layout
        Positions of the arrays.
    vector : ndarray, shape (layout.size,)
        The vector. Gaps hold zeros, and stay zero under every elementwise update.

    Attributes
    ----------
    layout : Layout
    vector : ndarray, shape (layout.size,)
    """

    def __init__(self, layout: Layout, vector: NDArray[Any]) -> None:
        self.layout = layout
        self.vector = vector
        self._views = [
            vector[start : start + math.prod(shape)].reshape(shape)
            for start, shape in zip(layout.starts, layout.shapes, strict=True)
        ]

    @classmethod
    def copied(cls, arrays: Sequence[NDArray[Any]]) -> FlatArrays:
        """Copy arrays of one dtype, at least one, into a new vector."""
        dtype = arrays[0].dtype
        layout = layout_of((array.shape for array in arrays), dtype)
        flat = cls(layout, aligned_full((layout.size,), 0, dtype))
        for view, array in zip(flat, arrays, strict=True):
            view[...] = array
        return flat

    def filled(self, value: float) -> FlatArrays:
        """Return new arrays of the same layout, filled with `value`."""
        return FlatArrays(self.layout, aligned_full(self.vector.shape, value, self.vector.dtype))

    @overload
    def __getitem__(self, index: int) -> NDArray[Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[NDArray[Any]]: ...

    def __getitem__(self, index: int | slice) -> NDArray[Any] | list[NDArray[Any]]:
        return self._views[index]

    def __len__(self) -> int:
        return len(self._views)

    def __reduce__(self) -> tuple[type[FlatArrays], tuple[Layout, NDArray[Any]]]:
        """Copy and pickle the vector only: copied views would not be views of the copied vector."""
        return FlatArrays, (self.layout, self.vector)
