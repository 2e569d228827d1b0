"""Mostly-zero inputs, stored without their zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.packing import LINES_OF_GROUP, Compressed, Packed, number_of_groups


def pack_rows(x: NDArray[Any], dtype: Any, scale: float = 1.0, rows: NDArray[np.int64] | None = None) -> Packed:
    """Pack rows of scale * x, for `sparse_forward`.

    Parameters
    ----------
    x : ndarray of uint8, float32 or float64, shape (n_rows, n_inputs)
        Inputs. NaN is no zero; -0.0 is one.
    dtype : float32 or float64
        dtype of the packed values.
    scale : float
        Factor of every value, multiplied in `dtype`.
    rows : ndarray of int64, shape (n_lines,), optional
        Rows to take, in this order; all rows when None.

    Returns
    -------
    Packed
        n_lines lines of n_inputs positions.
    """
    taken = x if rows is None else x[rows]
    n_lines, n_positions = taken.shape
    n_groups = number_of_groups(n_lines)
    lines = np.zeros((n_groups * LINES_OF_GROUP, n_positions), x.dtype)
    lines[:n_lines] = taken
    groups = lines.reshape(n_groups, LINES_OF_GROUP, n_positions)
    group, position = np.nonzero(groups.any(axis=1))
    values = _scaled(groups.transpose(0, 2, 1)[group, position], dtype, scale)
    return Packed(_offsets(group, n_groups), position.astype(np.int32), values, (n_lines, n_positions))


def pack_columns(x: NDArray[Any], dtype: Any, scale: float = 1.0) -> Packed:
    """Pack the columns of scale * x, for `sparse_weight_gradient`.

    Parameters
    ----------
    x, dtype, scale
        As in `pack_rows`.

    Returns
    -------
    Packed
        n_inputs lines of n_rows positions.
    """
    return pack_rows(x.T, dtype, scale)


def compress_rows(
    x: NDArray[Any], dtype: Any, scale: float = 1.0, rows: NDArray[np.int64] | None = None
) -> Compressed:
    """Store the non-zeros of rows of scale * x, for `sgd_samples`.

    Parameters
    ----------
    x, dtype, scale, rows
        As in `pack_rows`.

    Returns
    -------
    Compressed
        The rows taken, of n_inputs columns.
    """
    taken = x if rows is None else x[rows]
    row, column = np.nonzero(taken)
    values = _scaled(taken[row, column], dtype, scale)
    return Compressed(_offsets(row, len(taken)), column.astype(np.int32), values, taken.shape)


def _offsets(line: NDArray[np.intp], n_lines: int) -> NDArray[np.int64]:
    """Return where the entries of each line begin, and the last end; `line` is that of each entry, ascending."""
    return np.searchsorted(line, np.arange(n_lines + 1)).astype(np.int64)


def _scaled(values: NDArray[Any], dtype: Any, scale: float) -> NDArray[Any]:
    """Convert to `dtype`, then multiply in it."""
    scaled = np.ascontiguousarray(values, dtype)
    scaled *= scaled.dtype.type(scale)
    return scaled
