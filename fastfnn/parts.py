"""Arrays that lie one behind the other in one vector, for what treats all numbers of all of them alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]


class Parts(Sequence[NDArray[Any]]):
    """The parts of a vector, in order and without gaps.

    Parameters
    ----------
    vector : ndarray, shape (n,)
        What the arrays are views of.
    shapes : sequence of tuple
        Of the arrays; n numbers in all.

    Attributes
    ----------
    vector : ndarray, shape (n,)
    """

    def __init__(self, vector: NDArray[Any], shapes: Sequence[Shape]) -> None:
        self.vector = vector
        self._arrays: list[NDArray[Any]] = []
        first = 0
        for shape in shapes:
            end = first + math.prod(shape)
            self._arrays.append(vector[first:end].reshape(shape))
            first = end

    @classmethod
    def copied(cls, arrays: Sequence[NDArray[Any]]) -> Parts:
        """Copy arrays of one dtype into a new vector."""
        return cls(np.concatenate([array.reshape(-1) for array in arrays]), _shapes(arrays))

    def filled(self, value: float) -> Parts:
        """Make parts of the same shapes, all of whose numbers are `value`."""
        return Parts(np.full_like(self.vector, value), _shapes(self))

    @overload
    def __getitem__(self, index: int) -> NDArray[Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[NDArray[Any]]: ...

    def __getitem__(self, index: int | slice) -> NDArray[Any] | list[NDArray[Any]]:
        return self._arrays[index]

    def __len__(self) -> int:
        return len(self._arrays)

    def __reduce__(self) -> tuple[type[Parts], tuple[NDArray[Any], list[Shape]]]:
        """Copy and pickle the vector alone: arrays of their own would be no parts of it."""
        return Parts, (self.vector, _shapes(self))


def parts_or_list(arrays: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
    """Return `Parts` where the arrays are all that there is of one vector, else a list."""
    vector = arrays[0].base
    if isinstance(vector, np.ndarray) and vector.ndim == 1 and vector.size == sum(array.size for array in arrays):
        parts = Parts(vector, _shapes(arrays))
        if all(_place(array) == _place(part) for array, part in zip(arrays, parts, strict=True)):
            return parts
    return list(arrays)


def _shapes(arrays: Sequence[NDArray[Any]]) -> list[Shape]:
    return [array.shape for array in arrays]


def _place(array: NDArray[Any]) -> tuple[Any, ...]:
    """Return what two arrays agree in that are the same part of memory."""
    return array.__array_interface__["data"], array.dtype, array.strides
