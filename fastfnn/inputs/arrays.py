"""Arrays of numbers from whatever users pass: the one door for samples, targets, labels and weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import vdot
from numpy.typing import NDArray

# Kinds of dtypes that hold real numbers: booleans, integers and floats.
REAL = "biuf"

TEXT = "UST"

# Numbers whose squares are summed at once; BLAS starts threads for more than 10,000 of float64, which may have
# to wait for a CPU.
SQUARES_AT_ONCE = 2**13

# What to do about an array whose numbers are not real ones, by the kind of its dtype.
REMEDIES = {
    "c": "pass real and imaginary parts as separate numbers",
    "M": "convert dates to numbers, such as days since the first one",
    "m": "divide durations by a unit, such as numpy.timedelta64(1, 's')",
    "V": "pass its fields as columns of one number type",
}


def as_numbers(values: Any, name: str) -> NDArray[Any]:
    """Return an array of real numbers of any type and layout; an array is not copied.

    Parameters
    ----------
    values : array-like
        An array, an `np.memmap`, an `np.matrix`, nested lists, a Series or a DataFrame, or any object that NumPy
        reads as an array. Columns of a DataFrame may have different types.
    name : str
        Name in messages.

    Raises
    ------
    TypeError
        If it is masked, or holds text, objects, complex numbers, dates, or lists of different lengths.
    """
    if type(values) is np.ndarray:
        array = values
    elif _is_table(values):
        return _from_table(values, name)
    else:
        array = _as_array(values, name)
    if array.dtype.kind in REAL:
        return array
    raise TypeError(f"{name} must hold real numbers; got {_found(values, array)}")


def as_labels(values: Any, name: str) -> NDArray[Any]:
    """Return whole numbers of any type as a vector; a single column counts as one.

    Raises
    ------
    TypeError
        If the values are not integers or booleans.
    """
    labels = as_numbers(values, name)
    if labels.dtype.kind == "f":
        raise TypeError(f"{name} must hold integer labels; got {labels.dtype}: convert them with astype(numpy.int64)")
    return labels[:, 0] if is_column(labels) else labels


def has_squares_within(bound: Any, array: NDArray[Any]) -> bool:
    """Tell whether sums of squares of an array's floats, part by part, are at most `bound`.

    This is the fastest test for NaN and inf: 784 numbers take half a microsecond. NaN never passes, and infinity
    passes only an infinite bound. Large finite numbers may fail it too; `vdot` does not warn of their overflow.
    """
    if array.size <= SQUARES_AT_ONCE:
        within: bool = vdot(array, array) <= bound
        return within
    flat = array.ravel()
    n_at_once = 4 * SQUARES_AT_ONCE if flat.itemsize == 4 else SQUARES_AT_ONCE
    for first in range(0, flat.size, n_at_once):
        part = flat[first : first + n_at_once]
        if not vdot(part, part) <= bound:
            return False
    return True


def is_column(array: NDArray[Any]) -> bool:
    """Tell whether an array has shape (n, 1)."""
    return array.ndim == 2 and array.shape[1] == 1


def require_unmasked(values: Any, name: str) -> None:
    """Raise TypeError for a masked array, and for a list of them."""
    parts = values if isinstance(values, (list, tuple)) else (values,)
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):
        raise TypeError(f"{name} is a masked array: fill its gaps with filled(value), or leave out their rows")


def _as_array(values: Any, name: str) -> NDArray[Any]:
    """Convert anything to an array; a mapped file stays one, for what is not read into memory."""
    if isinstance(values, np.memmap):
        return values
    require_unmasked(values, name)
    if hasattr(values, "tocsr"):
        raise TypeError(f"{name} must be dense; got {type(values).__name__}: convert it with toarray()")
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise TypeError(f"{name} must be an array of numbers; got {type(values).__name__}: {reason}") from error


def _is_table(values: Any) -> bool:
    """Tell whether this is a DataFrame: a table whose columns may have different types."""
    return all(hasattr(values, attribute) for attribute in ("columns", "dtypes", "items"))


def _from_table(table: Any, name: str) -> NDArray[Any]:
    """Convert a table: as it is if its columns have one type, else column by column, to name one that is unfit."""
    if len({str(dtype) for dtype in table.dtypes}) == 1:
        array = _as_array(table, name)
        if array.dtype.kind in REAL:
            return array
    columns = [as_numbers(column, f"{name}, column {label!r}") for label, column in table.items()]
    if not columns:
        return np.empty(table.shape)
    dtype = np.result_type(*columns)
    if any(column.dtype != dtype for column in columns):
        dtype = np.result_type(dtype, np.int16)  # bytes alone are scaled: some among others are not
    return np.stack(columns, axis=1, dtype=dtype)


def _found(values: Any, array: NDArray[Any]) -> str:
    """Describe what is no array of real numbers, and say what to do."""
    kind = array.dtype.kind
    if kind == "O" and array.ndim == 0 and type(values) is not np.ndarray:
        return f"{type(values).__name__}: pass an array, lists of numbers, a DataFrame or a sparse array of SciPy"
    if kind in TEXT or (kind == "O" and any(isinstance(each, str) for each in array.flat)):
        return (
            "text: encode labels with scikit-learn's LabelEncoder and features with its OneHotEncoder, "
            "or convert numerals with astype(float)"
        )
    if kind == "O":
        others = [each for each in array.flat if not isinstance(each, (bool, int, float, np.number))]
        example = f" such as {others[0]!r}: fill gaps and" if others else ":"
        return f"objects{example} convert it with astype(float)"
    return f"{array.dtype}: {REMEDIES[kind]}"
