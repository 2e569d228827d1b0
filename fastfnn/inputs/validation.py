"""Checks of input arrays, dense and sparse, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn._checks import check_choice
from fastfnn.inputs.csr import Csr, SparseArray, as_csr

# Types accepted as X.
Inputs = NDArray[Any] | SparseArray

INPUT_FORMATS = ("auto", "dense", "sparse")

# Rows of a mapped file that are searched for NaN and inf at once.
ROWS_AT_ONCE = 3072

ACCEPTED = (np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.float64))


def check_input_format(input_format: Any) -> None:
    """Raise ValueError for an unknown input format."""
    if input_format not in INPUT_FORMATS:  # a prediction of one row takes 8 us: it does without a call
        check_choice("input_format", input_format, INPUT_FORMATS)


def check_inputs(X: Any, n_inputs: int | None, name: str = "X") -> NDArray[Any] | Csr:
    """Check X for a network of `n_inputs` inputs; return an array unchanged and a sparse array in CSR format.

    Raises
    ------
    TypeError
        If X is not an array, dense or sparse, of uint8, float32 or float64.
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


def check_finite(X: NDArray[Any] | Csr, dtype: np.dtype[Any], name: str) -> None:
    """Raise ValueError for NaN, inf, and numbers that overflow in `dtype`."""
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
    """Yield all values in parts, each after the index of its first row."""
    if isinstance(X, Csr):
        yield 0, X.values
        return
    for first in range(0, len(X), ROWS_AT_ONCE):
        yield first, X[first : first + ROWS_AT_ONCE]


def _first_beyond(largest: float, values: NDArray[Any]) -> tuple[int, ...] | None:
    """Return the index of the first value outside -largest to largest, or None; NaN counts as outside."""
    if -largest <= float(values.min(initial=0)) and float(values.max(initial=0)) <= largest:
        return None
    return tuple(np.argwhere(~(np.abs(values.astype(np.float64)) <= largest))[0])
