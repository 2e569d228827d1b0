"""Packing mostly-zero inputs: storing them without their zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.packing import ROWS_OF_GROUP, Compressed, Packed, PackedBatches, join_batches, number_of_groups
from fastfnn_kernels.workspace import Workspace


def pack_rows(x: NDArray[Any], dtype: Any, scale: float = 1.0, rows: NDArray[np.int64] | None = None) -> Packed:
    """Pack rows of scale * x, for `sparse_forward` and `sparse_weight_gradient`.

    Parameters
    ----------
    x : ndarray of uint8, float32 or float64, shape (n_rows, n_inputs)
        Inputs. NaN counts as non-zero; -0.0 counts as zero.
    dtype : float32 or float64
        dtype of the packed values.
    scale : float
        Factor of every value; the product is computed in `dtype`.
    rows : ndarray of int64, shape (n_taken,), optional
        Rows to take, in this order; all rows if None.

    Returns
    -------
    Packed
        The rows taken, with n_inputs columns. Consecutive rows form a group.
    """
    taken = _taken(x, rows)
    n_rows, n_columns = taken.shape
    n_groups = number_of_groups(n_rows)
    padded = np.zeros((n_groups * ROWS_OF_GROUP, n_columns), x.dtype)
    padded[:n_rows] = taken
    groups = padded.reshape(n_groups, ROWS_OF_GROUP, n_columns)
    group, column = np.nonzero(groups.any(axis=1))
    values = _scaled(groups.transpose(0, 2, 1)[group, column], dtype, scale)
    order = np.arange(n_rows, dtype=np.int32)
    return Packed(_offsets(group, n_groups), column.astype(np.int32), values, order, (n_rows, n_columns))


def pack_batches(
    x: NDArray[Any],
    dtype: Any,
    batch_size: int,
    scale: float = 1.0,
    rows: NDArray[np.int64] | None = None,
    workspace: Workspace | None = None,
) -> PackedBatches:
    """Pack consecutive batches of rows of scale * x, for `sgd_batches`.

    Parameters
    ----------
    x, dtype, scale, rows
        As in `pack_rows`.
    batch_size : int
        Rows in a batch; the last batch may have fewer.
    workspace : Workspace, optional
        Memory of the result, which is then valid until the next call with the same workspace. This reference
        allocates new memory all the same.

    Returns
    -------
    PackedBatches
        The rows taken, of n_inputs columns.
    """
    taken = _taken(x, rows)
    batches = [pack_rows(taken[i : i + batch_size], dtype, scale) for i in range(0, len(taken), batch_size)]
    return join_batches(batches, batch_size, x.shape[1], dtype)


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
    taken = _taken(x, rows)
    row, column = np.nonzero(taken != 0)  # of a copy: `nonzero` itself passes twice over its argument
    values = _scaled(taken[row, column], dtype, scale)
    return Compressed(_offsets(row, len(taken)), column.astype(np.int32), values, taken.shape)


def _taken(x: NDArray[Any], rows: NDArray[np.int64] | None) -> NDArray[Any]:
    """Take rows; `x[rows]` would check all row numbers first and then read them again."""
    return x if rows is None else x.take(rows, axis=0)


def _offsets(line: NDArray[np.intp], n_lines: int) -> NDArray[np.int64]:
    """Return the offset of each line's first entry, and the end; `line` has the line of each entry, ascending."""
    return np.searchsorted(line, np.arange(n_lines + 1)).astype(np.int64)


def _scaled(values: NDArray[Any], dtype: Any, scale: float) -> NDArray[Any]:
    """Convert to `dtype`, then multiply in that dtype."""
    scaled = np.ascontiguousarray(values, dtype)
    scaled *= scaled.dtype.type(scale)
    return scaled
