"""What a network is fed: arrays and sparse arrays, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn.csr import Csr, SparseArray, as_csr
from fastfnn.losses import Loss
from fastfnn.targets import Targets
from fastfnn.tiles import TILE_ROWS

# What a user may pass for X.
Inputs = NDArray[Any] | SparseArray

INPUT_FORMATS = ("auto", "dense", "sparse")

ACCEPTED = (np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.float64))


def check_input_format(input_format: Any) -> None:
    """Raise ValueError if there is no such input format."""
    if input_format not in INPUT_FORMATS:
        raise ValueError(f"input_format must be one of {', '.join(INPUT_FORMATS)}; got {input_format!r}")


def check_inputs(X: Any, n_inputs: int | None, name: str = "X") -> NDArray[Any] | Csr:
    """Return X, an array as it is and a sparse one in rows, if a network of `n_inputs` inputs can take it.

    Raises
    ------
    TypeError
        If X is no array, dense or sparse, of uint8, float32 or float64.
    ValueError
        If X has another shape.
    """
    is_array = isinstance(X, np.ndarray)
    if not (is_array or hasattr(X, "tocsr")):
        expected = "a NumPy array or a sparse array of SciPy"
        raise TypeError(f"{name} must be {expected}; got {type(X).__name__}: convert it with numpy.asarray")
    if X.dtype not in ACCEPTED:
        raise TypeError(f"{name} must be uint8, float32 or float64; got {X.dtype}: convert it with {name}.astype")
    if len(X.shape) != 2:
        raise ValueError(f"{name} must have shape (n_samples, n_inputs); got {X.shape}: reshape it")
    if n_inputs is not None and X.shape[1] != n_inputs:
        raise ValueError(f"{name} must have {n_inputs} columns, the network's inputs; got shape {X.shape}")
    return X if is_array else as_csr(X, name)


def check_samples(
    X: Any, y: Any, n_inputs: int | None, n_outputs: int, loss: Loss, dtype: np.dtype[Any], whose: str = ""
) -> tuple[NDArray[Any] | Csr, Targets]:
    """Return X as `check_inputs` does and y as the loss takes it, if a network can be trained or evaluated on them.

    Parameters
    ----------
    X, y
        Samples and what they should give.
    n_inputs, n_outputs, loss, dtype
        Of the network.
    whose : str
        What messages put before the names, such as "validation ".

    Raises
    ------
    TypeError
        If X or y has a wrong type.
    ValueError
        If shapes do not fit, y is out of range, X holds NaN, inf or what `dtype` cannot hold, or there are no
        samples.
    """
    X = check_inputs(X, n_inputs, f"{whose}X")
    targets = loss.targets(y, X.shape[0], n_outputs, dtype, f"{whose}y")
    if X.shape[0] == 0:
        raise ValueError(f"{whose}X has no rows: there is nothing to learn from")
    _check_finite(X, dtype, f"{whose}X")
    return X, targets


def _check_finite(X: NDArray[Any] | Csr, dtype: np.dtype[Any], name: str) -> None:
    """Refuse NaN, inf and what overflows."""
    if X.dtype == np.uint8:
        return
    largest = float(np.finfo(dtype).max)
    for first_row, part in _parts(X):
        index = _first_beyond(largest, part)
        if index is not None:
            row, column = X.place(*index) if isinstance(X, Csr) else (first_row + index[0], index[1])
            why = f", which {dtype} cannot hold" if np.isfinite(part[index]) else ""
            found = f"{part[index]} in row {row}, column {column}"
            raise ValueError(f"{name} must be finite; got {found}{why}: clean the data")


def _parts(X: NDArray[Any] | Csr) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield all values in arrays, each with the row it begins in."""
    if isinstance(X, Csr):
        yield 0, X.values
        return
    for first in range(0, len(X), TILE_ROWS):
        yield first, X[first : first + TILE_ROWS]


def _first_beyond(largest: float, values: NDArray[Any]) -> tuple[int, ...] | None:
    """Return the first index of what is not from -largest to largest; only an array that holds it is searched."""
    if -largest <= float(values.min(initial=0)) and float(values.max(initial=0)) <= largest:
        return None
    return tuple(np.argwhere(~(np.abs(values.astype(np.float64)) <= largest))[0])
