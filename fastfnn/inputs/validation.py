"""Checks of input arrays, dense and sparse, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike, NDArray

from fastfnn._checks import check_choice
from fastfnn.inputs.arrays import REAL, REMEDIES, as_numbers, has_squares_within
from fastfnn.inputs.csr import Csr, SparseArray, as_csr

# Types accepted as X.
Inputs = ArrayLike | SparseArray

INPUT_FORMATS = ("auto", "dense", "sparse")

# Rows that are searched for NaN and inf at once.
ROWS_AT_ONCE = 3072

# Largest number of each dtype of networks.
LARGEST = {dtype: np.finfo(dtype).max for dtype in (np.dtype(np.float32), np.dtype(np.float64))}


def check_input_format(input_format: Any) -> None:
    """Raise ValueError for an unknown input format."""
    check_choice("input_format", input_format, INPUT_FORMATS)


def check_inputs(X: Any, n_inputs: int | None, name: str = "X") -> NDArray[Any] | Csr:
    """Check X for a network of `n_inputs` inputs; return an array unchanged and a sparse array in CSR format.

    Lists and tables become arrays. Numbers keep their type: samples are converted when rows are requested.

    Raises
    ------
    TypeError
        If X does not hold real numbers, see `fastfnn.inputs.arrays.as_numbers`.
    ValueError
        If X has another shape.
    """
    is_sparse = False
    array: Any = X
    if type(X) is not ndarray or X.dtype.kind not in REAL:
        is_sparse = hasattr(X, "tocsr")
        array = X if is_sparse else as_numbers(X, name)
    shape = array.shape
    if len(shape) != 2:
        raise ValueError(f"{name} must have shape (n_samples, n_inputs); got {shape}: reshape it")
    if n_inputs is not None and shape[1] != n_inputs:
        raise ValueError(f"{name} must have {n_inputs} columns, the network's inputs; got shape {shape}")
    if not is_sparse:
        checked: NDArray[Any] = array
        return checked
    if array.dtype.kind not in REAL:
        remedy = REMEDIES.get(array.dtype.kind, "convert it with astype(float)")
        raise TypeError(f"{name} must hold real numbers; got {array.dtype}: {remedy}")
    return as_csr(array, name)


def check_finite(X: NDArray[Any] | Csr, dtype: np.dtype[Any], name: str, first_row: int = 0) -> None:
    """Raise ValueError for NaN, inf, and numbers that overflow in `dtype`.

    Parameters
    ----------
    X : ndarray or Csr, shape (n_samples, n_inputs)
        Samples from `check_inputs`.
    dtype : dtype
        dtype of the network.
    name : str
        Name of X in messages.
    first_row : int
        Index of the first row, for messages about a part of X.
    """
    if X.dtype.kind != "f":
        return
    largest = LARGEST[dtype]
    if _has_columns_within(largest, X):
        return
    parts = ((0, X),) if X.shape[0] <= ROWS_AT_ONCE and not isinstance(X, Csr) else _parts(X)
    for first, part in parts:
        if not _is_within(largest, part):
            _refuse_beyond(largest, part, X, first_row + first, dtype, name)


def _parts(X: NDArray[Any] | Csr) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield all values in parts, each after the index of its first row."""
    if isinstance(X, Csr):
        yield 0, X.values
        return
    for first in range(0, len(X), ROWS_AT_ONCE):
        yield first, X[first : first + ROWS_AT_ONCE]


def _has_columns_within(largest: Any, X: NDArray[Any] | Csr) -> bool:
    """Tell whether all values are within -largest to largest, where columns are stored back to back."""
    if isinstance(X, Csr) or X.flags.c_contiguous or not X.flags.f_contiguous or X.itemsize <= 2:
        return False
    return has_squares_within(largest, X.T)


def _is_within(largest: Any, values: NDArray[Any]) -> bool:
    """Tell whether all values are within -largest to largest; NaN is not.

    If their sum of squares is, all of them are. It takes one pass instead of two, and no copy of contiguous values.
    """
    if values.flags.c_contiguous and values.itemsize > 2 and has_squares_within(largest, values):
        return True
    limit = float(largest)
    return -limit <= float(values.min(initial=0)) and float(values.max(initial=0)) <= limit


def _refuse_beyond(
    largest: Any, part: NDArray[Any], X: NDArray[Any] | Csr, first_row: int, dtype: np.dtype[Any], name: str
) -> None:
    """Raise ValueError for the first value of a part that is not within -largest to largest."""
    with np.errstate(over="ignore"):
        index = tuple(np.argwhere(~(np.abs(part.astype(np.float64)) <= np.float64(largest)))[0])
    row, column = X.place(*index) if isinstance(X, Csr) else index
    why = f", which {dtype} cannot hold" if np.isfinite(part[index]) else ""
    found = f"{part[index]!s} in row {first_row + row}, column {column}"
    raise ValueError(f"{name} must be finite; got {found}{why}: clean the data")


def check_rows(rows: Any, n_samples: int, name: str) -> NDArray[np.int64]:
    """Return a copy of the indices of some samples, at least one; a sample may occur more than once.

    Raises
    ------
    TypeError, ValueError
        If they are not a vector of integers from 0 to n_samples - 1.
    """
    numbers = as_numbers(rows, name)
    if numbers.shape == (0,):
        raise ValueError(f"{name} must be at least one; got none")
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise TypeError(f"{name} must be a vector of integers; got shape {numbers.shape} of {numbers.dtype}")
    least, largest = int(numbers.min()), int(numbers.max())
    if least < 0 or largest >= n_samples:
        raise ValueError(f"{name} must be from 0 to {n_samples - 1}; got numbers from {least} to {largest}")
    return np.array(numbers, np.int64)
