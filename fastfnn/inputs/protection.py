"""Write protection of a user's arrays while a training run reads them."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The arrays that are protected, and by how many training runs: several threads may train on one array.
_protected: dict[int, tuple[NDArray[Any], int]] = {}
# Views of arrays that are still protected: they can be made writable only after their base.
_waiting: list[NDArray[Any]] = []
_lock = threading.Lock()


@contextmanager
def write_protected(data: Iterable[Any]) -> Iterator[None]:
    """Make arrays read-only in the `with` block, and the arrays of sparse ones; others are left alone.

    Some ways of training convert samples once, others at every step: samples that a callback changes would have an
    effect in some of them only. Other views of the same memory stay writable.
    """
    arrays = [array for each in data for array in _arrays_of(each)]
    with _lock:
        for array in arrays:
            _protect(array)
    try:
        yield
    finally:
        with _lock:
            for array in arrays:
                _release(array)
            in_order = sorted(_waiting, key=_is_view)
            _waiting[:] = [array for array in in_order if not _is_writable_again(array)]


def _arrays_of(data: Any) -> list[NDArray[Any]]:
    if isinstance(data, np.ndarray):
        return [data]
    parts = [getattr(data, name, None) for name in ("data", "indices", "indptr")] if hasattr(data, "tocsr") else []
    return [part for part in parts if isinstance(part, np.ndarray)]


def _protect(array: NDArray[Any]) -> None:
    if id(array) in _protected:
        _protected[id(array)] = array, _protected[id(array)][1] + 1
    elif array.flags.writeable and _can_be_released(array):
        _protected[id(array)] = array, 1
        array.flags.writeable = False


def _release(array: NDArray[Any]) -> None:
    if id(array) not in _protected:
        return
    _, n_runs = _protected.pop(id(array))
    if n_runs > 1:
        _protected[id(array)] = array, n_runs - 1
    else:
        _waiting.append(array)


def _can_be_released(array: NDArray[Any]) -> bool:
    """Tell whether NumPy will make the array writable again: not if another library owns its memory."""
    owner: Any = array
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    return isinstance(owner, (np.ndarray, mmap.mmap))


def _is_view(array: NDArray[Any]) -> bool:
    return array.base is not None


def _is_writable_again(array: NDArray[Any]) -> bool:
    """Make an array writable, unless its base is still protected."""
    try:
        array.flags.writeable = True
    except ValueError:
        return False
    return True
