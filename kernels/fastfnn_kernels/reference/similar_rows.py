"""Ordering rows so that similar ones are packed together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfnn_kernels.packing import ROWS_OF_GROUP


def similar_rows(x: NDArray[Any]) -> NDArray[np.int64]:
    """Order rows so that the rows of a group have most of their non-zeros in the same columns.

    A group stores and multiplies every column in which any of its rows is not zero. It begins with the remaining row
    that has the most non-zeros. Then it adds the remaining row that differs from the group's rows in the fewest
    columns.

    Parameters
    ----------
    x : ndarray of uint8, float32 or float64, shape (n_rows, n_inputs)
        Inputs. The time grows with the square of the number of rows; a few thousand rows are enough.

    Returns
    -------
    ndarray of int64, shape (n_rows,)
        Row numbers for `pack_rows`. The first three rows form the first group, and so on. Of equally similar rows,
        the first is taken.
    """
    left = np.argsort(-np.count_nonzero(x, axis=1), kind="stable")
    nonzero = x[left] != 0
    order: list[int] = []
    while len(left):
        group = nonzero[0]
        for _ in range(min(ROWS_OF_GROUP, len(left))):
            is_first = len(order) % ROWS_OF_GROUP == 0
            chosen = 0 if is_first else np.count_nonzero(nonzero ^ group, axis=1).argmin()
            group = group | nonzero[chosen]
            order.append(left[chosen])
            left, nonzero = np.delete(left, chosen), np.delete(nonzero, chosen, axis=0)
    return np.array(order, np.int64)
